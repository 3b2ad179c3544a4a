"""Laws of the division that a run keeps: a sum per row, and the part that it had."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from data_files import laws
from hypothesis import given
from hypothesis import strategies as st

from stackae.config import DataConfig
from stackae.data import Source
from stackae.data.division import (
    LEFT_OUT,
    TRAIN,
    VALIDATION,
    Division,
    divided,
    row_sums,
)
from stackae.data.order.known_rows import known_parts, parts_by_content
from stackae.errors import ConfigError

X = np.random.default_rng(0).standard_normal((300, 3)).round(4)


@given(st.data())
@laws
def test_rows_have_equal_sums_where_their_numbers_are_equal(data: st.DataObject) -> None:
    x = np.array(data.draw(st.lists(st.lists(st.integers(0, 255), min_size=3, max_size=3), min_size=1, max_size=9)))
    sums = row_sums(x.astype(np.uint8))
    for dtype in (np.int64, np.float32, np.float64, ">f8", "<u2"):
        assert np.array_equal(row_sums(x.astype(dtype)), sums)
    equal = (x[:, None] == x[None]).all(axis=2)
    assert np.array_equal(sums[:, None] == sums[None], equal)
    assert row_sums(np.array([[-0.0, 1.0]])) == row_sums(np.array([[0.0, 1.0]]))


@given(st.permutations(range(30)))
@laws
def test_a_known_row_keeps_its_part_in_any_order(order: list[int]) -> None:
    x = X[:30]
    kept = Division(row_sums(x), divided(Source("x", x), DataConfig()))
    parts, change = parts_by_content(Source("x", x[order]), DataConfig(), row_sums(x[order]), [kept])
    assert np.array_equal(parts, kept.parts[order]) and change[:3] == (0, 0, 0)


def test_a_row_of_two_parts_counts_as_trained_on() -> None:
    sums = np.array([1, 2, 3, 1, 2], dtype=np.uint64)
    kept = Division(sums, np.array([2, 2, 1, 0, 1 | LEFT_OUT], dtype=np.uint8))
    assert known_parts(np.array([1, 2, 3, 4], dtype=np.uint64), [kept]).tolist() == [0, 1, 1, -1]


def test_new_rows_are_divided_alike_in_any_order() -> None:
    old, new = X[:100], X[100:200]
    kept = Division(row_sums(old), divided(Source("x", old), DataConfig()))
    found = []
    for order in (np.arange(100), np.random.default_rng(2).permutation(100)):
        x = np.concatenate([new[order], old])
        parts, change = parts_by_content(Source("x", x), DataConfig(), row_sums(x), [kept])
        assert (change.new, change.new_test, Counter(parts[:100].tolist())[TRAIN]) == (100, 20, 72)
        found.append(parts[:100][np.argsort(order)])
    assert np.array_equal(*found)


@pytest.mark.parametrize(("places", "held"), [("last:3", [7, 8, 9]), ("first:2", [0, 1])])
def test_rows_are_held_out_by_their_place(places: str, held: list[int]) -> None:
    x = np.arange(10.0).reshape(10, 1)
    source = Source("rows", x, np.arange(10) % 2, ("a", "b"), x_test=x[:4] + 50)
    parts = divided(source, DataConfig(validation_rows=places, validation_fraction=0.5))
    assert np.flatnonzero(parts == VALIDATION).tolist() == held
    assert (parts[10:] == 2).all()
    kept = [Division(row_sums(x), parts[:10])]
    again, _ = parts_by_content(source, DataConfig(validation_rows=places), row_sums(np.vstack([x, x[:4] + 50])), kept)
    assert again.tolist() == parts.tolist()


def test_places_that_leave_no_row_or_are_none_are_refused() -> None:
    source = Source("rows", np.arange(10.0).reshape(10, 1), x_test=np.ones((1, 1)))
    with pytest.raises(ConfigError, match=r"validation_rows: expected fewer than the 10 rows .* got last:10"):
        divided(source, DataConfig(validation_rows="last:10"))
    for text in ("last", "middle:3", "last:0", "last:-1"):
        with pytest.raises(ConfigError, match=f"validation_rows: expected first:N or last:N, .* got '{text}'"):
            DataConfig(validation_rows=text)
