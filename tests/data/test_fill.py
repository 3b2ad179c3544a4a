"""Scalings of rows with missing cells: these have no part in it, and are filled with the mean of their column."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stackae.data.division import row_sums
from stackae.data.scaling import Scaling

KINDS = ("none", "unit", "minmax", "standard", "robust")


def rows(dtype: str = "float64") -> np.ndarray:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(50, 4)).astype(dtype) * [1, 10, 100, 1000]
    x[draw.random(x.shape) < 0.3] = np.nan
    return x.astype(dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_scaling_is_that_of_the_known_cells_of_each_column(kind: str, dtype: str) -> None:
    x = rows(dtype)
    found = Scaling.fit(kind, x)
    assert found.fill is not None and found.fill.dtype == found.offset.dtype
    scaled, kept = found.transform(x), found.transform(x, filled=False)
    assert torch.equal(kept.isnan(), torch.from_numpy(np.isnan(x))) and bool(scaled.isfinite().all())
    for place, column in enumerate(x.T):
        known = column[~np.isnan(column)]
        assert float(found.fill[place]) == pytest.approx(float(known.mean(dtype=np.float64)), rel=1e-6)
        if kind in ("minmax", "standard", "robust"):
            alone = Scaling.fit(kind, known[:, None])
            assert torch.equal(alone.transform(known[:, None])[:, 0], kept[:, place][~kept[:, place].isnan()])


def test_a_column_without_any_known_cell_is_0_everywhere() -> None:
    x = rows()
    x[:, 2] = np.nan
    for kind in KINDS:
        assert bool((Scaling.fit(kind, x).transform(x)[:, 2] == 0).all())


def test_the_fill_is_written_and_read_and_scaled_by_a_factor() -> None:
    found = Scaling.fit("robust", rows())
    again = Scaling.from_tensors("robust", found.to_tensors())
    assert again.fill is not None and torch.equal(again.transform(rows()), found.transform(rows()))
    twice = found.times(2.0)
    assert torch.equal(twice.transform(rows()), 2 * found.transform(rows()))
    assert not found.of_bytes and Scaling.fit("minmax", np.ones((2, 2), np.uint8)).fill is None


def test_rows_with_missing_cells_have_sums_of_their_own() -> None:
    x = rows()
    other = x.copy()
    other[np.isnan(other)] = -np.float64("nan")
    assert np.array_equal(row_sums(x), row_sums(other))
    assert not np.array_equal(row_sums(x), row_sums(np.nan_to_num(x)))
