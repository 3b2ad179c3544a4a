"""What a cell of text says: a number, nothing, or a text."""

from __future__ import annotations

MISSING = frozenset(("", "?", "na", "n/a", "nan", "null"))
"""Cells that stand for a missing value, in letters of either case."""


def number_of(cell: str, decimal: str = ".") -> float | None:
    """The number that a cell is, NaN and infinities too; None when it is none that a user may mean.

    1_000 and digits of other scripts are none; with decimal commas, what has a point is none.
    """
    if decimal != ".":
        if "." in cell:
            return None
        cell = cell.replace(decimal, ".")
    try:
        value = float(cell)
    except ValueError:
        return None
    return None if "_" in cell or not cell.isascii() else value


def is_missing(cell: str, words: frozenset[str] = MISSING) -> bool:
    """Whether a cell says that a value is missing."""
    return cell.strip().lower() in words
