"""Numbers that lie in a file and are read when they are asked for: rows larger than the memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, overload

import numpy as np

from stackae.data.memory import free_memory
from stackae.data.stored.reader import Reader

CHUNK_CELLS = 1 << 22  # of rows that are looked at together
STRIP_BYTES = 1 << 28  # of columns that are held at once
SHARE = 0.5  # of the free memory that rows may take before they stay in their file


def stays_on_disk(storage: str, needed: int) -> bool:
    """Whether rows that would take ``needed`` bytes in memory stay in their file: by request, or where they are large.

    ``auto`` leaves them there where they would take more than half of the free memory. No errors.
    """
    if storage != "auto":
        return storage == "disk"
    free = free_memory()
    return free is not None and needed > SHARE * free


class StoredArray:
    """Numbers (n, d) of a memory-mapped file, of any real type there; reading gives them as ``dtype``.

    ``x[slice]``, ``x[int64 rows]`` and ``x[mask]`` are new arrays, (rows, d), C-contiguous. ``at(rows)`` are some of
    the rows, still in the file. What was read is in new memory alone, so that the memory of the process does not grow
    with the file; the system keeps it in a cache of its own as long as nobody else needs the room.

    With ``infinite_as_nan``, an infinite cell is read as NaN: as missing.
    """

    ndim = 2

    def __init__(
        self,
        raw: np.memmap,
        dtype: np.dtype[Any] | None = None,
        index: np.ndarray | None = None,
        infinite_as_nan: bool = False,
        reader: Reader | None = None,
    ) -> None:
        self.raw, self.index, self.infinite_as_nan = raw, index, infinite_as_nan
        self.dtype: np.dtype[Any] = np.dtype(raw.dtype if dtype is None else dtype)
        self._reader = reader or Reader(raw)

    def __len__(self) -> int:
        return len(self.raw) if self.index is None else len(self.index)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), int(self.raw.shape[1])

    @property
    def size(self) -> int:
        return len(self) * int(self.raw.shape[1])

    @property
    def nbytes(self) -> int:
        """What the rows take as they are read, were all of them in memory."""
        return self.size * self.dtype.itemsize

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        where: slice | np.ndarray = rows if self.index is None else self.index[rows]
        if isinstance(where, slice):
            start, stop, step = where.indices(len(self.raw))
            assert step == 1, "rows are read one after the other"
            found = self._reader.slice(start, stop)
        else:
            found = self._reader.take(np.flatnonzero(where) if where.dtype == bool else where)
        with np.errstate(over="ignore", invalid="ignore"):
            cells: np.ndarray = found.astype(self.dtype, order="C", copy=False)
        if self.infinite_as_nan and cells.dtype.kind == "f":
            cells[np.isinf(cells)] = np.nan
        return cells

    def at(self, rows: np.ndarray) -> StoredArray:
        """The rows of these numbers, or of a mask (n,), as a stored array of the same file."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        return self._like(index=rows if self.index is None else self.index[rows])

    def read_as(self, dtype: np.dtype[Any]) -> StoredArray:
        """The same rows, whose numbers are read as another type."""
        return self._like(dtype=dtype)

    def without_infinite(self) -> StoredArray:
        """The same rows, whose infinite cells are NaN."""
        return self._like(infinite_as_nan=True)

    def columns(self, begin: int, end: int) -> np.ndarray:
        """(n, end - begin) some columns of all rows, in memory, in one pass over the file."""
        found = np.empty((len(self), min(end, self.shape[1]) - begin), dtype=self.dtype)
        for start, piece in pieces(self):
            found[start : start + len(piece)] = piece[:, begin:end]
        return found

    def strips(self) -> Iterator[slice]:
        """The columns in strips of which ``columns`` holds no more than 256 MB, a column at least."""
        width = max(1, STRIP_BYTES // max(1, len(self) * self.dtype.itemsize))
        for begin in range(0, self.shape[1], width):
            yield slice(begin, min(begin + width, self.shape[1]))

    def _like(self, **changed: Any) -> StoredArray:
        kept = {"dtype": self.dtype, "index": self.index, "infinite_as_nan": self.infinite_as_nan}
        return StoredArray(self.raw, **{**kept, **changed}, reader=self._reader)


Array = np.ndarray | StoredArray
"""Rows (n, d) in memory, or in a file."""


def pieces(x: Array, cells: int = CHUNK_CELLS) -> Iterator[tuple[int, np.ndarray]]:
    """Where each piece of rows x (n, d) begins, and the piece, of at most so many cells, a row at least."""
    step = max(1, cells // max(1, x.shape[1]))
    for start in range(0, len(x), step):
        yield start, x[start : start + step]


@overload
def rows_at(x: np.ndarray, rows: np.ndarray) -> np.ndarray: ...
@overload
def rows_at(x: StoredArray, rows: np.ndarray) -> StoredArray: ...
@overload
def rows_at(x: Array, rows: np.ndarray) -> Array: ...
def rows_at(x: Array, rows: np.ndarray) -> Array:
    """The given rows, ascending, where x lies; x itself where they are all of them."""
    if len(rows) == len(x):
        return x
    return x.at(rows) if isinstance(x, StoredArray) else x[rows]


def column_extremes(x: Array) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest number (d,) of each column of x (n, d), n >= 1; NaN where one is NaN."""
    low, high = None, None
    for _, piece in pieces(x):
        least, most = piece.min(axis=0), piece.max(axis=0)
        low = least if low is None else np.minimum(low, least)
        high = most if high is None else np.maximum(high, most)
    assert low is not None and high is not None, "rows that are checked are not empty"
    return low, high


def column_means(x: Array) -> np.ndarray:
    """(d,) float64 means of the columns of x (n, d), n >= 1: sums of pieces, one after the other."""
    total = np.zeros(x.shape[1])
    for _, piece in pieces(x):
        total += piece.sum(axis=0, dtype=np.float64)
    return total / len(x)
