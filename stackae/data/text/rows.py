"""The rows of a text file one by one, with their line numbers; no line or row is ever held that is beyond all use."""

from __future__ import annotations

import csv as _csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from stackae.errors import DataError, legible

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
"""What each is called in messages. A run of spaces is one delimiter, and tabs in it count as spaces."""
MOST_COLUMNS = 1 << 20
LONGEST_LINE = 1 << 25  # characters; a cell has at most 131,072, by the limit of Python's reader


class Row(NamedTuple):
    line: int
    cells: list[str]


class RowsOfLines:
    """The rows that lines of text hold, ``line`` being the number of the first; blank lines are left out.

    Iterating yields each with the line that it begins in. Raises DataError for quotes that never close, NUL characters,
    and for lines and rows beyond the limits above.
    """

    def __init__(self, path: Path, lines: Iterable[str], delimiter: str, line: int = 1) -> None:
        self.path, self.delimiter = path, delimiter
        self.line = self.next_line = (
            line  # the first of the row that is being read, and of the next: it may take several
        )
        self._lines_above = line - 1
        self._rows = self._read(lines)

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    def _read(self, lines: Iterable[str]) -> Iterator[Row]:
        spaces, checked = self.delimiter == " ", self._checked(lines)
        reader = _csv.reader(map(_with_spaces, checked) if spaces else checked, delimiter=self.delimiter, strict=True)
        try:
            for cells in map(_without_empty, reader) if spaces else reader:
                self.next_line = self._lines_above + reader.line_num + 1
                if len(cells) > 1 or (cells and not cells[0].isspace()):
                    yield Row(self.line, cells)
                self.line = self.next_line
        except _csv.Error as error:
            separated = f"{DELIMITERS[self.delimiter][:-1]}-separated"
            raise fault(
                self.path, self.line, f"{separated} cells, got {legible(str(error), 200)}", "correct it"
            ) from None

    def _checked(self, lines: Iterable[str]) -> Iterator[str]:
        cuts = 0
        for number, line in enumerate(lines, start=self._lines_above + 1):
            if number == self.line and len(line) <= MOST_COLUMNS and "\0" not in line:  # most rows are one short line
                cuts = 0
            else:
                check_line(self.path, number, line)
                cuts = line.count(self.delimiter) + (cuts if number != self.line else 0)
                if cuts >= MOST_COLUMNS:
                    title = DELIMITERS[self.delimiter]
                    wanted = f"at most {MOST_COLUMNS:,} columns, got more {title} in one row"
                    raise fault(self.path, self.line, wanted)
            yield line


def check_line(path: Path, number: int, line: str) -> None:
    """DataError for a line that is too long, or no text."""
    if len(line) > LONGEST_LINE:
        raise fault(path, number, too_long())
    if "\0" in line:
        raise fault(path, number, "UTF-8 text, got a NUL character", "save it as UTF-8")


def too_long() -> str:
    return f"lines of at most {LONGEST_LINE:,} characters, got a longer one"


def fault(path: Path, line: int, sentence: str, remedy: str = "give a table of numbers") -> DataError:
    return DataError(f"{path}:{line}: expected {sentence}; {remedy}")


def _with_spaces(line: str) -> str:
    return line.replace("\t", " ")


def _without_empty(cells: list[str]) -> list[str]:
    """Of a run of spaces, all but the first make an empty cell each."""
    return [cell for cell in cells if cell]
