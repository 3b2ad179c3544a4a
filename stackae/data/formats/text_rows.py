"""The rows of a text file one by one, with their line numbers; no line or row is ever held that is beyond all use."""

from __future__ import annotations

import csv as _csv
import io
import os
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from stackae.data.formats import format_of
from stackae.data.formats.delimiters import DELIMITERS, find_delimiter
from stackae.data.memory import check_memory
from stackae.errors import DataError, legible

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


class TextRows:
    """The rows of an open file from its start; blank lines at its end are left out.

    ``delimiter`` is one of those of the format that the path names, and is known once a row has been read.
    ``plain`` turns False at the first line below the header whose digits float() would read but a user may not mean:
    1_000, or digits of another script. Raises DataError, while it is read, for what is not UTF-8 text, for quotes that
    never close, and for lines and rows beyond the limits above.
    """

    def __init__(self, path: Path, file: io.BufferedReader) -> None:
        self.path = path
        self.plain = True
        found = format_of(path)
        self._delimiters = found.delimiters if found else ","
        self.delimiter = self._delimiters[0]
        self._descriptor = file.fileno()
        self._line = 1  # the first of the row that is being read, which may take several
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._rows: Iterator[Row] = self._read()

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    def peek(self) -> Row | None:
        """The next row, which is still to be read; None at the end."""
        row = next(self._rows, None)
        if row is not None:
            self._rows = chain([row], self._rows)
        return row

    def position(self) -> int:
        """How many bytes have been read."""
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def check_memory(self, found: int, held: int) -> None:
        """DataError when the memory is too small for the whole file, of which ``found`` bytes of numbers have been
        read and ``held`` are held."""
        size, position = os.fstat(self._descriptor).st_size, self.position()
        check_memory(str(self.path), found * max(size, position) // max(position, 1) - held)

    def _lines(self, lines: Iterable[str]) -> Iterator[str]:
        plain, cuts = True, 0
        for number, line in enumerate(lines, start=1):
            if number == self._line and len(line) <= MOST_COLUMNS and "\0" not in line:  # most rows are one short line
                cuts = 0
            else:
                self._check_line(number, line)
                cuts = line.count(self.delimiter) + (cuts if number != self._line else 0)
                self._check_columns(cuts)
            if plain and number > 1 and ("_" in line or not line.isascii()):
                self.plain = plain = False
            yield line

    def _check_line(self, number: int, line: str) -> None:
        if len(line) > LONGEST_LINE:
            raise self._fault(number, f"lines of at most {LONGEST_LINE:,} characters, got a longer one")
        if "\0" in line:
            raise self._fault(number, "UTF-8 text, got a NUL character", "save it as UTF-8")

    def _check_columns(self, cuts: int) -> None:
        if cuts >= MOST_COLUMNS:
            title = DELIMITERS[self.delimiter]
            raise self._fault(self._line, f"at most {MOST_COLUMNS:,} columns, got more {title} in one row")

    def _read(self) -> Iterator[Row]:
        text = open(self._descriptor, encoding="utf-8-sig", newline="", closefd=False)  # noqa: SIM115 - closed by its owner
        try:
            rest = iter(partial(text.readline, LONGEST_LINE + 1), "")
            first = next(rest, "")
            self._check_line(1, first)
            self.delimiter = find_delimiter(str(self.path), first, self._delimiters)
            lines = self._lines(chain([first], rest))
            spaces = self.delimiter == " "
            reader = _csv.reader(map(_with_spaces, lines) if spaces else lines, delimiter=self.delimiter, strict=True)
            blank: list[int] = []
            for cells in map(_without_empty, reader) if spaces else reader:
                if cells:
                    yield from (Row(line, []) for line in blank)
                    blank = []
                    yield Row(self._line, cells)
                elif len(blank) < MOST_COLUMNS:
                    blank.append(self._line)
                self._line = reader.line_num + 1
        except _csv.Error as error:
            separated = f"{DELIMITERS[self.delimiter][:-1]}-separated"
            raise self._fault(self._line, f"{separated} cells, got {legible(str(error), 200)}", "correct it") from None
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise DataError(f"{self.path}: expected UTF-8 text, got byte 0x{byte:02x}; save it as UTF-8") from None

    def _fault(self, line: int, sentence: str, remedy: str = "give a table of numbers") -> DataError:
        return DataError(f"{self.path}:{line}: expected {sentence}; {remedy}")


def _with_spaces(line: str) -> str:
    return line.replace("\t", " ")


def _without_empty(cells: list[str]) -> list[str]:
    """Of a run of spaces, all but the first make an empty cell each."""
    return [cell for cell in cells if cell]
