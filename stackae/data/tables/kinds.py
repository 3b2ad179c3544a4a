"""What a column is by its content: a number, a boolean, a category, a time, or text that is none of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from stackae.data.labels import classes_of_texts
from stackae.data.tables.cells import TRUTH, Texts, numbers_of, texts_of, too_large
from stackae.data.tables.columns import Taken
from stackae.data.tables.frame import Column, Frame
from stackae.data.tables.times import times_of
from stackae.errors import ConfigError, DataError, argument, legible

MOST_CATEGORIES = 100  # that are recognised; any number may be asked for, up to:
MOST_FORCED = 1 << 14
NUMBERS = 0.5  # share of cells that are numbers, from which on the others are faults
MOST_MEASURED = 1 << 14  # values whose median is the typical one
WORDS = ({"false", "true"}, {"no", "yes"})


class Found(NamedTuple):
    """What a column is taken for, and which of its cells (n,) keep it from that; None where none does."""

    taken: Taken
    faulty: np.ndarray | None = None


def recognised(frame: Frame, column: Column) -> Found:
    """What a column of the frame is taken for, by its content. No errors."""
    if column.stored == "texts":
        return _of_texts(frame, column)
    count = int((~np.isfinite(column.values)).sum())
    if count == len(column.values):
        return Found(_empty(column))
    if column.stored == "booleans":
        return Found(Taken(column.name, "boolean", "stored as such", ("False", "True"), missing=count))
    if column.stored == "times":
        return Found(with_range(Taken(column.name, "time", "stored as such", missing=count), column.values))
    return number(frame, column, "every cell is a number")


def _of_texts(frame: Frame, column: Column) -> Found:
    texts = texts_of(column)
    missing = int((texts.codes < 0).sum())
    present = len(texts.codes) - missing
    if not present:
        return Found(_empty(column))
    words = {text.lower() for text in texts.texts}
    for known in WORDS:
        if words <= known:
            by_value = {TRUTH[text.lower()]: text for text in texts.texts}
            written = tuple(by_value.get(value, sorted(known)[value]) for value in (0, 1))
            return Found(Taken(column.name, "boolean", f"{' or '.join(sorted(words))}", written, missing=missing))
    share = 1 - numbers_of(column, frame)[1].sum() / present
    if share > NUMBERS:
        return number(
            frame, column, "every cell is a number" if share == 1 else f"{share:.1%} of the cells are numbers"
        )
    times = times_of(texts.texts)
    if not np.isnan(times.seconds).any():
        taken = Taken(column.name, "time", f"dates, {times.order}", order=times.order, missing=missing)
        return Found(with_range(taken, times.seconds))
    distinct = len(texts.texts)
    if distinct <= MOST_CATEGORIES and 2 * distinct <= present:
        return Found(_category(frame.name, column, texts, f"{distinct:,} different texts in {present:,} rows"))
    what = "a text of its own in each row" if distinct == present else f"{distinct:,} different texts"
    several = f"more than {MOST_CATEGORIES:,}" if distinct > MOST_CATEGORIES else f"too many for {present:,} rows"
    why = what if distinct == present else f"{what}, {several}"
    return Found(Taken(column.name, "left out", f"{why}: no category", missing=missing))


def _empty(column: Column) -> Taken:
    return Taken(column.name, "left out", "every cell is missing", missing=len(column.values))


def number(frame: Frame, column: Column, why: str) -> Found:
    """A column of numbers, whatever else stands in it. No errors."""
    values, faulty = numbers_of(column, frame)
    taken = Taken(column.name, "number", why, missing=int(np.isnan(values).sum() - faulty.sum()))
    faulty |= too_large(values)
    return Found(with_range(taken, values), faulty if faulty.any() else None)


def category(name: str, column: Column) -> Taken:
    """A column that is asked for as a category, whatever it holds. Raises DataError for none or too many texts."""
    texts = texts_of(column)
    if not 0 < len(texts.texts) <= MOST_FORCED:
        raise DataError(
            f"{name}: expected 1 to {MOST_FORCED:,} categories in column '{legible(column.name)}', got "
            f"{len(texts.texts):,}; leave it out by {argument('drop')}"
        )
    return _category(name, column, texts, "as asked for")


def ordinal(column: Column, order: Sequence[str]) -> Taken:
    """A column whose texts are in that order. Raises ConfigError for a text that the order lacks."""
    texts = texts_of(column)
    for text in texts.texts:
        if text not in order:
            raise ConfigError(
                f"{argument('ordinal')}: expected every text of column '{legible(column.name)}' in its order "
                f"({legible('<'.join(order), 200)}), got none for '{legible(text)}'; add it where it belongs"
            )
    missing = int((texts.codes < 0).sum())
    return Taken(column.name, "ordinal", "as asked for", tuple(order), missing=missing)


def _category(name: str, column: Column, texts: Texts, why: str) -> Taken:
    categories, _ = classes_of_texts(name, texts.texts)
    return Taken(column.name, "category", why, categories, missing=int((texts.codes < 0).sum()))


def with_range(taken: Taken, values: np.ndarray) -> Taken:
    """The same with low, high and typical of these values (n,), typical by evenly spaced ones. No errors."""
    known = values[np.isfinite(values)]
    if not len(known):
        return taken
    some = known[:: -(-len(known) // MOST_MEASURED)]
    size = np.abs(some[some != 0])
    typical = float(np.median(size)) if len(size) else 0.0
    return replace(taken, low=float(known.min()), high=float(known.max()), typical=typical)
