"""Columns of a table as features by what they are taken for, and the columns again from features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from stackae.data.tables.cells import TRUTH, Texts, is_missing, numbers_of, texts_of, too_large
from stackae.data.tables.columns import Encoding, Taken
from stackae.data.tables.frame import Column, Frame
from stackae.data.tables.times import iso, times_of
from stackae.data.text.cells import number_of


class Cells(NamedTuple):
    """The features (n, w) that one column becomes, NaN where a cell is missing, but of a category 0 in each; which
    cells (n,) are missing, which hold what the column cannot, and how often each text is there that is no category."""

    values: np.ndarray
    missing: np.ndarray
    faulty: np.ndarray
    unseen: Counter[str]


def encode(frame: Frame, column: Column, taken: Taken) -> Cells:
    """The features of a column by what it was taken for, whatever it is stored as now. No errors.

    A text that is no category becomes 0 in each of a category, and a missing cell of a boolean and an ordinal.
    """
    if taken.kind == "number":
        values, faulty = numbers_of(column, frame)
        cells = _one(values, faulty | too_large(values))
    elif taken.kind == "time":
        cells = _times(column, taken)
    else:
        cells = _categories(texts_of(column), taken)
    if not taken.indicator:
        return cells
    return cells._replace(values=np.concatenate([cells.values, cells.missing[:, None]], axis=1))


def _one(values: np.ndarray, faulty: np.ndarray, unseen: Counter[str] | None = None) -> Cells:
    return Cells(values[:, None], np.isnan(values) & ~faulty, faulty, unseen or Counter())


def _times(column: Column, taken: Taken) -> Cells:
    values = _seconds(column, taken.order)
    return _one(values, np.isnan(values) & ~is_missing(column))


def _seconds(column: Column, order: str = "") -> np.ndarray:
    if column.stored != "texts":
        return np.where(np.isfinite(column.values), column.values, np.nan)
    seconds: np.ndarray = np.append(times_of(column.texts, order).seconds, np.nan)[column.values]
    return seconds


def seconds_of(frame: Frame, column: Column) -> np.ndarray:
    """(n,) float64: seconds of times, and numbers as they are, NaN for anything else. No errors."""
    seconds, (numbers, faulty) = _seconds(column), numbers_of(column, frame)
    return seconds if faulty.any() else numbers


def _categories(texts: Texts, taken: Taken) -> Cells:
    place = _place_of(taken)
    places = np.array([place(text) for text in texts.texts] + [-1], dtype=np.int64)
    found, missing = places[texts.codes], texts.codes < 0
    unseen = Counter(
        {
            text: count
            for text, count, at in zip(texts.texts, texts.counts.tolist(), places.tolist(), strict=False)
            if at < 0
        }
    )
    nothing = np.zeros(len(found), dtype=bool)
    if taken.kind != "category":
        return _one(np.where(found < 0, np.nan, found), nothing, unseen)
    values = np.zeros((len(found), len(taken.categories)))
    known = np.flatnonzero(found >= 0)
    values[known, found[known]] = 1
    return Cells(values, missing, nothing, unseen)


def _place_of(taken: Taken) -> Callable[[str], int]:
    """The place of a text among the categories, -1 where it is none: by its letters, else by its value as a number."""
    if taken.kind == "boolean":
        return lambda text: TRUTH.get(text.lower(), -1)
    by_text = {text: place for place, text in enumerate(taken.categories)}
    by_value = {number_of(text): place for text, place in reversed(by_text.items())}
    by_value.pop(None, None)
    return lambda text: by_text.get(text, by_value.get(number_of(text), -1))


def decoded(encoding: Encoding, values: np.ndarray) -> list[tuple[str, Sequence[str]]]:
    """The columns of the table, by name, from features (n, d) in their units: numbers as they are, of a category the
    one with the largest feature, the nearest of an ordinal and a boolean, times as ISO 8601. No errors."""
    found: list[tuple[str, Sequence[str]]] = []
    start = 0
    for taken in encoding.featured:
        features = values[:, start : start + taken.width]
        start += taken.width
        found.append((taken.name, _decoded(taken, features)))
    return found


def columns_of(encoding: Encoding, values: np.ndarray) -> dict[str, np.ndarray]:
    """The same as arrays (n,) by name: numbers, datetime64 of times, bool of what was stored as such, else texts."""
    found: dict[str, np.ndarray] = {}
    start = 0
    for taken, (name, cells) in zip(encoding.featured, decoded(encoding, values), strict=True):
        if taken.kind == "number":
            found[name] = values[:, start]
        elif taken.kind == "time":
            found[name] = (values[:, start] * 1e6).round().astype("datetime64[us]")
        else:
            found[name] = np.array(cells)
            if taken.categories == ("False", "True"):
                found[name] = found[name] == "True"
        start += taken.width
    return found


def _decoded(taken: Taken, features: np.ndarray) -> Sequence[str]:
    if taken.kind == "number":
        numbers: list[str] = features[:, 0].astype("U").tolist()
        return numbers
    if taken.kind == "time":
        return iso(features[:, 0])
    if taken.kind == "category":
        places = features[:, : len(taken.categories)].argmax(axis=1)
    else:
        places = np.round(features[:, 0]).clip(0, len(taken.categories) - 1).astype(np.int64)
    return [taken.categories[place] for place in places.tolist()]
