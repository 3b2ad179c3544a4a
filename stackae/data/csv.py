"""CSV files with a header line: every cell a finite number, but for the column of labels.

A file is read once, quickly; only when something in it is wrong is it read again, cell by cell, to say what and where.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stackae.data.bounded import opened
from stackae.data.csv_rows import CsvRows
from stackae.data.labels import check_classes, classes_of_texts
from stackae.data.source import CHUNK_CELLS, Source, in_32_bits
from stackae.data.targets import is_missing
from stackae.errors import DataError, legible, nearest

SHOWN_PROBLEMS = 10
SHOWN_COLUMNS = 20
BETWEEN_CHECKS = 1 << 22  # numbers, between one look at the memory and the next


def load_csv(path: Path, target: str | None = None, numbers: bool = False) -> Source:
    """Rows of a CSV file: x (n, d) float64 from every column but ``target``, whose cells become the labels.

    An empty target cell means no label. Where ``numbers`` are wanted, ``target`` is a column of them or several, as
    "a,b", and a cell that is empty or nan says that one is missing. Without a target every column is a feature. Raises
    DataError for a missing or doubtful header, an unknown target, for more than the memory holds, and for bad cells and
    lines: the first ten by file, line (from 1), column and value, with their total.
    """
    with opened(path) as file:
        rows = CsvRows(path, file)
        header = read_names(rows)
        indices = () if target is None else target_indices(path, header, target, numbers)
        table = _read_quickly(rows, len(header), indices, numbers)
        if not table.sound:
            _report_problems(CsvRows(path, file), header, indices, numbers)
            if not table.whole:
                raise DataError(f"{path}: expected a file that stays as it is, got one that changes; wait for its end")
    features = feature_names(path, header, indices)
    if not table.values:
        raise DataError(
            f"{path}: expected rows of numbers below the header line, got none; give a file that holds data"
        )
    x = np.frombuffer(table.values).reshape(-1, len(features))
    source = Source(name=str(path), x=x, column_names=features)
    if not indices:
        return source
    if numbers:
        y = np.frombuffer(table.targets, dtype=np.float32).reshape(-1, len(indices))
        return source._replace(y=y, targets=tuple(header[index] for index in indices))
    classes, y = classes_of_texts(str(path), table.labels)
    return source._replace(y=y, classes=classes)


def read_names(rows: CsvRows) -> list[str]:
    """The names of the columns; DataError where the first line is missing, empty, all numbers, or names one twice."""
    first = next(iter(rows), None)
    if first is None or not first.cells:
        got = "an empty file" if first is None else "an empty line"
        raise DataError(f"{rows.path}: expected a header line that names the columns, got {got}; add one")
    names = [cell.strip() for cell in first.cells]
    if all(_fault(name) is None for name in names):
        raise DataError(
            f"{rows.path}: expected a header line that names the columns, got numbers ({_listed(names)}); add one"
        )
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise DataError(
            f"{rows.path}: expected a name of its own for each column, got '{legible(twice)}' twice; rename one"
        )
    return names


def target_indices(path: Path, header: list[str], target: str, numbers: bool) -> tuple[int, ...]:
    """Which column holds the labels, or which hold the numbers that are wanted; DataError when none has that name."""
    names = [name.strip() for name in target.split(",")] if numbers and target not in header else [target]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path}: expected each target once, got '{legible(twice)}' twice; name it once")
    return tuple(target_index(path, header, name) for name in names)


def target_index(path: Path, header: list[str], target: str) -> int:
    """Which column has that name; DataError when none has."""
    if target not in header:
        raise DataError(
            f"{path}: expected a column named '{legible(target)}' for the target, got columns {_listed(header)}"
            f"{nearest(target, header) or '; name one of them'}"
        )
    return header.index(target)


def feature_names(path: Path, header: list[str], targets: Collection[int]) -> tuple[str, ...]:
    """The other columns; DataError when there is none."""
    features = tuple(name for column, name in enumerate(header) if column not in targets)
    if not features:
        name = _listed([header[index] for index in targets])
        raise DataError(f"{path}: expected a column of numbers besides the target '{name}', got none; add features")
    return features


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_COLUMNS} more" if len(names) > SHOWN_COLUMNS else ""
    return ", ".join(legible(name) for name in names[:SHOWN_COLUMNS]) + more


class _Table(NamedTuple):
    """The features in one flat array, the label cells, or the targets in one more; whether they are all, and whether
    none needs a second look."""

    values: array[float]
    labels: list[str]
    targets: array[float]
    whole: bool
    sound: bool


def _read_quickly(rows: CsvRows, width: int, indices: Sequence[int], numbers: bool) -> _Table:
    values, labels, targets = array("d"), list[str](), array("f")
    known: dict[str, str] = {}  # one object for all equal labels
    watched = BETWEEN_CHECKS
    for _, cells in rows:
        if len(cells) != width:
            return _Table(values, labels, targets, False, False)
        chosen = [cells[index].strip() for index in indices]
        for index in sorted(indices, reverse=True):
            del cells[index]
        if chosen and not numbers:
            labels.append(known.setdefault(chosen[0], chosen[0]))
            check_classes(str(rows.path), len(known) - ("" in known))
        try:
            if numbers:
                targets.extend(math.nan if is_missing(cell) else float(cell) for cell in chosen)
            values.extend(map(float, cells))
        except ValueError:
            return _Table(values, labels, targets, False, False)
        if len(values) >= watched:
            rows.check_memory(values.itemsize * len(values), values.itemsize * len(values))
            watched += BETWEEN_CHECKS
    finite = all(np.isfinite(in_32_bits(piece)).all() for piece in _pieces(np.frombuffer(values)))
    finite = finite and not bool(np.isinf(np.frombuffer(targets, dtype=np.float32)).any())
    return _Table(values, labels, targets, True, finite and rows.plain)


def _pieces(values: np.ndarray) -> Iterator[np.ndarray]:
    return (values[start : start + CHUNK_CELLS] for start in range(0, len(values), CHUNK_CELLS))


def _report_problems(rows: CsvRows, header: list[str], targets: Sequence[int], numbers: bool) -> None:
    shown: list[str] = []
    total = 0
    for problem in _problems(rows, header, targets, numbers):
        total += 1
        if total <= SHOWN_PROBLEMS:
            shown.append(problem)
    if total > SHOWN_PROBLEMS:
        shown.append(f"{total} problems in all, the first {SHOWN_PROBLEMS} are shown")
    if shown:
        raise DataError(*shown)


def _problems(rows: CsvRows, header: list[str], targets: Sequence[int], numbers: bool) -> Iterator[str]:
    next(iter(rows), None)
    for line, cells in rows:
        if len(cells) != len(header):
            yield f"{rows.path}:{line}: expected {len(header)} cells as in the header, got {len(cells)}"
            continue
        for column, cell in enumerate(cells):
            if column in targets and (not numbers or is_missing(cell.strip())):
                continue
            if fault := _fault(cell):
                place = f"{rows.path}:{line}: column '{legible(header[column])}' ({column + 1})"
                yield f"{place}: '{legible(cell)}' {fault}"


def number_of(cell: str) -> float | None:
    """The number that a cell is, NaN and infinities too; None when it is none that a user may mean."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return None if "_" in cell or not cell.isascii() else value


def _fault(cell: str) -> str | None:
    """What keeps a cell from being a 32-bit number, or None when it is one."""
    value = number_of(cell)
    if value is None:
        return "is not a number"
    if not math.isfinite(value) and "n" in cell.lower():
        return "is not a finite number"
    return None if math.isfinite(array("f", [value])[0]) else "is too large for a 32-bit number"
