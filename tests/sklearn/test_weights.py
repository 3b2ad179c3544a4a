"""How often rows are read that weigh so much."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stackae.sklearn.weights import COPIES, copies_of, repeated


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40))
def test_whole_weights_are_copies(weights: list[int]) -> None:
    assert copies_of(np.array(weights, dtype=float)).tolist() == weights


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=60), st.floats(0.01, 1000))
def test_copies_of_other_weights_are_in_their_proportion_whatever_their_scale(weights: list[float], by: float) -> None:
    weight = np.array([*weights, 0.5])
    copies, total = copies_of(weight), COPIES * len(weight)
    assert np.abs(copies - weight / weight.sum() * total).max() < 1 + 1e-9
    assert np.abs(np.cumsum(copies) - np.cumsum(weight) / weight.sum() * total).max() < 1
    assert np.abs(copies - copies_of(weight * (by + 0.123456789))).max() <= 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=30), st.randoms())
def test_weighted_and_repeated_rows_are_trained_on_alike_in_any_order(
    rows: list[tuple[int, int]], random: Random
) -> None:
    x, weight = np.array([each for each, _ in rows], dtype=float), np.array([each for _, each in rows])
    order = np.array(random.sample(range(len(x)), len(x)))
    many = np.repeat(x, weight)
    if not weight.sum():
        return
    weighted = repeated([x[order]], weight[order].astype(float))
    again = repeated([many], None)
    assert sorted(x[order][weighted.places]) == sorted(many[again.places])
    if len(set(many)) < len(many):
        assert np.array_equal(x[order][weighted.places], many[again.places])


def test_rows_that_come_once_stay_in_their_order() -> None:
    x = np.array([3.0, 1.0, 2.0])
    assert not repeated([x], None).changed
    kept = repeated([x], np.array([1.0, 0.0, 1.0]))
    assert kept.changed and kept.places.tolist() == [0, 2]
