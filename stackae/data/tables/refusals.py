"""Cells and rows for which a table is refused, or a row left out: where they are, and what is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from stackae.data.source import BadRow
from stackae.data.tables.frame import Frame
from stackae.data.text.cells import number_of
from stackae.errors import DataError, argument, legible

SHOWN = 10


class Fault(NamedTuple):
    """A cell for which a column is refused: its row in the frame, and the place of the column."""

    row: int
    column: int


def refused(frame: Frame, faults: Sequence[Fault]) -> DataError:
    """The error that names the first of these cells and how many there are, with the options that help."""
    shown = sorted(faults)[:SHOWN]
    cells = [cell_of(frame, *each) for each in shown]
    places = places_of(frame, [each.row for each in shown])
    told = [f"{place}: {cell}" for place, cell in zip(places, cells, strict=True)]
    if len(faults) > SHOWN:
        told.append(f"{len(faults)} problems in all, the first {SHOWN} are shown")
    columns = dict.fromkeys(frame.columns[place].name for place in sorted({each.column for each in faults}))
    names, words = legible(",".join(columns), 400), [_text(frame, *each) for each in shown]
    word = next(filter(None, words), None)
    if word is None:
        told.append(f"fill such cells by {argument('missing', 'mean')}, or drop columns by {argument('drop', names)}")
    else:
        missing = f"such cells for missing by {argument('missing_values', legible(word, 400))}, "
        told.append(
            f"take {missing if ',' not in word else ''}the column for categories by {argument('categorical', names)}, "
            f"or leave it out by {argument('drop', names)}"
        )
    return DataError(*told)


def ragged(frame: Frame) -> DataError:
    """The error that names the first rows with too few or too many cells."""
    told = [f"{frame.name}:{each.reason.removeprefix('line ')}" for each in frame.bad[:SHOWN]]
    if frame.bad_rows > SHOWN:
        told.append(f"{frame.bad_rows} problems in all, the first {SHOWN} are shown")
    return DataError(*told)


def none_left(frame: Frame, bad: Sequence[BadRow]) -> DataError:
    """The error of a table that has no sound row."""
    why = f" ({'; '.join(each.reason for each in bad[:3])})" if bad else ""
    return DataError(
        f"{frame.name}: expected rows of data below the header line, got none{why}; give a file that holds some"
    )


def places_of(frame: Frame, rows: Sequence[int]) -> list[str]:
    """Of each row, "FILE:LINE", or "FILE, row NUMBER" where a file has no lines."""
    if frame.lines is None:
        return [f"{frame.name}, row {frame.numbers[row]}" for row in rows]
    return [f"{frame.name}:{line}" for line in frame.lines(rows)]


def lines_of(frame: Frame, rows: Sequence[int]) -> list[str]:
    """Of each row, "line LINE: ", or nothing where a file has no lines."""
    return [""] * len(rows) if frame.lines is None else [f"line {line}: " for line in frame.lines(rows)]


def cell_of(frame: Frame, row: int, column: int) -> str:
    """A cell of a column of numbers, and what is wrong with it, in words."""
    text, name = _text(frame, row, column), legible(frame.columns[column].name)
    if not text:
        return f"column '{name}' ({column + 1}): the cell is missing"
    value = number_of(text, (frame.dialect and frame.dialect.decimal) or ".")
    wrong = "is not a number" if value is None else "is too large for a 32-bit number"
    return f"column '{name}' ({column + 1}): '{legible(text)}' {wrong}"


def _text(frame: Frame, row: int, column: int) -> str:
    """What stands in a cell; "" where it is missing, or infinite."""
    values, texts = frame.columns[column].values, frame.columns[column].texts
    if frame.columns[column].stored == "texts":
        return texts[values[row]] if values[row] >= 0 else ""
    return str(values[row]) if math.isfinite(values[row]) else ""
