"""Whether the first line of a table names its columns: years may be names, and categories may be data."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from stackae.data.text.cells import MISSING, is_missing, number_of

YEARS = range(1800, 2201)
LONG = 8  # numbers that rise in a line by chance once in 40,000
SHORT = 4


def is_header(
    first: Sequence[str],
    body: Sequence[Sequence[str]],
    decimal: str = ".",
    missing: frozenset[str] = MISSING,
    sure: bool = False,
) -> bool | None:
    """Whether the first line names the columns of the rows below it, all as wide as it is; None where it may or not.

    A text over numbers is a name. Numbers over numbers are data, unless they are a series as no row below is: 0, 1, 2,
    years, wavelengths. Texts over texts are names, unless one of them stands again in its own column, or names
    must be ``sure``. No errors.
    """
    if not body:
        return not (sure or any(number_of(cell, decimal) is not None for cell in first))
    names, values, known = 0, list[int](), False
    for place, column in enumerate(zip(first, *body, strict=True)):
        cell, *below = map(str.strip, column)
        if is_missing(cell, missing):
            continue
        cells = [each for each in below if not is_missing(each, missing)]
        if 2 * sum(number_of(each, decimal) is not None for each in cells) <= len(cells):
            known = known or cell in cells
        elif number_of(cell, decimal) is None:
            names += 1
        else:
            values.append(place)
    if not values:
        return bool(names) or not (sure or known)
    if known:
        return False
    series = _is_series(first, body, values, decimal)
    return series if not names else series or None


def _is_series(first: Sequence[str], body: Sequence[Sequence[str]], places: Sequence[int], decimal: str) -> bool | None:
    """Whether these numbers of the first line are in an order that no row below has; None where that may be chance."""
    head = _numbers(first, places, decimal)
    rows = [_numbers(row, places, decimal) for row in body]
    whole = _is_even(head)
    if not _rises(head) or any(_is_even(row) if whole else _rises(row) for row in rows):
        return False
    if len(head) >= (SHORT if whole else LONG):
        return True
    if (
        not whole
        or len(head) < 2
        or (head[:2] not in ([0, 1], [1, 2]) and not all(int(each) in YEARS for each in head))
    ):
        return False
    return None if all(each.is_integer() for row in rows for each in row) else True


def _numbers(row: Sequence[str], places: Sequence[int], decimal: str) -> list[float]:
    found = (number_of(row[place].strip(), decimal) for place in places)
    return [value for value in found if value is not None and abs(value) < 1e300]


def _rises(values: Sequence[float]) -> bool:
    return all(low < high for low, high in pairwise(values))


def _is_even(values: Sequence[float]) -> bool:
    """Whether these are whole numbers at one distance from each other, and rise."""
    steps = {high - low for low, high in pairwise(values)}
    return all(each.is_integer() for each in values) and len(steps) == 1 and min(steps) > 0
