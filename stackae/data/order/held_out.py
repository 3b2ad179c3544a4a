"""Which samples are held out for validation and for testing: at random, the last ones in time, or whole groups."""

from __future__ import annotations

from typing import Literal

import numpy as np

from stackae.config import DataConfig
from stackae.data.order.places import Places
from stackae.errors import ConfigError, DataError, argument
from stackae.random import Purpose, shuffled

SPLIT_SEED = 0  # a constant, so that runs with different seeds share their test part
TRAIN, VALIDATION, TEST = 0, 1, 2
AT_ONCE = 1 << 16  # rows of an order that is computed as it is used
BORDER = 3  # of a window that shares rows with one of another part: it is in none
LEFT_OUT = 4  # is added to the part of a row whose class takes no part in training and validation

Way = Literal["random", "time", "groups"]


def hold_out(
    labels: np.ndarray | None, count: int, fraction: float, seed: int, which: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two ascending int64 index arrays that part range(count): the rows kept, the rows held out by ``held_out``."""
    held = held_out(labels, count, fraction, seed, which)
    return np.flatnonzero(~held), np.flatnonzero(held)


def held_out(labels: np.ndarray | None, count: int, fraction: float, seed: int, which: int) -> np.ndarray:
    """(count,) bool, the rows that are held out.

    round(fraction * n) of the n rows of each label are held out, never all of them; rows without a label (-1) are a
    group like any other, and labels None is one group. When that leaves none held out, one row of the largest group
    is, if fraction > 0 and there are two rows. ``which`` tells apart splits of the same rows. No errors.
    """
    held = np.zeros(count, dtype=bool)
    members = {0: None} if labels is None else _members(labels)
    sizes = {number: count if rows is None else len(rows) for number, rows in members.items()}
    shares = {number: min(round(fraction * size), size - 1) for number, size in sizes.items()}
    if fraction > 0 and count >= 2 and not any(shares.values()):
        shares[max(sizes, key=sizes.__getitem__)] = 1
    for number, rows in members.items():
        order = shuffled(sizes[number], seed=seed, purpose=Purpose.SPLIT, layer=which, counter=number)
        for start in range(0, shares[number], AT_ONCE):
            places = order[start : min(start + AT_ONCE, shares[number])].numpy()
            held[places if rows is None else rows[places]] = True
    return held


def _members(labels: np.ndarray) -> dict[int, np.ndarray | None]:
    """Of each label, -1 included, plus one: its rows, ascending."""
    numbers, sizes = np.unique(labels, return_counts=True)
    rows = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    return dict(zip((numbers + 1).tolist(), rows, strict=True))


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


def way_of(places: Places | None, config: DataConfig) -> Way:
    """How samples are divided: by ``config.split``, or by groups where there are some, else windows by time.

    Raises ConfigError where windows that share rows would be divided at random.
    """
    if config.split == "time":
        return "time"
    if places is not None and places.by:
        return "groups"
    if config.window is None:
        return "random"
    if config.split == "random" and (config.stride or config.window) < config.window:
        raise ConfigError(
            f"{argument('split')} random: expected windows that share no rows, got {argument('window', config.window)} "
            f"with {argument('stride', config.stride)}; use {argument('split', 'time')}, or "
            f"{argument('stride', config.window)}"
        )
    return "random" if config.split == "random" else "time"


def in_time(places: Places, config: DataConfig) -> np.ndarray:
    """(n,) uint8: of each group the first samples to train on, then those to validate on, the last ones to test on.

    A window that shares rows with a later one of another part is in none (BORDER). Raises ConfigError for
    ``validation_rows`` of groups.
    """
    parts = np.full(len(places.order), TRAIN, dtype=np.uint8)
    _check_places(places, config)
    for group in np.unique(places.groups):
        members = np.flatnonzero(places.groups == group)
        members = members[np.argsort(places.order[members], kind="stable")]
        held = _share(config.test_fraction, len(members))
        tested, members = members[len(members) - held :], members[: len(members) - held]
        parts[tested] = TEST
        if held:
            apart = places.order[tested[0]] - places.order[members] >= places.length
            parts[members[~apart]], members = BORDER, members[apart]
        if config.validation_rows is not None:
            parts[members[placed_rows(config.validation_rows, len(members))]] = VALIDATION
        else:
            parts[members[len(members) - _share(config.validation_fraction, len(members)) :]] = VALIDATION
    parts[_at_borders(places, parts)] = BORDER
    return parts


def _share(fraction: float, count: int) -> int:
    """How many of so many samples: not all, and one at least where two are left."""
    return 0 if fraction == 0 or count < 2 else min(max(1, round(fraction * count)), count - 1)


def _at_borders(places: Places, parts: np.ndarray) -> np.ndarray:
    """Which samples of a part share rows with a later one that is in another."""
    order = np.argsort(places.order, kind="stable")
    order = order[parts[order] != BORDER]
    place, part = places.order[order], parts[order]
    changes = np.flatnonzero(part[1:] != part[:-1]) + 1  # where another part begins
    following = np.searchsorted(changes, np.arange(len(part)), side="right")
    there = following < len(changes)
    found = np.zeros(len(parts), dtype=bool)
    found[order[there]] = place[changes[following[there]]] - place[there] < places.length
    return found


def check_parts(name: str, places: Places | None, parts: np.ndarray, config: DataConfig) -> None:
    """Raises ConfigError for fewer groups than parts that are to have some, DataError where none is trained on."""
    if places is None:
        return
    fractions = {"training": 1.0, "validation": config.validation_fraction, "test": config.test_fraction}
    wanted, groups = [part for part, fraction in fractions.items() if fraction], len(np.unique(places.groups))
    if way_of(places, config) == "groups" and groups < len(wanted):
        raise ConfigError(
            f"{argument('group')}: expected a group each for {' and '.join(wanted)} rows, got {groups} in column "
            f"'{places.by}' of {name}; use {argument('split', 'time')}, which divides each, or hold out fewer parts"
        )
    if not (parts & (LEFT_OUT - 1) == TRAIN).any():
        raise DataError(
            f"{name}: expected windows to train on before those that are held out, got none; use a shorter "
            f"{argument('window')}, or hold out fewer"
        )


def at_borders(parts: np.ndarray) -> tuple[str, ...]:
    """The sentence that says how many windows are in no part, if any."""
    count = int((parts & (LEFT_OUT - 1) == BORDER).sum())
    return (f"{count:,} windows share rows with one of another part, and are in none",) if count else ()


def of_groups(places: Places, config: DataConfig) -> np.ndarray:
    """(n,) uint8: samples of whole groups, drawn by the names of the groups alone.

    Raises ConfigError for ``validation_rows``.
    """
    _check_places(places, config)
    parts: np.ndarray = _drawn(places, np.unique(places.groups), config)[places.groups]
    return parts


def _drawn(places: Places, groups: np.ndarray, config: DataConfig) -> np.ndarray:
    """The part of each group of ``places.names``; those that are not among ``groups`` are trained on."""
    parts = np.full(len(places.names), TRAIN, dtype=np.uint8)
    if not len(groups):
        return parts
    groups = groups[np.argsort([places.names[group] for group in groups.tolist()], kind="stable")]
    kept, held = hold_out(None, len(groups), config.test_fraction, SPLIT_SEED, TEST - 1)
    _, outer = hold_out(None, len(kept), config.validation_fraction, SPLIT_SEED, VALIDATION - 1)
    parts[groups[held]], parts[groups[kept[outer]]] = TEST, VALIDATION
    return parts


def _check_places(places: Places, config: DataConfig) -> None:
    if config.validation_rows is not None and places.by:
        raise ConfigError(
            f"{argument('validation_rows')}: expected none beside {argument('group')}, got {config.validation_rows}; "
            "leave out one of them"
        )


def beside_known(places: Places, way: Way, known: np.ndarray, new: np.ndarray, config: DataConfig) -> np.ndarray:
    """The parts of new samples beside those whose part is known, which is -1 of new ones, (n,) int64.

    One of a known group is in the part of that group, the first where it has several, and new groups are drawn as any
    are. In time, one that shares rows with a sample that is trained or validated on is in no part, and all others are
    tested on. No errors.
    """
    if way == "time":
        seen = np.sort(places.order[(known == TRAIN) | (known == VALIDATION)])
        order = places.order[new]
        after = np.searchsorted(seen, order)
        edges = np.concatenate([[-places.length], seen, [np.iinfo(np.int64).max]])
        near = (order - edges[after] < places.length) | (edges[after + 1] - order < places.length)
        return np.where(near, BORDER, TEST).astype(np.uint8)
    first = np.full(len(places.names), len(places.names), dtype=np.int64)
    np.minimum.at(first, places.groups[known >= 0], known[known >= 0])
    strange = np.setdiff1d(places.groups[new], places.groups[known >= 0])
    drawn = _drawn(places, strange, config)
    groups = places.groups[new]
    parts: np.ndarray = np.where(np.isin(groups, strange), drawn[groups], first[groups]).astype(np.uint8)
    return parts
