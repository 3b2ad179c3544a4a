"""Rows and columns that are there twice, found by 64-bit sums over the numbers as they are stored.

A word is 64 bits of a row (a cell, or several that are shorter), or a cell of a column. Row i is the sum of
c_j mix(w_ij), column j that of r_i mix(w_ij), modulo 2^64, with odd c_j and r_i that are drawn by their place; mix is a
bijection in which every bit matters. Two that differ in one word have different sums, others the same sum with a
probability of about 2^-63. Of the columns only those are followed that were equal to another so far.
"""

from __future__ import annotations

import numpy as np

from stackae.data.hashing import COLUMN_STREAM, ROW_STREAM, factors

MOST_ROWS_COMPARED = 1 << 24  # one sum per row: 128 MiB
PAYLOAD = {4: np.uint32(0x003FFFFF), 8: np.uint64(0x0007FFFFFFFFFFFF)}  # of a NaN, by bytes


def comparable(stored: np.ndarray) -> np.ndarray:
    """(n, d) contiguous numbers of which the equal ones have the same bits, but for NaN: integers as they are, booleans
    as bytes, floats as float32 or float64 without -0."""
    cells = np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("="))
    if cells.dtype.kind == "b":
        return cells.view(np.uint8)
    if cells.dtype.kind != "f":
        return cells
    with np.errstate(over="ignore", invalid="ignore"):
        wide: np.ndarray = cells.astype(np.float32 if cells.itemsize <= 4 else np.float64, copy=False)
        sound: np.ndarray = np.add(wide, 0, dtype=wide.dtype)
    return sound


def with_one_nan(cells: np.ndarray) -> np.ndarray:
    """The same cells, where every NaN has the same bits unless something is packed in it."""
    if cells.dtype.kind == "f":
        bits = cells.view(f"u{cells.itemsize}")
        cells[np.isnan(cells) & (bits & PAYLOAD[cells.itemsize] == 0)] = np.nan
    return cells


class Rows:
    """The sum of each of the first 2^24 rows."""

    def __init__(self) -> None:
        self._sums: list[np.ndarray] = []
        self._count = 0
        self._factors = np.zeros(0, dtype=np.uint64)

    def add(self, cells: np.ndarray) -> None:
        """The next comparable rows (n, d). No errors."""
        if self._count >= MOST_ROWS_COMPARED:
            return
        words = _mixed(_words(cells))
        if len(self._factors) != words.shape[1]:
            self._factors = factors(0, words.shape[1], COLUMN_STREAM)
        self._sums.append(np.einsum("ij,j->i", words, self._factors)[: MOST_ROWS_COMPARED - self._count])
        self._count += len(self._sums[-1])

    def repeated(self) -> tuple[int, int]:
        """How many rows equal an earlier one, and how many were compared."""
        sums = np.sort(np.concatenate(self._sums)) if self._sums else np.zeros(0, dtype=np.uint64)
        return int(np.count_nonzero(sums[1:] == sums[:-1])), len(sums)


class Columns:
    """The sum of each column that was equal to another so far."""

    def __init__(self, columns: int) -> None:
        self._which = np.arange(columns)
        self._sums = np.zeros(columns, dtype=np.uint64)
        self._pieces, self._next = 0, 1

    def add(self, cells: np.ndarray, start: int) -> None:
        """The comparable rows (n, d) from ``start`` on. No errors."""
        if len(self._which) < 2:
            return
        chosen = cells if len(self._which) == cells.shape[1] else cells[:, self._which]
        words = _mixed(chosen.view(f"u{chosen.itemsize}").astype(np.uint64, copy=False))
        self._sums += np.einsum("ij,i->j", words, factors(start, len(cells), ROW_STREAM))
        self._pieces += 1
        if self._pieces == self._next:  # seldom, so that it costs nothing where many are equal
            self._next *= 2
            self._forget_single()

    def _forget_single(self) -> None:
        _, inverse, counts = np.unique(self._sums, return_inverse=True, return_counts=True)
        kept = counts[inverse] > 1
        self._which, self._sums = self._which[kept], self._sums[kept]

    def groups(self) -> list[list[int]]:
        """The columns of each sum that is there more than once, by the first of them."""
        order = np.argsort(self._sums, kind="stable")
        _, sizes = np.unique(self._sums, return_counts=True)
        parted = np.split(self._which[order], np.cumsum(sizes)[:-1])
        return sorted(each.tolist() for each in parted if len(each) > 1)


def _words(cells: np.ndarray) -> np.ndarray:
    """(n, w) uint64: the bits of each row, with zeros behind."""
    count, width = len(cells), cells.shape[1] * cells.itemsize
    if width % 8 == 0:
        return cells.view(np.uint64)
    words = np.zeros((count, -(-width // 8)), dtype=np.uint64)
    words.view(np.uint8)[:, :width] = cells.view(np.uint8).reshape(count, width)
    return words


def _mixed(words: np.ndarray) -> np.ndarray:
    """A new array; between two shifts that bring high bits down, a product that carries low ones up."""
    mixed = words >> np.uint64(32)
    mixed ^= words
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(29)
    return mixed
