"""Columns of a file of text, gathered from pieces of its rows; what one piece shows may change what a column is."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from stackae.data.spool.parts import Part, PartFile
from stackae.data.tables.frame import Column
from stackae.data.text.cells import is_missing, number_of
from stackae.data.text.quick import Coded, Piece

BYTES_OF_TEXT = 120  # that a short text and its place take, beside its characters
TOGETHER = 8  # parts of a column that become one, so that what parsed them has its memory again


class Columns:
    """The columns of a table of ``width``; ``texts`` are those that hold a text, as far as is known.

    A column of numbers in which a text is found becomes one of texts: what was gathered of it is dropped, and it is
    ``again`` to be read from the start. Where there is a file for what is set ``aside``, cells lie there, and only
    texts that differ are held.
    """

    def __init__(self, width: int, texts: set[int], missing: frozenset[str], aside: PartFile | None = None) -> None:
        self.texts, self.again = texts, set[int]()
        self.held = 0
        self._missing, self._aside = missing, aside
        self._parts: list[list[np.ndarray]] = [[] for _ in range(width)]
        self._aside_parts: list[list[Part]] = [[] for _ in range(width)]
        self._loose = [0] * width  # of the last parts
        self._known: list[dict[str, int]] = [{} for _ in range(width)]

    def add(self, wanted: Sequence[int], piece: Piece) -> None:
        for place, column in zip(wanted, piece.columns, strict=True):
            if isinstance(column, Coded) and place not in self.texts:
                self.texts.add(place)
                if self._parts[place] or self._aside_parts[place]:
                    self.again.add(place)
                    self.held -= sum(part.nbytes for part in self._parts[place])
                    self._parts[place], self._aside_parts[place], self._loose[place] = [], [], 0
            if place not in self.again:
                part = self._in_one_code(place, column) if isinstance(column, Coded) else column
                self._keep(place, part)

    def _keep(self, place: int, part: np.ndarray) -> None:
        if self._aside is not None:
            self._aside_parts[place].append(self._aside.keep(part))
            return
        self.held += part.nbytes
        parts = self._parts[place]
        parts.append(part)
        self._loose[place] += 1
        if self._loose[place] == TOGETHER:
            parts[-TOGETHER:] = [np.concatenate(parts[-TOGETHER:])]
            self._loose[place] = 0

    def _in_one_code(self, place: int, column: Coded) -> np.ndarray:
        known, codes = self._known[place], array("i")
        before = len(known)
        for text in column.texts:
            bare = text.strip()
            codes.append(-1 if bare.lower() in self._missing else known.setdefault(bare, len(known)))
        if len(known) > before:
            self.held += (len(known) - before) * BYTES_OF_TEXT + sum(map(len, column.texts))
        found: np.ndarray = np.array(codes, dtype=np.int32)[column.places]
        return found

    def restarted(self) -> list[int]:
        """The columns that are to be read from the start, which begins now."""
        again, self.again = sorted(self.again), set()
        return again

    def column(self, place: int, name: str) -> Column:
        """A whole column, which is gathered here no more."""
        values = self._whole(place)
        if place in self.texts:
            return Column(name, "texts", values, tuple(self._known[place]))
        return Column(name, "numbers", values)

    def _whole(self, place: int) -> np.ndarray:
        parts, self._parts[place] = self._parts[place], []
        aside, self._aside_parts[place] = self._aside_parts[place], []
        if self._aside is not None:
            return self._aside.whole(aside, lambda part: self._without_words(place, part))
        return self._without_words(place, np.concatenate(parts))

    def _without_words(self, place: int, values: np.ndarray) -> np.ndarray:
        """Cells of a column, of which numbers that stand for missing ones are NaN."""
        if place in self.texts:
            return values
        words = [value for word in self._missing if (value := number_of(word)) is not None]
        return np.where(np.isin(values, words), np.nan, values) if words else values


def piece_of_rows(
    rows: Sequence[Sequence[str]], decimal: str, texts: set[int], wanted: Sequence[int], missing: frozenset[str]
) -> Piece:
    """Rows of one width, cell by cell: what is no number in a column that is not of ``texts`` makes it one of those."""
    columns = list(zip(*rows, strict=True))
    found: list[np.ndarray | Coded] = []
    for place in wanted:
        numbers = None if place in texts else _numbers(columns[place], decimal, missing)
        found.append(_coded(columns[place]) if numbers is None else numbers)
    return Piece(found, len(rows))


def _numbers(cells: Sequence[str], decimal: str, missing: frozenset[str]) -> np.ndarray | None:
    joined = "".join(cells)
    if decimal == "." and "_" not in joined and joined.isascii():
        with suppress(ValueError):
            return np.array(array("d", map(float, cells)))
    values = array("d")
    for cell in cells:
        value = float("nan") if is_missing(cell, missing) else number_of(cell, decimal)
        if value is None:
            return None
        values.append(value)
    return np.array(values)


def _coded(cells: Sequence[str]) -> Coded:
    known: dict[str, int] = {}
    places = np.array([known.setdefault(cell, len(known)) for cell in cells], dtype=np.int32)
    return Coded(places, list(known))
