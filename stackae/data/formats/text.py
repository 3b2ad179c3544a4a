"""CSV files with a header line: every cell a finite number, but for the column of labels.

A file is read once, quickly; only when something in it is wrong is it read again, cell by cell, to say what and where.
"""

from __future__ import annotations

import math
import shlex
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stackae.data.formats.bounded import opened
from stackae.data.formats.text_header import (
    SHOWN_COLUMNS,
    Chosen,
    chosen_columns,
    fault_of,
    listed,
    number_of,
    picked,
    read_names,
)
from stackae.data.formats.text_rows import Row, TextRows
from stackae.data.labels import check_classes, classes_of_texts
from stackae.data.source import CHUNK_CELLS, MOST_NAMED, BadRow, Source, in_32_bits
from stackae.data.targets import is_missing
from stackae.errors import DataError, argument, legible

SHOWN_PROBLEMS = 10
BETWEEN_CHECKS = 1 << 22  # numbers, between one look at the memory and the next


def load_text(path: Path, target: str | None = None, numbers: bool = False, ignore: str | None = None) -> Source:
    """Rows of a CSV file: x (n, d) float64 from every column but ``target``, whose cells become the labels.

    An empty target cell means no label. Where ``numbers`` are wanted, ``target`` is a column of them or several, as
    "a,b", and a cell that is empty or nan says that one is missing. Without a target every column is a feature, but for
    those of ``ignore``, "a,b", and a first one that has no name. Raises DataError for a missing or doubtful header, an
    unknown target, for more than the memory holds, and for bad cells and lines: the first ten by file, line (from 1),
    column and value, with their total.
    """
    with opened(path) as file:
        rows = TextRows(path, file)
        header = read_names(rows)
        chosen = chosen_columns(path, header, target, numbers, ignore)
        table = _read_quickly(rows, len(header), chosen, numbers)
        if not table.sound:
            _report_problems(TextRows(path, file), header, chosen, numbers)
            if not table.whole:
                raise DataError(f"{path}: expected a file that stays as it is, got one that changes; wait for its end")
    return _source(path, header, chosen, numbers, table)


def load_text_by_name(
    path: Path, choose: Callable[[list[str]], Chosen], numbers: bool = False
) -> tuple[Source, np.ndarray, list[BadRow], int]:
    """What ``load_text`` reads, of the columns that ``choose`` takes from the header, without the rows that it refuses.

    Returns the source, the numbers (n,) int64 of its rows in the file, from 0, the first ``MOST_NAMED`` bad rows, and
    how many there are. Raises DataError as ``load_text`` does, for bad cells and lines only where no row is sound.
    """
    with opened(path) as file:
        rows = TextRows(path, file)
        header = read_names(rows)
        chosen = choose(header)
        table = _read_quickly(rows, len(header), chosen, numbers)
        bad, count = list[BadRow](), 0
        if not table.sound:
            table, bad, count = _read_sound(TextRows(path, file), header, chosen, numbers)
            if not table.values:
                _report_problems(TextRows(path, file), header, chosen, numbers)
    source = _source(path, header, chosen, numbers, table)
    kept = np.arange(len(source.x)) if not bad else np.frombuffer(table.numbers, dtype=np.int64)
    return source, kept, bad, count


def _source(path: Path, header: list[str], chosen: Chosen, numbers: bool, table: _Table) -> Source:
    if not table.values:
        raise DataError(
            f"{path}: expected rows of numbers below the header line, got none; give a file that holds data"
        )
    x = np.frombuffer(table.values).reshape(-1, len(chosen.features))
    names = tuple(header[index] for index in chosen.features)
    source = Source(str(path), x, column_names=names, ignored=chosen.ignored, notes=chosen.notes)
    if not chosen.targets:
        return source
    if numbers:
        y = np.frombuffer(table.targets).reshape(-1, len(chosen.targets))
        return source._replace(y=y, targets=tuple(header[index] for index in chosen.targets))
    classes, y = classes_of_texts(str(path), table.labels)
    return source._replace(y=y, classes=classes)


class _Table(NamedTuple):
    """The features in one flat array, the label cells, or the targets in one more; whether they are all, and whether
    none needs a second look; the numbers of the rows where some were skipped."""

    values: array[float]
    labels: list[str]
    targets: array[float]
    whole: bool
    sound: bool
    numbers: array[int]


class _Builder:
    """Takes rows of the right width one by one."""

    def __init__(self, rows: TextRows, width: int, chosen: Chosen, numbers: bool) -> None:
        self.values, self.labels, self.targets = array("d"), list[str](), array("d")
        self._rows, self._numbers = rows, numbers
        self._features, self._targets = picked(chosen.features, width), chosen.targets
        self._known: dict[str, str] = {}  # one object for all equal labels
        self._watched = BETWEEN_CHECKS

    def add(self, cells: list[str]) -> None:
        """Raises ValueError where a cell is no number, DataError for too many classes, or rows for the memory."""
        if self._targets and not self._numbers:
            label = cells[self._targets[0]].strip()
            self.labels.append(self._known.setdefault(label, label))
            check_classes(str(self._rows.path), len(self._known) - ("" in self._known))
        elif self._targets:
            wanted = (cells[index].strip() for index in self._targets)
            self.targets.extend(math.nan if is_missing(cell) else float(cell) for cell in wanted)
        self.values.extend(map(float, self._features(cells)))
        if len(self.values) >= self._watched:
            size = self.values.itemsize * len(self.values)
            self._rows.check_memory(size, size)
            self._watched += BETWEEN_CHECKS

    def table(self, whole: bool, sound: bool, numbers: array[int] | None = None) -> _Table:
        return _Table(self.values, self.labels, self.targets, whole, sound, numbers or array("q"))


def _read_quickly(rows: TextRows, width: int, chosen: Chosen, numbers: bool) -> _Table:
    built = _Builder(rows, width, chosen, numbers)
    for _, cells in rows:
        if len(cells) != width:
            return built.table(False, False)
        try:
            built.add(cells)
        except ValueError as error:
            if isinstance(error, DataError):
                raise
            return built.table(False, False)
    finite = all(np.isfinite(in_32_bits(piece)).all() for piece in _pieces(np.frombuffer(built.values)))
    finite = finite and not bool(np.isinf(in_32_bits(np.frombuffer(built.targets))).any())
    return built.table(True, finite and rows.plain)


def _pieces(values: np.ndarray) -> Iterator[np.ndarray]:
    return (values[start : start + CHUNK_CELLS] for start in range(0, len(values), CHUNK_CELLS))


def _read_sound(rows: TextRows, header: list[str], chosen: Chosen, numbers: bool) -> tuple[_Table, list[BadRow], int]:
    """The rows without a problem, the first of the others, and how many those are."""
    built, kept, bad = _Builder(rows, len(header), chosen, numbers), array("q"), list[BadRow]()
    number = -1
    next(iter(rows), None)
    for number, row in enumerate(rows):
        problem = next(_row_problems(row, header, chosen, numbers), None)
        if problem is None:
            built.add(row.cells)
            kept.append(number)
        elif len(bad) < MOST_NAMED:
            bad.append(BadRow(number, f"line {row.line}: {problem}"))
    return built.table(True, True, kept), bad, number + 1 - len(kept)


def _report_problems(rows: TextRows, header: list[str], chosen: Chosen, numbers: bool) -> None:
    shown: list[str] = []
    total = rows_read = 0
    texts = Counter[str]()
    next(iter(rows), None)
    for rows_read, row in enumerate(rows, start=1):  # noqa: B007 - how many, after the last
        for problem in _row_problems(row, header, chosen, numbers):
            total += 1
            if total <= SHOWN_PROBLEMS:
                shown.append(f"{rows.path}:{row.line}: {problem}")
        texts.update(header[column] for column in chosen.features if column < len(row.cells) and _is_text(row, column))
    if total > SHOWN_PROBLEMS:
        shown.append(f"{total} problems in all, the first {SHOWN_PROBLEMS} are shown")
    if columns := [name for name, found in texts.items() if found == rows_read]:
        names = shlex.quote(legible(",".join(columns[:SHOWN_COLUMNS]), 400))
        remedy = f"leave such columns out by {argument('ignore')} {names}"
        shown.append(f"{_listed_columns(columns)} no number in any row: {remedy}")
    if shown:
        raise DataError(*shown)


def _listed_columns(columns: list[str]) -> str:
    return f"column '{legible(columns[0])}' holds" if len(columns) == 1 else f"columns {listed(columns)} hold"


def _is_text(row: Row, column: int) -> bool:
    return number_of(row.cells[column]) is None


def _row_problems(row: Row, header: list[str], chosen: Chosen, numbers: bool) -> Iterator[str]:
    cells = row.cells
    if len(cells) != len(header):
        yield f"expected {len(header)} cells as in the header, got {len(cells)}"
        return
    wanted = set(chosen.targets) if numbers else set()
    for column in sorted({*chosen.features, *wanted}):
        if column in wanted and column not in chosen.features and is_missing(cells[column].strip()):
            continue
        if fault := fault_of(cells[column]):
            yield f"column '{legible(header[column])}' ({column + 1}): '{legible(cells[column])}' {fault}"
