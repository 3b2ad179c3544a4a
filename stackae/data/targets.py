"""Targets that are numbers: one or several per row, NaN where one is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stackae.errors import DataError

MOST_TARGETS = 1 << 16


def targets_of_arrays(name: str, parts: Sequence[np.ndarray]) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Names of targets, and (n, k) ``in_fewest_bits`` for each part, which are (n,) or (n, k) real numbers.

    The names are y where there is one target, else y0, y1, ... Raises DataError for another shape, and for parts with
    different numbers of targets.
    """
    for part in parts:
        if part.ndim not in (1, 2) or not 1 <= math.prod(part.shape[1:]) <= MOST_TARGETS:
            raise DataError(
                f"{name}: expected targets y of shape (n,) or (n, targets), at most {MOST_TARGETS:,} of them, got "
                f"shape {part.shape}; save one row of numbers for each row of x"
            )
    columns = [part.reshape(len(part), -1) for part in parts]
    counts = {part.shape[1] for part in columns}
    if len(counts) > 1:
        raise DataError(
            f"{name}: expected as many targets in y_test as in y, got {' and '.join(map(str, sorted(counts)))}; "
            "save both with the same columns"
        )
    count = counts.pop()
    names = ("y",) if count == 1 else tuple(f"y{place}" for place in range(count))
    return names, [in_fewest_bits(part) for part in columns]


def in_fewest_bits(y: np.ndarray) -> np.ndarray:
    """The same numbers, of any real type, as float32 where that holds each of them, else as float64. No errors."""
    with np.errstate(over="ignore", invalid="ignore"):
        narrow, wide = y.astype(np.float32), y.astype(np.float64)
        found: np.ndarray = narrow if np.array_equal(narrow, wide, equal_nan=True) else wide
    return found


def checked_targets(name: str, y: np.ndarray, rows: int, targets: int) -> np.ndarray:
    """(rows, targets) float32 or float64; DataError for another shape, and for what is infinite or none in 32 bits."""
    if y.shape != (rows, targets):
        raise DataError(
            f"{name}: expected {targets} targets per row, {rows} rows in all, got shape {y.shape}; "
            "give as many targets as rows"
        )
    with np.errstate(over="ignore"):
        bad = np.argwhere(np.isinf(y.astype(np.float32)))
    if len(bad):
        row, column = bad[0].tolist()
        raise DataError(
            f"{name}: expected targets that are finite 32-bit numbers, or NaN where one is missing, got "
            f"{y[row, column]} for row {row}, target {column} (counted from 0), {len(bad)} such in all; "
            "remove or rescale them"
        )
    return in_fewest_bits(y)


def groups_of(y: np.ndarray | None) -> np.ndarray | None:
    """What parts are to have equal shares of: classes as they are; of targets, rows with any (0) and with none (-1)."""
    return y if y is None or y.ndim == 1 else np.where(np.isnan(y).all(axis=1), -1, 0)


def is_missing(cell: str) -> bool:
    """Whether the cell of a table says that its target is not known."""
    return not cell or cell.lower() == "nan"
