"""What rows are like, found in one pass over pieces of them: range, bad cells, what is constant, what is there twice.

Equality is that of the numbers in their own precision (``row_type``), told by 64-bit sums: cell (i, j) with bits b is
mix(b), column j is the sum of r_i mix(b_ij), row i that of c_j mix(b_ij), modulo 2^64, with odd r_i and c_j that are
drawn by their place. Two that differ have the same sum with a probability of about 2^-64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stackae.data.mixing import COLUMN_STREAM, ROW_STREAM, factors, scrambled
from stackae.data.source import in_32_bits, row_type
from stackae.data.spread import Merged, Outlier, Sample, farthest, flattened, merged

PIECE_CELLS = 1 << 20
MOST_ROWS_COMPARED = 1 << 24  # a sum a row is kept: 128 MiB
SHOWN = 10
NAN = 0x7FF8 << 48


class BadCell(NamedTuple):
    """Row and column from 0, and the value as it is stored."""

    row: int
    column: int
    value: str


class Findings(NamedTuple):
    """low and high are those of each column's finite cells, (d,) float32 or float64, inf and -inf where it has none.

    too_large counts finite numbers that are none in 32 bits. duplicate_columns holds a group of column numbers for
    each that is there more than once; duplicate_rows counts rows equal to an earlier one, of the first
    ``compared_rows``. outliers and merged are those of ``spread``.
    """

    rows: int
    columns: int
    low: np.ndarray
    high: np.ndarray
    nan: int
    infinite: int
    too_large: int
    first_bad: list[BadCell]
    constant_columns: list[int]
    duplicate_columns: list[list[int]]
    duplicate_rows: int
    compared_rows: int
    outliers: tuple[Outlier, ...] = ()
    merged: tuple[Merged, ...] = ()

    @property
    def bad(self) -> int:
        """Cells that training would refuse."""
        return self.nan + self.infinite + self.too_large


class Examiner:
    """Takes pieces of rows in their order and keeps what ``findings`` needs: a few numbers a column, 8 bytes a row."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._rows = 0
        self._counts = np.zeros(3, dtype=np.int64)  # NaN, infinite, too large
        self._first: list[BadCell] = []
        self._spoilt = np.zeros(columns, dtype=bool)
        self._low = np.full(columns, np.inf, dtype=np.float32)  # wider with the first rows that are
        self._high = np.full(columns, -np.inf, dtype=np.float32)
        self._column_sums = np.zeros(columns, dtype=np.uint64)
        self._column_factors = factors(0, columns, COLUMN_STREAM)
        self._sample = Sample(columns)
        self._extreme_rows = np.zeros((2, columns), dtype=np.int64)  # of the lowest and of the highest
        self._row_sums: list[np.ndarray] = []

    def add(self, rows: np.ndarray) -> None:
        """The next rows (n, d), of any real type; no errors."""
        step = max(1, PIECE_CELLS // self._columns)
        for start in range(0, len(rows), step):
            self._add(rows[start : start + step])

    def _add(self, stored: np.ndarray) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            cells = stored.astype(row_type(stored.dtype), copy=False)
        finite = np.isfinite(in_32_bits(cells))
        if finite.all():
            low, high = cells.min(axis=0), cells.max(axis=0)
        else:
            self._note_bad(stored, finite)
            low, high = (np.where(finite, cells, cells.dtype.type(fill)) for fill in (np.inf, -np.inf))
            low, high = low.min(axis=0), high.max(axis=0)
        self._note_extremes(cells, low, high)
        if cells.dtype != np.uint8:
            self._sample.add(cells)
        mixed = _mixed(cells)
        self._column_sums += factors(self._rows, len(cells), ROW_STREAM) @ mixed
        if self._rows < MOST_ROWS_COMPARED:
            self._row_sums.append((mixed @ self._column_factors)[: MOST_ROWS_COMPARED - self._rows])
        self._rows += len(cells)

    def _note_extremes(self, cells: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        for which, found, better in ((0, low, low < self._low), (1, high, high > self._high)):
            for column in np.flatnonzero(better).tolist():
                self._extreme_rows[which, column] = self._rows + int(np.argmax(cells[:, column] == found[column]))
        self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)

    def _note_bad(self, stored: np.ndarray, finite: np.ndarray) -> None:
        nan, infinite = np.isnan(stored), np.isinf(stored)
        self._counts += [nan.sum(), infinite.sum(), (~finite & ~nan & ~infinite).sum()]
        self._spoilt |= ~finite.all(axis=0)
        for row, column in np.argwhere(~finite)[: SHOWN - len(self._first)].tolist():
            self._first.append(BadCell(self._rows + row, column, str(stored[row, column])))

    def _outliers(self) -> tuple[Outlier, ...]:
        found = []
        for each in flattened(self._sample.rows(), self._low, self._high):
            value = farthest(each, self._low, self._high)
            row = self._extreme_rows[int(value == self._high[each.column]), each.column]
            found.append(Outlier(each.column, int(row), value, each.low, each.high))
        return tuple(found)

    def findings(self) -> Findings:
        """Of all rows so far; no errors."""
        sums = np.concatenate(self._row_sums) if self._row_sums else np.zeros(0, dtype=np.uint64)
        constant = (self._low == self._high) & ~self._spoilt
        nan, infinite, too_large = self._counts.tolist()
        return Findings(
            rows=self._rows,
            columns=self._columns,
            low=self._low,
            high=self._high,
            nan=nan,
            infinite=infinite,
            too_large=too_large,
            first_bad=list(self._first),
            constant_columns=np.flatnonzero(constant).tolist(),
            duplicate_columns=_groups(self._column_sums) if self._rows else [],
            duplicate_rows=len(sums) - len(np.unique(sums)),
            compared_rows=len(sums),
            outliers=self._outliers(),
            merged=tuple(merged(self._sample.rows())),
        )


def _mixed(cells: np.ndarray) -> np.ndarray:
    """Of each cell, uint8, float32 or float64, a uint64 that only equal cells share: -0 is 0, and NaN NaN."""
    if cells.dtype == np.uint8:
        table = scrambled(np.arange(256, dtype=np.uint64))
        return np.take(table, cells)
    bits = np.ascontiguousarray(cells + cells.dtype.type(0)).view(f"u{cells.itemsize}").astype(np.uint64)
    bits[np.isnan(cells)] = NAN
    return scrambled(bits)


def _groups(sums: np.ndarray) -> list[list[int]]:
    """The places of each sum that is there more than once, by the first of them."""
    order = np.argsort(sums, kind="stable")
    _, sizes = np.unique(sums, return_counts=True)
    ends = np.cumsum(sizes)
    groups = [order[end - size : end].tolist() for end, size in zip(ends, sizes, strict=True) if size > 1]
    return sorted(groups)
