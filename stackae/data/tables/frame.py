"""What a reader of tables hands on: columns as the file has them, before they are made numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from stackae.data.source import BadRow
from stackae.data.spool.spooled import Origin

Stored = Literal["numbers", "booleans", "times", "texts"]


@dataclass(frozen=True)
class Dialect:
    """How a file of text is written; what is None is recognised by its content.

    header says whether the first line names the columns, and ``missing`` are cells that stand for a missing value
    beside the usual ones, such as -999. ``otherwise`` is taken where the content leaves open what is None.
    """

    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    header: bool | None = None
    missing: tuple[str, ...] = ()
    otherwise: Dialect | None = None


class Column(NamedTuple):
    """One column of n rows.

    stored is what the file holds: of a file of text, numbers where every cell that is not missing is one, else texts.
    values are (n,) float64, NaN where a cell is missing (booleans 0 or 1; times seconds since 1970, UTC), infinities as
    they are; of texts, (n,) int32 places in ``texts``, -1 where a cell is missing. ``texts`` are distinct, without
    blanks around them, in the order in which they first come.
    """

    name: str
    stored: Stored
    values: np.ndarray
    texts: tuple[str, ...] = ()


class Frame(NamedTuple):
    """The sound rows of a table: each has a cell per column, whatever stands in it.

    numbers (n,) int64 are those of the rows in the file, from 0; ``bad`` are the first rows that were left out, with
    too few or too many cells, and ``bad_rows`` says how many. lines maps places of rows to their lines in the file,
    from 1; None where a file has no lines. dialect has no None, of a file of text; notes are sentences that a person
    should read of what was recognised. ``origin`` are the files of a frame whose columns stay on disk.
    """

    name: str
    columns: tuple[Column, ...]
    numbers: np.ndarray
    bad: tuple[BadRow, ...] = ()
    bad_rows: int = 0
    lines: Callable[[Sequence[int]], list[int]] | None = None
    dialect: Dialect | None = None
    notes: tuple[str, ...] = ()
    origin: Origin | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def part(self, rows: slice) -> Frame:
        """Some of its rows, which lie where they were; their lines are not known."""
        columns = tuple(_part(column, rows) for column in self.columns)
        return self._replace(columns=columns, numbers=self.numbers[rows], lines=None)


def _part(column: Column, rows: slice) -> Column:
    """Some rows of a column, with the texts that stand in them where all are many more."""
    values = column.values[rows]
    if len(column.texts) <= len(values):
        return column._replace(values=values)
    found, places = np.unique(values, return_inverse=True)
    none = int(len(found) > 0 and found[0] < 0)
    texts = tuple(column.texts[place] for place in found[none:].tolist())
    return column._replace(values=(places - none).astype(np.int32), texts=texts)
