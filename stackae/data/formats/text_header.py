"""The first line of a CSV file: which columns there are, and which of them are features, targets, or neither."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from stackae.data.formats import FORMATS
from stackae.data.formats.delimiters import DELIMITERS
from stackae.data.formats.text_rows import TextRows
from stackae.errors import DataError, legible, nearest

SHOWN_COLUMNS = 20


class Chosen(NamedTuple):
    """Places in the header: of the features in the order that they are wanted in, and of the targets. ``ignored`` are
    the names of columns that are left out on request, or because the first has none; notes say so."""

    features: tuple[int, ...]
    targets: tuple[int, ...]
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_names(rows: TextRows) -> list[str]:
    """The names of the columns; DataError where the first line is missing, empty, all numbers, or names one twice, and
    where another delimiter than the format's is between the cells."""
    first = next(iter(rows), None)
    if first is None or not first.cells:
        got = "an empty file" if first is None else "an empty line"
        raise DataError(f"{rows.path}: expected a header line that names the columns, got {got}; add one")
    names = [cell.strip() for cell in first.cells]
    _check_delimiter(rows, names)
    numbers = [name for name in names if fault_of(name) is None]
    if len(numbers) == len(names):
        raise DataError(
            f"{rows.path}: expected a header line that names the columns, got numbers ({listed(names)}); add one"
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if any(name in numbers for name in twice):
        raise DataError(
            f"{rows.path}: expected a header line that names the columns, got cells of data ({listed(names, 6)}): the "
            f"file has none; put a line of {len(names)} names above its rows, such as a,b,c"
        )
    if twice:
        raise DataError(
            f"{rows.path}: expected a name of its own for each column, got '{legible(twice[0])}' twice; rename one"
        )
    return names


def _check_delimiter(rows: TextRows, names: list[str]) -> None:
    """DataError where one other delimiter cuts the first line, and the next one into as many cells."""
    if (len(names) != 1 and rows.delimiter != " ") or fault_of(names[0]) is None:
        return
    following, line = rows.peek(), rows.delimiter.join(names)
    cells = [] if following is None else following.cells
    if line.startswith("#") and (len(cells) != len(names) or fault_of(cells[0])):
        raise DataError(
            f"{rows.path}: expected a header line that names the columns, got a comment ({legible(line)}); take "
            "the lines that begin with # out of the file"
        )
    if len(names) != 1:
        return
    below, own = rows.delimiter.join(cells), DELIMITERS[rows.delimiter]
    for delimiter, title in DELIMITERS.items():
        count = names[0].count(delimiter)
        if delimiter != rows.delimiter and count and count == below.strip().count(delimiter):
            other = next(
                (f", or name it {suffix}" for suffix, each in FORMATS.items() if delimiter in each.delimiters), ""
            )
            remedy = " and points in numbers" if "," in below.replace(delimiter, "") else other
            raise DataError(
                f"{rows.path}: expected {own} between the cells, got {title} ({legible(names[0])}); save it with "
                f"{own}{remedy}"
            )


def chosen_columns(
    path: Path, header: list[str], target: str | None, numbers: bool, ignore: str | None = None
) -> Chosen:
    """All columns but the target (several where ``numbers`` are wanted), those of ``ignore``, and a first without name.

    Raises DataError for a target or a column to be left out that is not there, and where no feature is left.
    """
    targets = () if target is None else target_indices(path, header, target, numbers)
    left_out = ignored_indices(path, header, ignore)
    if both := [header[index] for index in targets if index in left_out]:
        raise DataError(f"{path}: expected a target that is not left out, got '{legible(both[0])}'; ignore others")
    notes: tuple[str, ...] = ()
    if unnamed_first(header) and 0 not in (*targets, *left_out):
        left_out = (0, *left_out)
        notes = (f"{path}: the first column has no name: it is left out, as an index; name it to keep it",)
    if targets or left_out:
        feature_names(path, header, (*targets, *left_out))
    features = tuple(column for column in range(len(header)) if column not in {*targets, *left_out})
    return Chosen(features, targets, tuple(header[index] for index in left_out), notes)


def picked(features: Sequence[int], width: int) -> Callable[[list[str]], Sequence[str]]:
    """The cells of the features from those of a row."""
    if list(features) == list(range(width)):
        return lambda cells: cells
    return itemgetter(*features) if len(features) > 1 else lambda cells: [cells[column] for column in features]


def unnamed_first(header: Sequence[str]) -> bool:
    """Whether the first column alone has no name, as the index of a table that a program wrote."""
    return len(header) > 1 and not header[0]


def ignored_indices(path: Path, header: list[str], ignore: str | None) -> tuple[int, ...]:
    """Which columns are to be left out; DataError when one is not there."""
    if ignore is None:
        return ()
    names = [ignore] if ignore in header else [name.strip() for name in ignore.split(",")]
    for name in names:
        if name not in header:
            raise DataError(
                f"{path}: expected a column named '{legible(name)}' to be left out, got columns {listed(header)}"
                f"{nearest(name, header) or '; name one of them'}"
            )
    return tuple(sorted({header.index(name) for name in names}))


def target_indices(path: Path, header: list[str], target: str, numbers: bool) -> tuple[int, ...]:
    """Which column holds the labels, or which hold the numbers that are wanted; DataError when none has that name."""
    names = target_names(header, target, numbers)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path}: expected each target once, got '{legible(twice)}' twice; name it once")
    return tuple(target_index(path, header, name) for name in names)


def target_names(header: Collection[str], target: str, numbers: bool) -> list[str]:
    """One target, or of numbers several with commas between them."""
    return [name.strip() for name in target.split(",")] if numbers and target not in header else [target]


def target_index(path: Path, header: list[str], target: str) -> int:
    """Which column has that name; DataError when none has."""
    if target not in header:
        numbers = sum(fault_of(name) is None for name in header)
        without = "; where these are data, put a line of names above them" if 2 * numbers > len(header) else ""
        raise DataError(
            f"{path}: expected a column named '{legible(target)}' for the target, got columns {listed(header)}"
            f"{without or nearest(target, header) or '; name one of them'}"
        )
    return header.index(target)


def feature_names(path: Path, header: list[str], others: Collection[int]) -> tuple[str, ...]:
    """The columns that are not targets or left out; DataError when there is none."""
    features = tuple(name for column, name in enumerate(header) if column not in others)
    if not features:
        name = listed([header[index] for index in others])
        raise DataError(f"{path}: expected a column of numbers besides the target '{name}', got none; add features")
    return features


def listed(names: Sequence[str], most: int = SHOWN_COLUMNS) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(legible(name) for name in names[:most]) + more


def number_of(cell: str) -> float | None:
    """The number that a cell is, NaN and infinities too; None when it is none that a user may mean."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return None if "_" in cell or not cell.isascii() else value


def fault_of(cell: str) -> str | None:
    """What keeps a cell from being a 32-bit number, or None when it is one."""
    value = number_of(cell)
    if value is None:
        return "is not a number"
    if not math.isfinite(value) and "n" in cell.lower():
        return "is not a finite number"
    return None if math.isfinite(array("f", [value])[0]) else "is too large for a 32-bit number"
