"""Outliers that flatten a column, and distinct values that become one in 32 bits.

Both are found from evenly spaced rows, all of them where there are few, and from the extremes of all rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stackae.data.source import in_32_bits, row_type
from stackae.data.stored.array import Array, StoredArray, pieces

MOST_ROWS, MOST_CELLS, FEWEST_ROWS = 1 << 14, 1 << 20, 20
FLAT = 100  # how many times the range of 98 % of the rows that of all is
MERGED = 0.01


class Outlier(NamedTuple):
    """A column that outliers flatten: 98 % of its rows lie from low to high, ``value`` in ``row`` farthest from them.

    row and column are counted from 0.
    """

    column: int
    row: int
    value: float
    low: float
    high: float


class Merged(NamedTuple):
    """A column, of whose ``before`` distinct values in the rows looked at ``after`` are left in 32 bits."""

    column: int
    before: int
    after: int


class Sample:
    """Takes pieces of rows in their order and keeps evenly spaced ones of them, at most 2^14 rows and 2^20 cells."""

    def __init__(self, columns: int) -> None:
        self._most = max(1, min(MOST_ROWS, MOST_CELLS // columns))
        self._seen, self._stride, self._count = 0, 1, 0
        self._kept: list[np.ndarray] = []

    def add(self, rows: np.ndarray) -> None:
        """The next rows (n, d); what is kept of them is copied. No errors."""
        while len(range(-self._seen % self._stride, len(rows), self._stride)) + self._count > self._most:
            self._halve()
        kept = rows[-self._seen % self._stride :: self._stride].copy()
        self._kept.append(kept)
        self._count += len(kept)
        self._seen += len(rows)

    def _halve(self) -> None:
        whole = self.rows()[::2]
        self._kept, self._count, self._stride = [whole] if len(whole) else [], len(whole), 2 * self._stride

    def rows(self) -> np.ndarray:
        """(m, d), m at most the number of rows that were seen; of no shape where none was."""
        return np.concatenate(self._kept) if self._kept else np.zeros((0, 0))


class Flattened(NamedTuple):
    """A column, and from where to where 98 % of its rows lie."""

    column: int
    low: float
    high: float


def flattened(sample: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[Flattened]:
    """Columns that lie flat once they are scaled to their range.

    The range of all rows (low and high, (d,)) is more than 100 times that of the rows of the sample (m, d) without its
    1 % smallest and 1 % largest values, at least one of each; where those are one value, the farthest value is more
    than 100 times as far from it as half of the others. Says nothing of fewer than 20 rows, and of columns that are not
    finite. No errors.
    """
    count = len(sample)
    if count < FEWEST_ROWS:
        return []
    cut = max(1, count // 100)
    if np.isnan(sample).any():
        sample = _without_gaps(sample)
    ordered = np.partition(sample, (cut, count - 1 - cut), axis=0).astype(np.float64)
    inner_low, inner_high = ordered[cut], ordered[-1 - cut]
    with np.errstate(invalid="ignore", over="ignore"):
        whole, inner = high.astype(np.float64) - low, inner_high - inner_low
        flat = np.isfinite(ordered).all(axis=0) & np.isfinite(whole) & (whole > FLAT * inner)
    found = []
    for column in np.flatnonzero(flat).tolist():
        middle = float(inner_low[column])
        if inner[column] == 0:
            away = np.abs(ordered[:, column] - middle)
            away = away[away > 0]
            farthest = max(float(high[column]) - middle, middle - float(low[column]))
            if not len(away) or farthest <= FLAT * np.median(away):
                continue
        found.append(Flattened(column, middle, float(inner_high[column])))
    return found


def _without_gaps(sample: np.ndarray) -> np.ndarray:
    """The sample in which missing cells are the medians of their columns, that of a column without any 0."""
    known = ~np.isnan(sample)
    empty = ~known.any(axis=0)
    return np.where(known, sample, np.nanmedian(np.where(empty, 0, sample), axis=0))


def farthest(which: Flattened, low: np.ndarray, high: np.ndarray) -> float:
    """The extreme of a column that lies farther from where most of its rows are."""
    smallest, largest = float(low[which.column]), float(high[which.column])
    return largest if largest - which.high >= which.low - smallest else smallest


def outliers(x: Array, rows: np.ndarray) -> tuple[Outlier, ...]:
    """The columns of these rows of x (n, d) that are ``flattened``, each with its farthest cell; none of bytes.

    x is finite or NaN, rows are ascending numbers of rows. No errors.
    """
    if x.dtype == np.uint8 or len(rows) < FEWEST_ROWS:
        return ()
    sample, found = sampled(x, rows), []
    ends = [(np.fmin.reduce(piece), np.fmax.reduce(piece)) for _, piece in pieces(x)]  # of all rows: no copy of these
    least, most = np.fmin.reduce([low for low, _ in ends]), np.fmax.reduce([high for _, high in ends])
    for column, *_ in flattened(sample, least, most):
        cells = (x.columns(column, column + 1)[:, 0] if isinstance(x, StoredArray) else x[:, column])[rows]
        low, high = np.fmin.reduce(cells, keepdims=True), np.fmax.reduce(cells, keepdims=True)
        for alone in flattened(sample[:, [column]], low, high):
            value = farthest(alone, low, high)
            row = rows[int(np.argmax(cells == value))]
            found.append(Outlier(column, int(row), value, alone.low, alone.high))
    return tuple(found)


def sampled(x: Array, rows: np.ndarray) -> np.ndarray:
    """Evenly spaced ones of these rows of x (n, d), as many as ``Sample`` keeps at the most."""
    most = max(1, min(MOST_ROWS, MOST_CELLS // x.shape[1]))
    found: np.ndarray = x[rows[:: max(1, -(-len(rows) // most))]]
    return found


def merged(sample: np.ndarray) -> list[Merged]:
    """Columns of the sample (m, d) that lose more than 1 % of their distinct values when they are rounded to 32 bits.

    No errors.
    """
    if row_type(sample.dtype) != np.float64 or not len(sample):
        return []
    before, after = (_distinct(np.sort(rows, axis=0)) for rows in (sample, in_32_bits(sample)))
    lost = np.flatnonzero(before - after > MERGED * before)
    return [Merged(column, int(before[column]), int(after[column])) for column in lost.tolist()]


def _distinct(ordered: np.ndarray) -> np.ndarray:
    counts: np.ndarray = 1 + np.count_nonzero(ordered[1:] != ordered[:-1], axis=0)
    return counts
