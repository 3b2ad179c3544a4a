"""Which rows are trained on, chosen by and tested on: divided once, and known again by what each row holds.

A row is known by a 64-bit sum of its numbers in their order, whatever type they are stored in: cell j with the bits b
of its 64-bit float counts c_j mix(b) modulo 2^64, with odd c_j that are drawn by their place. Two rows that differ have
the same sum with a probability of about 2^-64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stackae.config import DataConfig
from stackae.data.hashing import COLUMN_STREAM, factors, scrambled
from stackae.data.labels import classes_named
from stackae.data.source import Source
from stackae.data.targets import groups_of
from stackae.errors import ConfigError, DataError, argument
from stackae.random import Purpose, permutation

SPLIT_SEED = 0  # a constant, so that runs with different seeds share their test part
CELLS_AT_ONCE = 1 << 15  # fits a core's cache
TRAIN, VALIDATION, TEST = 0, 1, 2
LEFT_OUT = 4  # is added to the part of a row whose class takes no part in training and validation


class Division(NamedTuple):
    """sums (n,) uint64 of all rows in their order, the source's own test part last, and parts (n,) uint8."""

    sums: np.ndarray
    parts: np.ndarray

    def rows_of(self, part: int, start: int, end: int) -> np.ndarray:
        """The numbers of the rows of a part, ascending int64, of those from ``start`` to before ``end``."""
        return start + np.flatnonzero(self.parts[start:end] == part)


class Change(NamedTuple):
    """How rows differ from those of a kept division: how many are gone, how many are new, and how many of the new ones
    are test rows; ``known`` counts rows that the division has."""

    gone: int
    new: int
    new_test: int
    known: int


def hold_out(
    labels: np.ndarray | None, count: int, fraction: float, seed: int, which: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two ascending int64 index arrays that part range(count): the rows kept, the rows held out.

    round(fraction * n) of the n rows of each label are held out, never all of them; rows without a label (-1) are a
    group like any other, and labels None is one group. When that leaves none held out, one row of the largest group
    is, if fraction > 0 and there are two rows. ``which`` tells apart splits of the same rows. No errors.
    """
    groups = np.zeros(count, dtype=np.int64) if labels is None else labels + 1
    held = np.zeros(count, dtype=bool)
    numbers, sizes = np.unique(groups, return_counts=True)
    shares = [min(round(fraction * size), size - 1) for size in sizes.tolist()]
    if fraction > 0 and count >= 2 and not any(shares):
        shares[int(np.argmax(sizes))] = 1
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(sizes)[:-1])  # of each group, ascending
    for number, share, rows in zip(numbers.tolist(), shares, members, strict=True):
        order = permutation(len(rows), seed=seed, purpose=Purpose.SPLIT, layer=which, counter=number).numpy()
        held[rows[order[:share]]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def divided(source: Source, config: DataConfig) -> np.ndarray:
    """(n,) uint8, the part of every row, the source's own test part last.

    Which rows are held out is a function of (labels, fractions) alone, or of their places by ``validation_rows``.
    Raises what ``without_classes`` and ``placed_rows`` raise.
    """
    count = len(source.x)
    kept, held = np.arange(count), np.arange(0)
    if source.x_test is None:
        kept, held = hold_out(groups_of(source.y), count, config.test_fraction, SPLIT_SEED, TEST - 1)
    if config.validation_rows is not None:
        outer = placed_rows(config.validation_rows, len(kept))
    else:
        groups = groups_of(None if source.y is None else source.y[kept])
        _, outer = hold_out(groups, len(kept), config.validation_fraction, SPLIT_SEED, VALIDATION - 1)
    parts = np.full(count + (0 if source.x_test is None else len(source.x_test)), TRAIN, dtype=np.uint8)
    parts[held], parts[kept[outer]], parts[count:] = TEST, VALIDATION, TEST
    return without_classes(source, config, parts)


def placed_rows(places: str, count: int) -> np.ndarray:
    """Ascending int64 indices of the rows that first:N or last:N names, of ``count`` rows.

    Raises ConfigError when no other row would be left.
    """
    which, _, number = places.partition(":")
    held = int(number)
    if held >= count:
        raise ConfigError(
            f"{argument('validation_rows')}: expected fewer than the {count:,} rows that are not test rows, got "
            f"{places}; hold out fewer"
        )
    return np.arange(held) if which == "first" else np.arange(count - held, count)


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


def row_sums(x: np.ndarray) -> np.ndarray:
    """(n,) uint64 for rows (n, d) of any real type, NaN where a cell is missing; equal numbers have equal sums in each.
    No errors."""
    factor = factors(0, x.shape[1], COLUMN_STREAM)
    sums = np.empty(len(x), dtype=np.uint64)
    step = max(1, CELLS_AT_ONCE // x.shape[1])
    for start in range(0, len(x), step):
        sums[start : start + step] = np.einsum("ij,j->i", _mixed(x[start : start + step]), factor)
    return sums


def _mixed(cells: np.ndarray) -> np.ndarray:
    """-0 is 0, and every NaN, which stands for a missing cell, is the same."""
    numbers = np.add(cells, 0.0, dtype=np.float64, order="C")
    numbers[np.isnan(numbers)] = np.nan
    return scrambled(numbers.view(np.uint64))


def parts_by_content(
    source: Source, config: DataConfig, sums: np.ndarray, kept: Sequence[Division]
) -> tuple[np.ndarray, Change]:
    """The part of every row where some are those of kept divisions, and how the rows differ from the first of these.

    A known row keeps its part: one that is there more than once, or in several divisions, is trained on before it is
    validated on, and that before it is tested on. New rows are divided as any are, whatever their order. Where no row
    is known, that is ``divided``. Raises what ``without_classes`` raises.
    """
    known = known_parts(sums, kept)
    new = np.flatnonzero(known < 0)
    own = kept[0].sums if kept else sums[:0]
    if len(new) == len(sums):
        parts = divided(source, config)
        return parts, Change(_more(own, sums), len(new), int((parts == TEST).sum()), 0)
    parts = known.clip(0).astype(np.uint8)
    own_test, new = new[new >= len(source.x)], new[new < len(source.x)]
    if len(new):
        new = new[np.argsort(sums[new], kind="stable")]
        alone = source._replace(x=source.x[new], y=None if source.y is None else source.y[new], x_test=None)
        fractions = {"leave_out": None, "validation_rows": None} | (
            {} if source.x_test is None else {"test_fraction": 0.0}
        )
        parts[new] = divided(alone, config.model_copy(update=fractions))
    parts[own_test] = TEST
    new_test = int((parts[new] == TEST).sum()) + len(own_test)
    change = Change(_more(own, sums), len(new) + len(own_test), new_test, len(sums) - len(new) - len(own_test))
    return without_classes(source, config, parts), change


def known_parts(sums: np.ndarray, kept: Sequence[Division]) -> np.ndarray:
    """(n,) int64: the first part that any division has a row of that sum in, without LEFT_OUT; -1 where none has."""
    if not kept:
        return np.full(len(sums), -1)
    every = np.concatenate([division.sums for division in kept])
    parts = np.concatenate([division.parts for division in kept]) & (LEFT_OUT - 1)
    order = np.lexsort((parts, every))
    distinct, first = np.unique(every[order], return_index=True)
    places = np.searchsorted(distinct, sums).clip(max=len(distinct) - 1)
    return np.where(distinct[places] == sums, parts[order][first][places].astype(np.int64), -1)


def trained_on(sums: np.ndarray, kept: Sequence[Division]) -> int:
    """How many rows equal one that was trained on, or by which the epoch was chosen."""
    taken = [Division(each.sums[each.parts < TEST], each.parts[each.parts < TEST]) for each in kept]
    return int((known_parts(sums, taken) >= 0).sum()) if any(len(each.sums) for each in taken) else 0


def _more(first: np.ndarray, second: np.ndarray) -> int:
    """How many of the first are missing in the second, counted as often as they are there."""
    distinct, counts = np.unique(first, return_counts=True)
    others, found = np.unique(second, return_counts=True)
    if not len(others):
        return len(first)
    places = np.searchsorted(others, distinct).clip(max=len(others) - 1)
    there = np.where(others[places] == distinct, found[places], 0)
    return int((counts - there).clip(min=0).sum())
