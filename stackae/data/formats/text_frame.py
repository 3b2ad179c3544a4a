"""A file of text as a Frame: columns of numbers and texts, whatever stands in their cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stackae.data.formats.bounded import opened
from stackae.data.formats.text_header import number_of, read_names
from stackae.data.formats.text_rows import TextRows
from stackae.data.source import MOST_NAMED, BadRow
from stackae.data.tables.frame import Column, Dialect, Frame
from stackae.errors import DataError

MISSING = frozenset(("", "?", "na", "n/a", "nan", "null"))
"""Cells that stand for a missing value, in letters of either case."""


def read_frame(path: Path, dialect: Dialect | None = None) -> Frame:
    """The columns of a file of text, numbers or texts, and its rows that have a cell for each of them.

    Raises DataError for a missing or doubtful header, for what is no text, and where no row is sound.
    """
    dialect = dialect or Dialect()
    missing = MISSING | {word.lower() for word in dialect.missing}
    with opened(path) as file:
        rows = TextRows(path, file)
        names = read_names(rows)
        cells, numbers, lines, bad, count = list[list[str]](), list[int](), list[int](), list[BadRow](), 0
        for number, row in enumerate(rows):
            if len(row.cells) == len(names):
                cells.append(row.cells)
                numbers.append(number)
                lines.append(row.line)
                continue
            count += 1
            if len(bad) < MOST_NAMED:
                reason = f"expected {len(names)} cells as in the header, got {len(row.cells)}"
                bad.append(BadRow(number, f"line {row.line}: {reason}"))
    if not cells:
        raise DataError(
            f"{path}: expected rows of numbers below the header line, got none; give a file that holds data"
        )
    columns = tuple(
        _column(name, column, missing) for name, column in zip(names, zip(*cells, strict=True), strict=True)
    )
    return Frame(
        str(path), columns, np.array(numbers), tuple(bad), count, lambda places: [lines[place] for place in places],
        Dialect(rows.delimiter, ".", "utf-8", True, dialect.missing),
    )  # fmt: skip


def _column(name: str, cells: Sequence[str], missing: frozenset[str]) -> Column:
    texts = [cell.strip() for cell in cells]
    absent = [text.lower() in missing for text in texts]
    found = [float("nan") if none else number_of(text) for text, none in zip(texts, absent, strict=True)]
    if None not in found:
        return Column(name, "numbers", np.array(found, dtype=np.float64))
    places: dict[str, int] = {}
    codes = [-1 if none else places.setdefault(text, len(places)) for text, none in zip(texts, absent, strict=True)]
    return Column(name, "texts", np.array(codes, dtype=np.int32), tuple(places))
