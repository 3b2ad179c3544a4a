"""Columns and numbers in words, and the sentences about outliers and lost precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from stackae.data.outliers import FLAT, Merged, Outlier
from stackae.errors import argument, legible

SHOWN = 5
ItemT = TypeVar("ItemT")


def about_outliers(found: Sequence[Outlier], names: Sequence[str], remedy: str = "") -> list[str]:
    """The sentence that names these columns and their farthest cells; none where there is none."""
    if not found:
        return []

    def describe(each: Outlier) -> str:
        varied = each.low < each.high
        inside = f"98 % of the rows from {span(each.low, each.high)}" if varied else f"most rows are {each.low:g}"
        return f"{column_name(names, each.column)} ({inside}, row {each.row:,} is {each.value:.10g})"

    remedy = remedy or f"correct them, or use {argument('scale', 'robust')}"
    return [
        f"{some(found, 'column is', 'columns are')} flattened by outliers, with more than {FLAT} times the "
        f"range of nearly all rows: {listed(found, describe)}; {remedy}"
    ]


def about_merged(found: Sequence[Merged], names: Sequence[str], kind: str) -> list[str]:
    """The sentence that names the columns which lose values under that scaling; none where there is none."""
    if not found:
        return []

    def describe(each: Merged) -> str:
        return f"{column_name(names, each.column)} ({each.after:,} of {each.before:,} values are left)"

    losing = f"{some(found, 'column loses', 'columns lose')} values to 32 bits under {argument('scale', kind)}"
    return [
        f"{losing}: {listed(found, describe)}; use {argument('scale', 'minmax', 'standard')}, which subtract the "
        "offset first"
    ]


def column_name(names: Sequence[str], column: int) -> str:
    """As the file names it, or its number from 0."""
    return f"'{legible(names[column])}'" if names else str(column)


def span(low: float, high: float) -> str:
    """Both numbers with digits enough to tell them apart, six at least."""
    apart, largest = high - low, max(abs(low), abs(high))
    digits = 6
    if 0 < apart < largest < math.inf:
        digits = min(17, max(digits, 3 + math.ceil(math.log10(largest / apart))))
    return f"{low:.{digits}g} to {high:.{digits}g}"


def exact(value: np.floating) -> float:
    """The shortest decimal number that rounds to this one of 32 or 64 bits: 0.1, not 0.10000000149."""
    return float(str(value))


def whole_range(low: float, high: float) -> str:
    """From the smallest to the largest number, ten digits of each."""
    return f"{low:.10g} to {high:.10g}"


def some(items: Sequence[object], one: str, more: str) -> str:
    return f"{len(items):,} {one if len(items) == 1 else more}"


def listed(items: Sequence[ItemT], say: Callable[[ItemT], str]) -> str:
    """The first five, and how many more there are."""
    more = f" and {len(items) - SHOWN:,} more" if len(items) > SHOWN else ""
    return ", ".join(say(item) for item in items[:SHOWN]) + more
