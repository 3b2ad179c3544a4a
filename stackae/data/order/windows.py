"""Windows of a signal: samples of several rows, one after the other in time, of one group, without a gap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stackae.config import DataConfig
from stackae.data.memory import check_memory
from stackae.data.order.places import Places, RowOrder
from stackae.data.source import Source, in_memory
from stackae.errors import ConfigError, DataError, argument

GAP = 1.5  # times the usual step of time, its 90th percentile, from which on a step is a gap
USUAL = 0.9


class Cut(NamedTuple):
    """The rows of a part in the order of time, the places in it at which windows begin, and how many gaps there are."""

    order: np.ndarray
    starts: np.ndarray
    gaps: int
    longest: int


def over_time(source: Source, config: DataConfig) -> Source:
    """The source of a signal with time down its rows: an array with fewer rows than columns has channels there.

    Raises DataError for one signal that is not to be cut into windows, and for windows of what is no signal.
    """
    if config.window is None:
        if source.is_signal:
            raise DataError(
                f"{source.name}: expected shape (n, d), (n, h, w) or (n, h, w, channels), got ({len(source.x)},), one "
                f"signal; cut it into windows by {argument('window', min(1024, len(source.x)))}, or reshape the array"
            )
        return source
    if source.row_shape:
        shape = " x ".join(map(str, (len(source.x), *source.row_shape)))
        raise DataError(
            f"{source.name}: expected a signal, (time,) or (time, channels), for {argument('window')}, got an array of "
            f"{shape}; reshape it, or leave {argument('window')} out where its rows are windows already"
        )
    rows, columns = source.x.shape
    labels = None if source.y is None else len(source.y)
    if source.column_names or labels == rows or (labels is None and columns <= rows):
        return source
    turned = f"{source.name}: {rows:,} channels of {columns:,} moments, by its longer axis"
    x, x_test, clean, test_clean = (
        None if each is None else np.ascontiguousarray(in_memory(each, source.name, argument("window")).T)
        for each in (source.x, source.x_test, source.clean, source.test_clean)
    )
    assert x is not None
    return source._replace(x=x, x_test=x_test, clean=clean, test_clean=test_clean, notes=(*source.notes, turned))


def placed(source: Source, config: DataConfig, filled: bool = True) -> Source:
    """The source with the ``places`` of its samples: windows where ``config.window`` asks for them, else its rows.

    A window of N rows x (N, c) is a sample of c N numbers, channel by channel: row_shape is (c, N), or () of one
    channel. They begin every ``stride`` rows, N by default, and never span two groups, a row that was left out, or a
    step of time that is longer than 1.5 times the usual one. Rows are in the order of their times, where they have
    such, within each group. The class of a window is that of most of its rows that have one, the last such of as many;
    targets that are numbers are those of its last row. Windows that are not ``filled`` are zeros without memory.

    Raises ConfigError for a group or a time without a table, DataError where no group is as long as a window, and where
    the windows do not fit in the memory.
    """
    for setting, column in (("group", config.group), ("time", config.time)):
        if column is not None and source.order is None:
            raise ConfigError(
                f"{argument(setting)}: expected a table, whose columns have names, got {source.name}; leave it out"
            )
    if config.window is None:
        return source if source.order is None else source._replace(places=_places_of_rows(source.order))
    found = _windowed(source, config, filled)
    if source.x_test is None:
        return found
    own = source._replace(x=source.x_test, y=source.y_test, clean=source.test_clean, order=None)
    test = _windowed(own, config, filled)
    return found._replace(x_test=test.x, y_test=test.y, test_clean=test.clean, test_places=test.places)


def _windowed(source: Source, config: DataConfig, filled: bool) -> Source:
    """The windows of the training part of a source."""
    x, y, clean = in_memory(source.x, source.name, argument("window")), source.y, source.clean
    assert config.window is not None
    length, stride, channels = config.window, config.stride or config.window, x.shape[1]
    order = source.order or RowOrder(np.arange(len(x)))
    cut = _cut(order, length, stride)
    if not len(cut.starts):
        raise DataError(
            f"{source.name}: expected {length:,} rows without a gap for {argument('window')}, got at most "
            f"{cut.longest:,}; use {argument('window', max(1, cut.longest))}, or shorter"
        )
    check_memory(source.name, len(cut.starts) * length * channels * x.itemsize)
    first = cut.order[cut.starts]
    places = Places(order.numbers[first], cut.starts, length, order.groups[first], order.names, order.by)
    labels, mixed = (None, 0) if y is None else _labels(y[cut.order], cut.starts, length, len(source.classes))
    return source._replace(
        x=_taken(x, cut, length) if filled else np.broadcast_to(np.uint8(0), (len(first), length * channels)),
        y=labels,
        clean=None if clean is None or not filled else _taken(clean, cut, length),
        column_names=tuple(f"{name}[{step}]" for name in source.column_names for step in range(length)),
        row_shape=(channels, length) if channels > 1 else (),
        places=places,
        order=None,
        is_signal=False,
        notes=(*source.notes, _told(source.name, len(first), channels, config, cut, order, mixed)),
    )


def _taken(x: np.ndarray, cut: Cut, length: int) -> np.ndarray:
    """The windows of rows x (n, c): (m, c length)."""
    rows = x if np.array_equal(cut.order, np.arange(len(x))) else x[cut.order]
    found: np.ndarray = np.lib.stride_tricks.sliding_window_view(rows, length, axis=0)[cut.starts]
    return found.reshape(len(found), -1)


def _cut(order: RowOrder, length: int, stride: int) -> Cut:
    by_time = np.zeros(len(order.numbers)) if order.times is None else order.times
    rows = np.lexsort((order.numbers, by_time, order.groups))
    groups, steps = order.groups[rows], np.diff(by_time[rows])
    ends = groups[1:] != groups[:-1]
    within = steps[~ends]
    within = within[np.isfinite(within)]
    if order.times is None:  # a row that was left out lies between
        place = np.searchsorted(np.sort(order.numbers), order.numbers[rows])
        gaps = ~ends & (np.diff(order.numbers[rows]) != np.diff(place))
    else:
        gaps = ~ends & ~(steps <= GAP * (np.quantile(within, USUAL) if len(within) else 0))
    edges = np.concatenate([[0], np.flatnonzero(ends | gaps) + 1, [len(rows)]])
    sizes = np.diff(edges)
    starts = [np.arange(start, start + size - length + 1, stride) for start, size in zip(edges, sizes, strict=False)]
    return Cut(rows, np.concatenate(starts).astype(np.int64), int(gaps.sum()), int(sizes.max()))


def _labels(y: np.ndarray, starts: np.ndarray, length: int, classes: int) -> tuple[np.ndarray, int]:
    """The labels of windows by those of their rows, and how many windows have rows of several classes."""
    if y.ndim == 2:
        return y[starts + length - 1], 0
    found, mixed = np.full(len(starts), -1, dtype=np.int64), 0
    for place, window in enumerate(np.lib.stride_tricks.sliding_window_view(y, length)[starts]):
        known = window[window >= 0]
        if len(known):
            counts = np.bincount(known, minlength=classes)
            most = np.flatnonzero(counts == counts.max())
            found[place] = next(each for each in known[::-1].tolist() if each in most)
            mixed += int((counts > 0).sum()) > 1
    return found, mixed


def _told(name: str, count: int, channels: int, config: DataConfig, cut: Cut, order: RowOrder, mixed: int) -> str:
    """The sentence that says what the samples are."""
    of = f"{config.window:,} rows" if channels == 1 else f"{config.window:,} rows x {channels:,} channels"
    told = f"{name}: {count:,} windows of {of}, one every {config.stride or config.window:,} rows"
    told += f", within each of {len(np.unique(order.groups)):,} groups by {order.by}" if order.names else ""
    told += f", none across {cut.gaps:,} gap{'s' * (cut.gaps != 1)}" if cut.gaps else ""
    several = f"{mixed:,} have rows of several classes, and that of most of them"
    return f"{told}; {several}" if mixed else told


def _places_of_rows(order: RowOrder) -> Places:
    """Of rows that are samples themselves."""
    place = np.empty(len(order.numbers), dtype=np.int64)
    place[_cut(order, 1, 1).order] = np.arange(len(place))
    return Places(order.numbers, place, 1, order.groups, order.names, order.by)
