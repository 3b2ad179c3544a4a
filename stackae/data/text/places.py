"""Where the rows of a file of text stand: their numbers, their lines, and which of them are left out."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stackae.data.source import MOST_NAMED, BadRow
from stackae.data.text.rows import Row


@dataclass(frozen=True)
class Runs:
    """Lines of rows: row starts[i] begins in line lines[i], and each of the rows up to starts[i + 1] a line later."""

    starts: np.ndarray
    lines: np.ndarray

    def __call__(self, places: Sequence[int]) -> list[int]:
        rows = np.asarray(places, dtype=np.int64)
        run = np.searchsorted(self.starts, rows, side="right") - 1
        found: list[int] = (self.lines[run] + rows - self.starts[run]).tolist()
        return found


class RowPlaces:
    """Rows as they come: those with a cell for each of ``width`` columns are sound, the others ``bad``."""

    def __init__(self, width: int) -> None:
        self.count = self.bad_rows = 0
        self.bad = list[BadRow]()
        self._width = width
        self._numbers = [np.zeros(0, dtype=np.int64)]
        self._sound = 0
        self._starts, self._lines, self._next = array("q"), array("q"), -1

    def add_all(self, count: int, line: int) -> None:
        """So many sound rows, each in a line of its own."""
        self._numbers.append(np.arange(self.count, self.count + count))
        self._run(line, count)
        self.count += count

    def add_sound(self, rows: Sequence[Row]) -> list[list[str]]:
        """The cells of those rows that are sound."""
        sound, numbers = list[list[str]](), array("q")
        for number, row in enumerate(rows, start=self.count):
            if len(row.cells) == self._width:
                sound.append(row.cells)
                numbers.append(number)
                self._run(row.line, 1)
                continue
            self.bad_rows += 1
            if len(self.bad) < MOST_NAMED:
                reason = f"expected {self._width} cells as in the header, got {len(row.cells)}"
                self.bad.append(BadRow(number, f"line {row.line}: {reason}"))
        self.count += len(rows)
        self._numbers.append(np.array(numbers, dtype=np.int64))
        return sound

    def _run(self, line: int, count: int) -> None:
        if line != self._next:
            self._starts.append(self._sound)
            self._lines.append(line)
        self._sound += count
        self._next = line + count

    @property
    def numbers(self) -> np.ndarray:
        """(n,) int64: the numbers of the sound rows among all, from 0."""
        return np.concatenate(self._numbers)

    @property
    def lines(self) -> Runs:
        return Runs(np.array(self._starts, dtype=np.int64), np.array(self._lines, dtype=np.int64))
