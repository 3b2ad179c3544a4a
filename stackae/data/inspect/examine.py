"""What rows are like, found in one pass over pieces of them: range, bad cells, what is constant, what is there twice.

Equality is that of the numbers as they are stored: ``duplicates``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stackae.data.inspect import duplicates
from stackae.data.inspect.duplicates import comparable, with_one_nan
from stackae.data.inspect.ranges import Ranges
from stackae.data.outliers import Merged, Outlier, Sample, merged
from stackae.data.source import in_32_bits

BLOCK_BYTES = 1 << 19  # half of a core's cache
SHOWN = 10


class BadCell(NamedTuple):
    """Row and column from 0, and the value as it is stored."""

    row: int
    column: int
    value: str


class Findings(NamedTuple):
    """low and high are those of each column's finite cells, (d,) float32 or float64, inf and -inf where it has none.

    too_large counts finite numbers that are none in 32 bits. duplicate_columns holds a group of column numbers for
    each that is there more than once; duplicate_rows counts rows equal to an earlier one, of the first
    ``compared_rows``. outliers and merged are those of ``stackae.data.outliers``.
    """

    rows: int
    columns: int
    low: np.ndarray
    high: np.ndarray
    nan: int
    infinite: int
    too_large: int
    first_bad: list[BadCell]
    first_too_large: BadCell | None
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
    """Takes pieces of rows in order and keeps what ``findings`` needs: some numbers per column, 8 bytes per row."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._rows = 0
        self._counts = np.zeros(3, dtype=np.int64)  # NaN, infinite, too large
        self._first: list[BadCell] = []
        self._first_too_large: BadCell | None = None
        self._spoilt = np.zeros(columns, dtype=bool)
        self._ranges = Ranges(columns)
        self._sample = Sample(columns)
        self._row_sums, self._column_sums = duplicates.Rows(), duplicates.Columns(columns)

    def add(self, rows: np.ndarray) -> None:
        """The next rows (n, d), of any real type, the same for all; no errors."""
        step = max(1, BLOCK_BYTES // (self._columns * rows.dtype.itemsize))
        for start in range(0, len(rows), step):
            self._add(rows[start : start + step])

    def _add(self, stored: np.ndarray) -> None:
        cells = comparable(stored)
        if not self._ranges.add(cells, self._rows):
            self._note_bad(stored, np.isfinite(in_32_bits(cells)))
            cells = with_one_nan(cells)
        self._sample.add(cells)
        self._row_sums.add(cells)
        self._column_sums.add(cells, self._rows)
        self._rows += len(cells)

    def _note_bad(self, stored: np.ndarray, finite: np.ndarray) -> None:
        nan, infinite = np.isnan(stored), np.isinf(stored)
        self._counts += [nan.sum(), infinite.sum(), (~finite & ~nan & ~infinite).sum()]
        self._spoilt |= ~finite.all(axis=0)
        for row, column in np.argwhere(~finite)[: SHOWN - len(self._first)].tolist():
            self._first.append(BadCell(self._rows + row, column, str(stored[row, column])))
        too_large = ~finite & ~nan & ~infinite
        if self._first_too_large is None and too_large.any():
            row, column = np.argwhere(too_large)[0].tolist()
            self._first_too_large = BadCell(self._rows + row, column, str(stored[row, column]))

    @property
    def rows(self) -> int:
        """How many there were so far."""
        return self._rows

    def findings(self) -> Findings:
        """Of all rows so far; no errors."""
        repeated, compared = self._row_sums.repeated()
        low, high = self._ranges.low, self._ranges.high
        nan, infinite, too_large = self._counts.tolist()
        sample = self._sample.rows()
        return Findings(
            rows=self._rows,
            columns=self._columns,
            low=low,
            high=high,
            nan=nan,
            infinite=infinite,
            too_large=too_large,
            first_bad=list(self._first),
            first_too_large=self._first_too_large,
            constant_columns=np.flatnonzero((low == high) & ~self._spoilt).tolist(),
            duplicate_columns=self._column_sums.groups() if self._rows else [],
            duplicate_rows=repeated,
            compared_rows=compared,
            outliers=self._ranges.outliers(sample) if sample.dtype != np.uint8 else (),
            merged=tuple(merged(sample)),
        )
