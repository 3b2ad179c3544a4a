"""The smallest and the largest number of each column, and where they are, over pieces of rows."""

from __future__ import annotations

import numpy as np

from stackae.data.outliers import Outlier, farthest, flattened
from stackae.data.source import in_32_bits, row_type

WIDE = 1024  # cells of a line that numpy reduces fast


class Ranges:
    """low and high are (d,) float32 or float64 by ``row_type``, of the cells that are finite in 32 bits: inf and -inf
    where there is none."""

    def __init__(self, columns: int) -> None:
        self.low = np.full(columns, np.inf, dtype=np.float32)  # wider with the first rows that are
        self.high = np.full(columns, -np.inf, dtype=np.float32)
        self._places = np.zeros((2, columns), dtype=np.int64)  # of the lowest and of the highest

    def add(self, cells: np.ndarray, start: int) -> bool:
        """The rows from ``start`` on; whether all of their cells are finite in 32 bits. No errors."""
        with np.errstate(invalid="ignore", over="ignore"):
            low, high = _extremes(cells, np.minimum), _extremes(cells, np.maximum)
            sound = bool(np.isfinite(in_32_bits(low)).all() and np.isfinite(in_32_bits(high)).all())
            if not sound:
                finite = np.isfinite(in_32_bits(cells))
                low, high = (np.where(finite, cells, cells.dtype.type(fill)) for fill in (np.inf, -np.inf))
                low, high = low.min(axis=0), high.max(axis=0)
        precision = np.promote_types(row_type(cells.dtype), self.low.dtype)
        for which, found, known in ((0, low, self.low), (1, high, self.high)):
            better = np.flatnonzero(found < known if which == 0 else found > known)
            if len(better):
                self._places[which, better] = start + np.argmax(cells[:, better] == found[better], axis=0)
        self.low = np.minimum(self.low, low.astype(precision))
        self.high = np.maximum(self.high, high.astype(precision))
        return sound

    def outliers(self, sample: np.ndarray) -> tuple[Outlier, ...]:
        """The columns that are ``flattened``, by evenly spaced rows, each with its farthest cell."""
        found = []
        for each in flattened(sample, self.low, self.high):
            value = farthest(each, self.low, self.high)
            row = self._places[int(value == self.high[each.column]), each.column]
            found.append(Outlier(each.column, int(row), value, each.low, each.high))
        return tuple(found)


def _extremes(cells: np.ndarray, which: np.ufunc) -> np.ndarray:
    """which.reduce over the rows of (n, d), n >= 1: several rows as one line where they are short."""
    together = min(len(cells), max(1, WIDE // cells.shape[1]))
    whole = len(cells) // together * together
    lines = which.reduce(cells[:whole].reshape(-1, together * cells.shape[1]), axis=0)
    found = which.reduce(lines.reshape(together, -1), axis=0)
    rest = cells[whole:]
    extremes: np.ndarray = which(found, which.reduce(rest, axis=0)) if len(rest) else found
    return extremes
