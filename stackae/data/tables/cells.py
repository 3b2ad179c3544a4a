"""Cells of a column as texts, whatever it is stored as, and as numbers."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from stackae.data.source import in_32_bits
from stackae.data.tables.frame import Column, Frame
from stackae.data.tables.times import iso
from stackae.data.text.cells import number_of

TRUTH = {"false": 0, "true": 1, "no": 0, "yes": 1, "0": 0, "1": 1}
"""What a boolean may be written as, in letters of either case."""


class Texts(NamedTuple):
    """codes (n,) are places in ``texts``, which are distinct, in the order in which they first come; -1 is missing."""

    codes: np.ndarray
    texts: tuple[str, ...]

    @property
    def counts(self) -> np.ndarray:
        """How often each text is there."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.texts))

    def cells(self) -> list[str]:
        """The text of each row, "" where it is missing."""
        every = (*self.texts, "")
        return [every[code] for code in self.codes.tolist()]


def texts_of(column: Column) -> Texts:
    """The cells as texts: numbers in the fewest digits (1 for 1.0), booleans as True and False, times as ISO 8601."""
    if column.stored == "texts":
        return Texts(column.values, column.texts)
    with_nan = np.where(np.isfinite(column.values), column.values, np.nan)
    distinct, first, inverse = np.unique(with_nan, return_index=True, return_inverse=True)
    missing = np.isnan(distinct)
    order = np.argsort(np.where(missing, len(with_nan), first), kind="stable")
    place = np.empty(len(distinct), dtype=np.int64)
    place[order] = np.arange(len(distinct))
    place[missing] = -1
    values = distinct[order][: len(distinct) - int(missing.sum())]
    if column.stored == "times":
        texts = iso(values)
    elif column.stored == "booleans":
        texts = [str(bool(value)) for value in values.tolist()]
    else:
        texts = [shortest(value) for value in values.tolist()]
    return Texts(place[inverse].astype(np.int32), tuple(texts))


def shortest(value: float) -> str:
    """The fewest digits that read as the same number. No errors."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e16 else repr(value)


def too_large(values: np.ndarray) -> np.ndarray:
    """Whether finite numbers (n,) are none in 32 bits. No errors."""
    found: np.ndarray = np.isfinite(values) & ~np.isfinite(in_32_bits(values))
    return found


def numbers_of(column: Column, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """(n,) float64, NaN where a cell is missing, infinite or no number, and (n,) whether it is there but no number."""
    if column.stored != "texts":
        return np.where(np.isfinite(column.values), column.values, np.nan), np.zeros(len(column.values), dtype=bool)
    decimal = (frame.dialect and frame.dialect.decimal) or "."
    found = [number_of(text, decimal) for text in column.texts]
    values = np.array([math.nan if each is None or math.isinf(each) else each for each in (*found, math.nan)])
    faulty = np.array([each is None for each in found] + [False])
    return values[column.values], faulty[column.values]


def is_missing(column: Column) -> np.ndarray:
    """(n,) whether a cell is missing, or infinite."""
    return column.values < 0 if column.stored == "texts" else ~np.isfinite(column.values)
