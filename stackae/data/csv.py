"""CSV files with a header line: every cell a finite number, but for the column of labels.

A file is read once, quickly; only when something in it is wrong is it read again, cell by cell, to say what and where.
"""

from __future__ import annotations

import csv as _csv
import math
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stackae.data.labels import classes_of_texts
from stackae.data.source import Source
from stackae.errors import DataError, nearest

SHOWN_PROBLEMS = 10
SHOWN_COLUMNS = 20
SHOWN_CHARACTERS = 40


def load_csv(path: Path, target: str | None = None) -> Source:
    """Rows of a CSV file: x (n, d) float32 from every column but ``target``, whose cells become the labels.

    An empty target cell means no label. Without a target every column is a feature. Raises DataError for a missing
    or doubtful header, an unknown target, and for bad cells and lines: the first ten by file, line (from 1), column
    and value, with their total.
    """
    rows = _Rows(path)
    header = _header(rows)
    index = None if target is None else _target_index(path, header, target)
    values, labels, sound = _read_quickly(rows, len(header), index)
    if not sound:
        _report_problems(path, header, index)
    features = tuple(name for column, name in enumerate(header) if column != index)
    if not features:
        raise DataError(f"{path}: expected a column of numbers besides the target '{target}', got none; add features")
    if not values:
        raise DataError(
            f"{path}: expected rows of numbers below the header line, got none; give a file that holds data"
        )
    x = np.frombuffer(values, dtype=np.float32).reshape(-1, len(features))
    source = Source(name=str(path), x=x, column_names=features)
    if index is None:
        return source
    classes, y = classes_of_texts(labels)
    return source._replace(y=y, classes=classes)


class _Row(NamedTuple):
    line: int
    cells: list[str]


class _Rows:
    """The rows of a file with their line numbers; blank lines at its end are left out.

    ``plain`` turns False at the first line below the header whose digits float() would read but a user may not mean:
    1_000, or digits of another script.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plain = True
        self._rows = self._read()

    def __iter__(self) -> Iterator[_Row]:
        return self._rows

    def _lines(self) -> Iterator[str]:
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            for number, line in enumerate(file):
                if number and self.plain:
                    self.plain = "_" not in line and line.isascii()
                yield line

    def _read(self) -> Iterator[_Row]:
        reader = _csv.reader(self._lines(), strict=True)
        blank: list[_Row] = []
        line = 1
        try:
            for cells in reader:
                if cells:
                    yield from blank
                    blank = []
                    yield _Row(line, cells)
                else:
                    blank.append(_Row(line, cells))
                line = reader.line_num + 1
        except _csv.Error as error:
            raise DataError(f"{self.path}:{line}: expected comma-separated cells, got {error}; correct it") from None
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise DataError(f"{self.path}: expected UTF-8 text, got byte 0x{byte:02x}; save it as UTF-8") from None


def _header(rows: _Rows) -> list[str]:
    first = next(iter(rows), None)
    if first is None or not first.cells:
        got = "an empty file" if first is None else "an empty line"
        raise DataError(f"{rows.path}: expected a header line that names the columns, got {got}; add one")
    names = [cell.strip() for cell in first.cells]
    if all(_fault(name) is None for name in names):
        raise DataError(
            f"{rows.path}: expected a header line that names the columns, got numbers ({_listed(names)}); add one"
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{rows.path}: expected a name of its own for each column, got '{twice}' twice; rename one")
    return names


def _target_index(path: Path, header: list[str], target: str) -> int:
    if target not in header:
        raise DataError(
            f"{path}: expected a column named '{target}' for the target, got columns {_listed(header)}"
            f"{nearest(target, header) or '; name one of them'}"
        )
    return header.index(target)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_COLUMNS} more" if len(names) > SHOWN_COLUMNS else ""
    return ", ".join(names[:SHOWN_COLUMNS]) + more


def _read_quickly(rows: _Rows, width: int, target: int | None) -> tuple[array[float], list[str], bool]:
    """The features in one flat array, the label cells, and whether no cell needs a second look."""
    values, labels = array("f"), list[str]()
    for _, cells in rows:
        if len(cells) != width:
            return values, labels, False
        if target is not None:
            labels.append(cells.pop(target).strip())
        try:
            values.extend(map(float, cells))
        except ValueError:
            return values, labels, False
    finite = bool(np.isfinite(np.frombuffer(values, dtype=np.float32)).all())
    return values, labels, finite and rows.plain


def _report_problems(path: Path, header: list[str], target: int | None) -> None:
    shown: list[str] = []
    total = 0
    for problem in _problems(path, header, target):
        total += 1
        if total <= SHOWN_PROBLEMS:
            shown.append(problem)
    if total > SHOWN_PROBLEMS:
        shown.append(f"{total} problems in all, the first {SHOWN_PROBLEMS} are shown")
    if shown:
        raise DataError("\n".join(shown))


def _problems(path: Path, header: list[str], target: int | None) -> Iterator[str]:
    rows = iter(_Rows(path))
    next(rows)
    for line, cells in rows:
        if len(cells) != len(header):
            yield f"{path}:{line}: expected {len(header)} cells as in the header, got {len(cells)}"
            continue
        for column, cell in enumerate(cells):
            if column != target and (fault := _fault(cell)):
                text = cell if len(cell) <= SHOWN_CHARACTERS else cell[:SHOWN_CHARACTERS] + "..."
                yield f"{path}:{line}: column '{header[column]}' ({column + 1}): '{text}' {fault}"


def _fault(cell: str) -> str | None:
    """What keeps a cell from being a number, or None when it is one."""
    try:
        value = float(cell)
    except ValueError:
        return "is not a number"
    if "_" in cell or not cell.isascii():
        return "is not a number"
    if not math.isfinite(value) and "n" in cell.lower():
        return "is not a finite number"
    return None if math.isfinite(array("f", [value])[0]) else "is too large for a 32-bit number"
