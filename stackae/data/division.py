"""Which rows are trained on, chosen by and tested on: divided once, and known again by what each row holds.

A row is known by a 64-bit sum of its numbers in their order, whatever type they are stored in: cell j with the bits b
of its 64-bit float counts c_j mix(b) modulo 2^64, with odd c_j that are drawn by their place. Two rows that differ have
the same sum with a probability of about 2^-64.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from stackae.config import DataConfig
from stackae.data.hashing import COLUMN_STREAM, factors, scrambled
from stackae.data.labels import classes_named, named
from stackae.data.order.held_out import LEFT_OUT as LEFT_OUT
from stackae.data.order.held_out import SPLIT_SEED, held_out, in_time, of_groups, placed_rows, way_of
from stackae.data.order.held_out import TEST as TEST
from stackae.data.order.held_out import TRAIN as TRAIN
from stackae.data.order.held_out import VALIDATION as VALIDATION
from stackae.data.order.places import Places
from stackae.data.source import Source
from stackae.data.stored.array import Array, pieces
from stackae.data.targets import groups_of
from stackae.errors import ConfigError, DataError, argument

CELLS_AT_ONCE = 1 << 15  # fits a core's cache


class Division(NamedTuple):
    """sums (n,) uint64 of all rows in their order, the source's own test part last, and parts (n,) uint8."""

    sums: np.ndarray
    parts: np.ndarray

    def rows_of(self, part: int, start: int, end: int) -> np.ndarray:
        """The numbers of the rows of a part, ascending int64, of those from ``start`` to before ``end``."""
        return start + np.flatnonzero(self.parts[start:end] == part)


def divided(source: Source, config: DataConfig) -> np.ndarray:
    """(n,) uint8, the part of every row, the source's own test part last.

    Which rows are held out is a function of (labels, fractions) alone, or of their places by ``validation_rows``, in
    time, or of their groups. Raises what ``without_classes``, ``placed_rows``, ``way_of``, ``in_time`` and
    ``of_groups`` raise.
    """
    count, way = len(source.x), way_of(source.places, config)
    parts = np.full(count + (0 if source.x_test is None else len(source.x_test)), TEST, dtype=np.uint8)
    if source.x_test is not None:
        config = config.model_copy(update={"test_fraction": 0.0})
    if way != "random":
        places = source.places or Places(np.arange(count), np.arange(count), 1, np.zeros(count, dtype=np.int64))
        parts[:count] = (in_time if way == "time" else of_groups)(places, config)
        return without_classes(source, config, parts)
    kept = ~held_out(groups_of(source.y), count, config.test_fraction, SPLIT_SEED, TEST - 1)
    parts[:count][kept] = _inner(source, config, kept)
    return without_classes(source, config, parts)


def _inner(source: Source, config: DataConfig, kept: np.ndarray) -> np.ndarray:
    """(k,) uint8, TRAIN or VALIDATION, of the k rows that are kept. An index of all rows would take 8 bytes per row."""
    count = int(kept.sum())
    parts = np.full(count, TRAIN, dtype=np.uint8)
    if config.validation_rows is not None:
        parts[placed_rows(config.validation_rows, count)] = VALIDATION
    else:
        groups = groups_of(None if source.y is None else source.y[kept])
        parts[held_out(groups, count, config.validation_fraction, SPLIT_SEED, VALIDATION - 1)] = VALIDATION
    return parts


def able_to_leave_out(source: Source, config: DataConfig) -> DataConfig:
    """Classes that are to be left out need not be there any more."""
    if config.leave_out is None or source.y is None or not source.classes:
        return config.model_copy(update={"leave_out": None})
    there = [name for name in named(config.leave_out, source.classes) if name in source.classes]
    return config.model_copy(update={"leave_out": ",".join(there) or None})


def without_classes(source: Source, config: DataConfig, parts: np.ndarray) -> np.ndarray:
    """The parts without the training and validation rows of the classes that are to be left out.

    Raises ConfigError when such a class is not there, DataError when no row is left to train on.
    """
    if config.leave_out is None:
        return parts
    if source.y is None or not source.classes:
        raise ConfigError(
            f"leave_out: expected rows with classes, got none in {source.name}; name their column with "
            f"{argument('target')}, or leave nothing out"
        )
    unwanted = classes_named("leave_out", config.leave_out, source.classes, source.name)
    out = np.zeros(len(parts), dtype=bool)
    out[: len(source.y)] = np.isin(source.y, unwanted) & (parts[: len(source.y)] != TEST)
    if not (parts[~out] == TRAIN).any():
        raise DataError(
            f"leave_out: expected training rows of other classes in {source.name}, got none but those of "
            f"'{config.leave_out}'; leave out fewer"
        )
    return np.where(out, parts | LEFT_OUT, parts).astype(np.uint8)


def sums_of(source: Source) -> np.ndarray:
    """(n,) uint64 of all rows, the source's own test part last."""
    parts = [source.x] if source.x_test is None else [source.x, source.x_test]
    return np.concatenate([row_sums(x) for x in parts])


def row_sums(x: Array) -> np.ndarray:
    """(n,) uint64 for rows (n, d) of any real type, NaN where a cell is missing; equal numbers have equal sums in each.
    No errors."""
    factor = factors(0, x.shape[1], COLUMN_STREAM)
    sums = np.empty(len(x), dtype=np.uint64)
    for start, piece in pieces(x, CELLS_AT_ONCE):
        sums[start : start + len(piece)] = np.einsum("ij,j->i", _mixed(piece), factor)
    return sums


def _mixed(cells: np.ndarray) -> np.ndarray:
    """-0 is 0, and every NaN, which stands for a missing cell, is the same; a byte is looked up."""
    if cells.dtype == np.uint8:
        looked_up: np.ndarray = _mixed_bytes().take(cells, mode="wrap")  # twice as fast as [cells]
        return looked_up
    numbers = np.add(cells, 0.0, dtype=np.float64, order="C")
    numbers[np.isnan(numbers)] = np.nan
    return scrambled(numbers.view(np.uint64))


@cache
def _mixed_bytes() -> np.ndarray:
    """(256,) uint64, what ``_mixed`` makes of the numbers 0 to 255."""
    return _mixed(np.arange(256.0))
