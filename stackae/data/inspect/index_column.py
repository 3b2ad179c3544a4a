"""A first column that counts the rows: an index that a program wrote beside the numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stackae.data.stored.array import Array, pieces
from stackae.errors import argument, legible

FEWEST_ROWS = 10  # that are no coincidence
NAMES = ("", "id", "index", "idx", "row", "unnamed: 0")  # of an index of which rows may be missing


class Counting:
    """Takes the cells of a first column in pieces, and tells whether they are 0, 1, 2, ... or 1, 2, 3, ..., or where an
    index has the name of one whole numbers that rise."""

    def __init__(self) -> None:
        self._rows = 0
        self._first: float | None = None
        self._last = -np.inf
        self._counts = self._rises = True

    def add(self, cells: np.ndarray) -> None:
        """The next ones (n,), of any real type; no errors."""
        if self._counts and len(cells):
            if self._first is None:
                self._first = float(cells[0])
            start = self._first + self._rows
            self._counts = self._first in (0, 1) and bool((cells == start + np.arange(len(cells))).all())
        if self._rises and len(cells):
            rises = cells[0] > self._last and (cells[1:] > cells[:-1]).all()
            self._rises = bool(rises and (cells == np.floor(cells)).all())
            self._last = float(cells[-1])
        self._rows += len(cells)

    @property
    def may_count(self) -> bool:
        """Whether more cells could still make it an index."""
        return self._counts or self._rises

    def note(self, names: Sequence[str]) -> tuple[str, ...]:
        """What a person should know of it; nothing where the column is none, or the only one."""
        named = self._rises and bool(names) and names[0].lower() in NAMES
        if not (self._counts or named) or self._first is None or self._rows < FEWEST_ROWS:
            return ()
        span = f"counts the rows, {self._first:.0f} to {self._last:,.0f}, as an index does"
        if not names:
            return (f"column 0 {span}, and is learned as a feature; save the data without it",)
        name = legible(names[0])
        remedy = f"leave it out by {argument('drop', name)}"
        return (f"column '{name}' {span}, and is learned as a feature; {remedy}",)


def index_note(x: Array, names: Sequence[str]) -> tuple[str, ...]:
    """``Counting.note`` of rows (n, d); none for bytes, and where there is one column."""
    if x.dtype == np.uint8 or x.shape[1] < 2:
        return ()
    counting = Counting()
    for _, piece in pieces(x):
        counting.add(piece[:, 0])
        if not counting.may_count:
            break
    return counting.note(names)
