"""How a file of text is written, as its first lines show it: what stands between cells, and where the names are."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from stackae.data.tables.frame import Dialect
from stackae.data.text.cells import MISSING, is_missing, number_of
from stackae.data.text.header import is_header
from stackae.data.text.names import names_of
from stackae.data.text.rows import DELIMITERS, RowsOfLines, check_line
from stackae.errors import DataError, argument, legible

MOST_LINES, MOST_CHARACTERS = 1000, 1 << 20  # that are looked at, but for a few lines of a wide table
FEW_LINES = 10
COMMENTS = ("#", "%")
AS_WIDE = 0.8  # share of the rows that have as many cells as the table has columns
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
PLAIN = ("utf-8", "ascii")


class Recognised(NamedTuple):
    """A dialect without None, and the names of all columns.

    ``skipped`` bytes of UTF-8, the lines before number ``line``, are above the first row; ``rows`` are the first that
    have a cell per name. ``trailing`` says that the last column is nothing but a delimiter at the ends of lines, as
    far as ``rows`` show. notes say what is out of the ordinary.
    """

    dialect: Dialect
    names: tuple[str, ...]
    skipped: int
    line: int
    rows: list[list[str]]
    trailing: bool
    notes: tuple[str, ...]


class _Head(NamedTuple):
    """Comments and blank lines above the table, and its first lines."""

    above: list[str]
    lines: list[str]


class _Cut(NamedTuple):
    """Those lines cut by a delimiter: the first row, how many lines it takes, and the following rows of one width."""

    delimiter: str
    first: list[str]
    first_lines: int
    body: list[list[str]]
    width: int
    share: float


def missing_words(dialect: Dialect) -> frozenset[str]:
    """What stands for a missing value, in lower case."""
    return MISSING | {word.strip().lower() for word in dialect.missing}


def recognise(path: Path, text: str, asked: Dialect, usual: str) -> Recognised:
    """The dialect of a file that begins with the whole lines ``text``; what is asked for is taken at its word.

    ``asked`` has an encoding; ``usual`` is the delimiter that files of its name have. Raises DataError where there is
    no line below the comments, and where it cannot be told which delimiter there is, what a comma in numbers means, or
    whether the first line names the columns.
    """
    head = _head(path, text)
    otherwise = asked.otherwise or Dialect()
    cut = _cut_as_asked(path, head, asked, otherwise.delimiter or usual)
    decimal = asked.decimal or _decimal(path, cut, otherwise.decimal)
    dialect = Dialect(cut.delimiter, decimal, asked.encoding, asked.header, asked.missing, otherwise)
    trailing = bool(cut.body) and all(row[-1].strip() == "" for row in cut.body) and cut.width > 1
    first = _widened(cut, trailing)
    header, commented = _header(path, head, cut, first, dialect)
    names, notes = names_of(path, commented or first if header else None, cut.width, trailing)
    taken = [*head.above, *(head.lines[: cut.first_lines] if header and not commented else [])]
    rows = cut.body if (header and not commented) or len(cut.first) != cut.width else [cut.first, *cut.body]
    found = Dialect(cut.delimiter, decimal, asked.encoding, header, asked.missing)
    notes = [*_notes(path, found, usual, head, commented is not None), *notes]
    if not header and asked.header is None:
        shown = legible(cut.delimiter.join(first))
        notes.append(
            f"{path}: the first line holds data ({shown}), no names: columns are named {names[0]} to {names[-1]}"
        )
    skipped = len("".join(taken).encode())
    return Recognised(found, names, skipped, len(taken) + 1, rows, trailing and names[-1] == "", tuple(notes))


def _head(path: Path, text: str) -> _Head:
    above, lines, size = list[str](), list[str](), 0
    for number, line in enumerate(io.StringIO(text, newline=""), start=1):
        check_line(path, number, line)
        bare = line.strip()
        if not lines and (not bare or bare.startswith(COMMENTS)):
            above.append(line)
            continue
        lines.append(line)
        size += len(line)
        if len(lines) > MOST_LINES or (size > MOST_CHARACTERS and len(lines) > FEW_LINES):
            break
    if not lines:
        got = "nothing but comments" if any(map(str.strip, above)) else "an empty line" if above else "an empty file"
        raise _without_names(path, got)
    return _Head(above, lines)


def _without_names(path: Path, got: str) -> DataError:
    return DataError(f"{path}: expected a header line that names the columns, got {got}; add one")


# ---- delimiters


def _cut_as_asked(path: Path, head: _Head, asked: Dialect, usual: str) -> _Cut:
    if asked.delimiter is not None:
        cut = _cut(path, head, asked.delimiter)
        return cut if _is_wide(cut) and _names_fit(cut, asked) else _as_first(cut)
    order, begin = [usual, *(each for each in DELIMITERS if each != usual)], "".join(head.lines[:2])
    tried = [_tried(path, head, each) for each in order if each in begin or (each == " " and "\t" in begin)]
    cuts = [cut for cut in tried if cut is not None]
    if fitting := [cut for cut in cuts if _is_wide(cut) and _names_fit(cut, asked)]:
        return max(fitting, key=_share_of_numbers)
    others = [cut for cut in cuts if cut.delimiter != " "]
    if short := next((cut for cut in others if cut.body and _is_wide(cut) and len(cut.first) < cut.width), None):
        raise DataError(
            f"{path}: expected a header line with a name for each of {short.width} columns, got "
            f"'{legible(head.lines[0].strip())}'; begin what stands above a table with #, or take it out"
        )
    return _as_first(next((cut for cut in others if len(cut.first) > 1), None) or _cut(path, head, usual))


def _tried(path: Path, head: _Head, delimiter: str) -> _Cut | None:
    try:
        return _cut(path, head, delimiter)
    except DataError:
        return None


def _cut(path: Path, head: _Head, delimiter: str) -> _Cut:
    """DataError where not even the first row can be cut."""
    reader = RowsOfLines(path, head.lines, delimiter)
    row = next(iter(reader), None)
    if row is None:
        raise _without_names(path, "an empty line")
    first, ends, body = row.cells, reader.next_line - 1, list[list[str]]()
    with suppress(DataError):  # what is wrong there is said when it is read
        body.extend(row.cells for row in reader)
    if len(head.lines) > MOST_LINES and len(body) > 1:
        body.pop()  # it may go on
    widths = Counter(map(len, body)) or Counter([len(first)])
    width, count = widths.most_common(1)[0]
    if len(first) == width + 1 and not first[-1].strip():
        first = first[:-1]
    fitting = [cells for cells in body if len(cells) == width]
    return _Cut(delimiter, first, ends, fitting, width, count / widths.total())


def _as_first(cut: _Cut) -> _Cut:
    """The same, of rows that are as wide as the first."""
    width = len(cut.first)
    return cut._replace(width=width, body=[cells for cells in cut.body if len(cells) == width])


def _is_wide(cut: _Cut) -> bool:
    return cut.width > 1 and cut.share >= AS_WIDE


def _names_fit(cut: _Cut, asked: Dialect) -> bool:
    """Whether there is a name per column; a table with names of rows has none for those (R's write.table)."""
    return asked.header is False or len(cut.first) == cut.width or (len(cut.first) == cut.width - 1 and cut.width > 2)


def _share_of_numbers(cut: _Cut) -> float:
    cells = [cell for row in cut.body[:100] for cell in row if not is_missing(cell)]
    return max(sum(number_of(cell, decimal) is not None for cell in cells) for decimal in ".,") / max(1, len(cells))


def _widened(cut: _Cut, trailing: bool) -> list[str]:
    if len(cut.first) != cut.width - 1:
        return cut.first
    return [*cut.first, ""] if trailing else ["", *cut.first]


def _decimal(path: Path, cut: _Cut, otherwise: str | None) -> str:
    """What numbers have before their fraction, ``otherwise`` where none has one; DataError where commas may be that or
    stand between thousands."""
    cells = [cell.strip() for row in cut.body for cell in row]
    points = sum(number_of(cell) is not None for cell in cells)
    found = [cell for cell in cells if "," in cell and number_of(cell, ",") is not None]
    pointed = any("." in cell and number_of(cell) is not None for cell in cells)
    if otherwise and not pointed and all(THOUSANDS.fullmatch(cell) for cell in found):
        return otherwise
    if len(found) + sum(number_of(cell, ",") is not None and "," not in cell for cell in cells) <= points:
        return "."
    if all(THOUSANDS.fullmatch(cell) for cell in found):
        if pointed or cut.delimiter == ",":
            return "."
        one, other = found[0].replace(",", "."), found[0].replace(",", "")
        raise DataError(
            f"{path}: expected numbers that say one thing, got {found[0]}, which may be {one} or {other}; say which by "
            f"{argument('decimal', ',')} or {argument('decimal', '.')}"
        )
    return ","


# ---- the header


def _header(
    path: Path, head: _Head, cut: _Cut, first: Sequence[str], dialect: Dialect
) -> tuple[bool, list[str] | None]:
    """Whether columns are named, and the names where a comment above the table holds them."""
    if dialect.header is False:
        return False, None
    assert dialect.decimal is not None
    words, otherwise = missing_words(dialect), dialect.otherwise and dialect.otherwise.header
    fits, sure = len(first) == cut.width, otherwise is False
    found = is_header(first, cut.body, dialect.decimal, words, sure) if fits else True
    if found:
        return True, None
    commented = _commented_names(path, head, cut)
    if commented is not None and is_header(commented, [list(first), *cut.body], dialect.decimal, words):
        return True, commented
    if dialect.header or otherwise:
        return True, None
    if found is None and not sure:
        shown = legible(cut.delimiter.join(first))
        raise DataError(
            f"{path}: expected a first line of names or of data, got {shown}, which may be either; say which by "
            f"{argument('header')} or {argument('no_header')}"
        )
    return False, None


def _commented_names(path: Path, head: _Head, cut: _Cut) -> list[str] | None:
    """The cells of the last comment, without its mark where the mark is no cell of its own (``#,name``)."""
    comments = [line.strip() for line in head.above if line.strip()]
    if not comments or (cut.width == 1 and len(comments) > 1):
        return None
    for text in (comments[-1].lstrip("".join(COMMENTS)), comments[-1]):
        row = next(iter(RowsOfLines(path, [text.strip()], cut.delimiter)), None)
        if row is not None and len(row.cells) == cut.width and row.cells[0].strip():
            return row.cells
    return None


# ---- notes


def _notes(path: Path, dialect: Dialect, usual: str, head: _Head, named_by_comment: bool) -> list[str]:
    parts = []
    assert dialect.delimiter is not None
    if dialect.delimiter != usual:
        parts.append(f"{DELIMITERS[dialect.delimiter]} between the cells")
    if dialect.decimal != ".":
        parts.append("decimal commas")
    if dialect.encoding not in PLAIN:
        parts.append(f"text in {dialect.encoding}")
    notes = [f"{path}: recognised {' and '.join(parts)}"] if parts else []
    comments = sum(bool(line.strip()) for line in head.above)
    if named_by_comment:
        notes.append(f"{path}: the last comment above the table names the columns")
        comments -= 1
    if comments:
        lines = "a line of comment is" if comments == 1 else f"{comments} lines of comment are"
        notes.append(f"{path}: {lines} above the table")
    return notes
