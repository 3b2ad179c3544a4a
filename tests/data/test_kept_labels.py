"""Which labels are kept: as many as asked, of every class its share, the same ones for the same seed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackae.data.kept_labels import kept_labels
from stackae.errors import DataError

SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=6)


@given(SIZES, st.data(), st.integers(0, 2**40))
def test_every_class_keeps_its_share_and_at_least_one(sizes: list[int], data: st.DataObject, seed: int) -> None:
    count = data.draw(st.integers(len(sizes), sum(sizes)))
    y = np.repeat(np.arange(-1, len(sizes)), [4, *sizes])
    kept = kept_labels(y, count, seed)
    assert len(set(kept.tolist())) == len(kept) == count and (np.diff(kept) > 0).all()
    shares = np.bincount(y[kept], minlength=len(sizes))
    quotas = count * np.array(sizes) / sum(sizes)
    assert (shares >= 1).all() and (shares <= sizes).all() and (y[kept] >= 0).all()
    assert (shares <= np.maximum(np.ceil(quotas), 1)).all()
    assert np.array_equal(kept, kept_labels(y, count, seed))


def test_more_labels_of_a_seed_include_fewer_and_seeds_differ() -> None:
    y = np.arange(300) % 3
    draws = [kept_labels(y, count, 5) for count in (3, 30, 299, 300)]
    for few, many in pairwise(draws):
        assert set(few.tolist()) <= set(many.tolist())
    assert not np.array_equal(draws[1], kept_labels(y, 30, 6))


def test_of_numbers_the_rows_with_any_target_are_drawn_from() -> None:
    y = np.full((40, 2), np.nan)
    y[5:25, 1] = 1.0
    kept = kept_labels(y, 8, 0)
    assert len(kept) == 8 and ((kept >= 5) & (kept < 25)).all()


@pytest.mark.parametrize("count", [0, 2, 11])
def test_fewer_labels_than_classes_and_more_than_there_are(count: int) -> None:
    y = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, -1])
    with pytest.raises(DataError, match=f"labels: expected 3 to 10 labels, .* got {count}; use a number between, or"):
        kept_labels(y, count, 0)


def test_so_many_of_each_class_or_all_that_it_has() -> None:
    y = np.repeat([-1, 0, 1, 2], [5, 9, 3, 4])
    kept = kept_labels(y, 4, 0, per_class=True)
    assert np.bincount(y[kept]).tolist() == [4, 3, 4]
    assert set(kept_labels(y, 2, 0, per_class=True).tolist()) <= set(kept.tolist())
