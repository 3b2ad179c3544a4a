"""The rows of arrays whose numbers are finite, and what is wrong with the others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stackae.data.source import MOST_NAMED, BadRow, Source, in_32_bits
from stackae.data.stored.array import Array, pieces, rows_at


class FiniteRows(NamedTuple):
    """Without its bad rows, a source; the numbers (n,) int64 of those that are left in x, and in x_test, from 0; the
    first bad rows, those of x_test after those of x, and how many there are."""

    source: Source
    numbers: np.ndarray
    test_numbers: np.ndarray
    bad: list[BadRow]
    bad_rows: int


def finite_rows(source: Source, gaps: bool = False) -> FiniteRows:
    """The rows whose cells, and whose targets where these are numbers, are finite 32-bit numbers; a missing target is
    none that is bad, and with ``gaps`` a cell that is NaN or infinite is none either. A part without any such row, or
    that is no table of real numbers, is left as it is. No errors."""
    bad: list[BadRow] = []
    x, y, numbers = _finite_part(source.x, source.y, bad, 0, gaps)
    count = len(source.x) - len(numbers)
    if source.x_test is None:
        source = source._replace(clean=_of(source.clean, numbers))
        return FiniteRows(source._replace(x=x, y=y), numbers, np.zeros(0, np.int64), bad, count)
    x_test, y_test, test_numbers = _finite_part(source.x_test, source.y_test, bad, len(source.x), gaps)
    count += len(source.x_test) - len(test_numbers)
    clean, test_clean = _of(source.clean, numbers), _of(source.test_clean, test_numbers)
    whole = source._replace(x=x, y=y, x_test=x_test, y_test=y_test, clean=clean, test_clean=test_clean)
    return FiniteRows(whole, numbers, test_numbers, bad[:MOST_NAMED], count)


def _of(rows: np.ndarray | None, numbers: np.ndarray) -> np.ndarray | None:
    return rows if rows is None or len(rows) == len(numbers) else rows[numbers]


def _finite_part(
    x: Array, y: np.ndarray | None, bad: list[BadRow], first: int, gaps: bool
) -> tuple[Array, np.ndarray | None, np.ndarray]:
    everything = np.arange(len(x))
    if x.ndim != 2 or x.size == 0 or x.dtype.kind != "f":
        return x, y, everything
    sound, found = np.ones(len(x), dtype=bool), list[BadRow]()
    for start, piece in pieces(x):
        finite = np.isfinite(in_32_bits(piece)) | (gaps & ~np.isfinite(piece))
        rows = np.flatnonzero(~finite.all(axis=1))
        sound[start + rows] = False
        for row in rows[: MOST_NAMED - len(found)].tolist():
            column = int(np.argmin(finite[row]))
            found.append(BadRow(first + start + row, f"column {column} (counted from 0): {piece[row, column]}"))
    if y is not None and y.dtype.kind == "f" and y.ndim == 2 and len(y) == len(x):
        infinite = np.isinf(in_32_bits(y)).any(axis=1)
        found += [BadRow(first + row, "an infinite target") for row in np.flatnonzero(infinite & sound).tolist()]
        sound &= ~infinite
    if sound.all() or not sound.any() or (y is not None and len(y) != len(x)):
        return x, y, everything
    bad += sorted(found)
    return rows_at(x, np.flatnonzero(sound)), None if y is None else y[sound], everything[sound]
