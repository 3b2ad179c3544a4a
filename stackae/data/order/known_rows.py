"""Rows that were divided before, known again by their sums, and what becomes of new ones among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stackae.config import DataConfig
from stackae.data.division import LEFT_OUT, TEST, Division, divided, without_classes
from stackae.data.order.held_out import beside_known, way_of
from stackae.data.source import Source


class Change(NamedTuple):
    """How rows differ from those of a kept division: how many are gone, how many are new, and how many of the new ones
    are test rows; ``known`` counts rows that the division has."""

    gone: int
    new: int
    new_test: int
    known: int


def parts_by_content(
    source: Source, config: DataConfig, sums: np.ndarray, kept: Sequence[Division]
) -> tuple[np.ndarray, Change]:
    """The part of every row where some are those of kept divisions, and how the rows differ from the first of these.

    A known row keeps its part: one that is there more than once, or in several divisions, is trained on before it is
    validated on, and that before it is tested on. New rows are divided as any are, whatever their order, or as
    ``beside_known`` says. Where no row is known, that is ``divided``. Raises what ``divided`` raises.
    """
    known, way = known_parts(sums, kept), way_of(source.places, config)
    new = np.flatnonzero(known < 0)
    own = kept[0].sums if kept else sums[:0]
    if len(new) == len(sums):
        parts = divided(source, config)
        return parts, Change(_more(own, sums), len(new), int((parts == TEST).sum()), 0)
    parts = known.clip(0).astype(np.uint8)
    own_test, new = new[new >= len(source.x)], new[new < len(source.x)]
    if len(new) and way != "random" and source.places is not None:
        parts[new] = beside_known(source.places, way, known[: len(source.x)], new, config)
    elif len(new):
        new = new[np.argsort(sums[new], kind="stable")]
        alone = source._replace(x=source.x[new], y=None if source.y is None else source.y[new], x_test=None)
        alone = alone._replace(places=None)
        fractions = {"leave_out": None, "validation_rows": None, "split": "auto"} | (
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
