"""Rows of numbers, with their labels and ids, from a table by an encoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from stackae.config import DataConfig
from stackae.data.labels import classes_of_texts
from stackae.data.order.places import RowOrder
from stackae.data.source import CHUNK_CELLS, MOST_NAMED, BadRow, Source
from stackae.data.tables.cells import numbers_of, texts_of, too_large
from stackae.data.tables.columns import Encoding
from stackae.data.tables.encoding import seconds_of
from stackae.data.tables.features import SOUND, features, features_on_disk
from stackae.data.tables.fitting import fitted
from stackae.data.tables.frame import Frame
from stackae.data.tables.notes import about_columns, about_dropped, about_filled
from stackae.data.tables.refusals import cell_of, lines_of, none_left, ragged
from stackae.data.tables.roles import roles_of
from stackae.data.targets import in_fewest_bits
from stackae.errors import legible

LEAVES_OUT = ("drop", "refuse")
"""What is asked of missing cells where new rows that have one are left out."""


class Encoded(NamedTuple):
    """The sound rows of a table as a source, their numbers (n,) int64 in the file, the first rows that were left out,
    and how many there are."""

    source: Source
    numbers: np.ndarray
    bad: list[BadRow]
    bad_rows: int


def source_of(frame: Frame, config: DataConfig) -> Source:
    """The rows of a table to be trained on, by an encoding that is fitted to them, unchecked, with notes.

    A missing cell is NaN, but of a category 0 in each. Raises DataError as ``fitted`` does, for rows of another width,
    and where no row is left.
    """
    if frame.bad_rows:
        raise ragged(frame)
    encoding = fitted(frame, config)
    found = encoded(frame, encoding, roles_of(frame.name, frame.names, config).targets, config)
    return found.source._replace(notes=(*told_of(frame, encoding, found.bad_rows), *found.source.notes))


def told_of(frame: Frame, encoding: Encoding, bad_rows: int) -> list[str]:
    """Notes on how a table was read, on columns that are left out, and on rows that are."""
    dropped = about_dropped(frame.name, encoding.featured, bad_rows)
    return [*frame.notes, *about_columns(frame, encoding), *dropped]


def looked_at(
    frame: Frame, encoding: Encoding, targets: Sequence[int], config: DataConfig, look: Callable[[np.ndarray], None]
) -> Source:
    """The source of the rows to be trained on without their features, which ``look`` is given some rows at a time.

    x are zeros without memory. Raises DataError where no row is sound, and for too many classes.
    """
    fault, fills = np.full(len(frame.numbers), SOUND), config.missing not in LEAVES_OUT
    y, classes, names = _targets(frame, targets, config, fault)
    step = max(1, CHUNK_CELLS // max(1, len(encoding.names)))
    for start in range(0, len(fault), step):
        rows = slice(start, start + step)
        x = features(frame.part(rows), encoding, fills, fault[rows]).x
        look(x[fault[rows] == SOUND])
    sound = fault == SOUND
    if not sound.any():
        raise none_left(frame, sorted([*frame.bad, *_bad_rows(frame, fault)])[:MOST_NAMED])
    out, filled = int((~sound).sum()), about_filled(frame.name, encoding.featured) if fills else []
    return Source(
        frame.name,
        np.broadcast_to(np.uint8(0), (int(sound.sum()), len(encoding.names))),
        None if y is None else y[sound],
        classes,
        column_names=encoding.names,
        targets=names,
        notes=(*told_of(frame, encoding, frame.bad_rows + out), *filled),
        encoding=encoding,
        order=_order(frame, config, sound),
    )


def encoded(
    frame: Frame, encoding: Encoding, targets: Sequence[int], config: DataConfig, fills: bool = True
) -> Encoded:
    """The rows of a frame that has all features of the encoding, in its order, with notes of what is new in them.

    Rows with a cell that its column cannot hold are left out, those with a missing cell too where ``config.missing``
    says so, or where nothing ``fills`` it. Raises DataError where no row is left, and for too many classes.
    """
    fault = np.full(len(frame.numbers), SOUND)  # the first column that keeps a row from being read
    fills = fills and config.missing not in LEAVES_OUT
    found = (features_on_disk if frame.origin else features)(frame, encoding, fills, fault)
    y, classes, names = _targets(frame, targets, config, fault)
    sound = fault == SOUND
    bad = sorted([*frame.bad, *_bad_rows(frame, fault)])[:MOST_NAMED]
    if not sound.any():
        raise none_left(frame, bad)
    x, notes = found.of(sound)
    y = y if y is None or sound.all() else y[sound]
    source = Source(
        frame.name,
        x,
        y,
        classes,
        column_names=encoding.names,
        targets=names,
        ignored=tuple(each.name for each in encoding.columns if each.kind in ("id", "left out")),
        notes=(*notes, *_unordered(frame, config)),
        encoding=encoding,
        ids=() if config.window else _ids(frame, encoding, sound),
        order=_order(frame, config, sound),
        gaps=config.missing not in LEAVES_OUT,
    )
    return Encoded(source, frame.numbers[sound], bad, frame.bad_rows + int((~sound).sum()))


def _targets(
    frame: Frame, targets: Sequence[int], config: DataConfig, fault: np.ndarray
) -> tuple[np.ndarray | None, tuple[str, ...], tuple[str, ...]]:
    """Labels (n,) and the names of classes, or numbers (n, k) and the names of targets, of which one that is no number
    is entered in ``fault``."""
    if not targets:
        return None, (), ()
    if config.target_kind == "classes":
        texts = texts_of(frame.columns[targets[0]])
        classes, indices = classes_of_texts(frame.name, texts.texts)
        return np.append(indices, -1)[texts.codes], classes, ()
    y = np.empty((len(fault), len(targets)))
    for place, index in enumerate(targets):
        y[:, place], faulty = numbers_of(frame.columns[index], frame)
        fault[(faulty | too_large(y[:, place])) & (fault == SOUND)] = index
    return in_fewest_bits(y), (), tuple(frame.columns[index].name for index in targets)


def _ids(frame: Frame, encoding: Encoding, sound: np.ndarray) -> tuple[tuple[str, tuple[str, ...]], ...]:
    names = {each.name for each in encoding.of_kind("id")}
    found = [(column.name, texts_of(column)) for column in frame.columns if column.name in names]
    return tuple((name, tuple(texts._replace(codes=texts.codes[sound]).cells())) for name, texts in found)


def _order(frame: Frame, config: DataConfig, sound: np.ndarray) -> RowOrder | None:
    """The order of the sound rows in time, and their groups, by the columns that the settings name."""
    if config.group is None and config.time is None and config.window is None:
        return None
    order, columns = RowOrder(frame.numbers[sound]), {column.name: column for column in frame.columns}
    if config.time is not None and (time := columns.get(config.time)) is not None:
        order = order._replace(times=seconds_of(frame, time)[sound])
    if config.group is not None and (group := columns.get(config.group)) is not None:
        codes, names = texts_of(group)
        codes = np.where(codes < 0, len(names), codes)[sound].astype(np.int64)
        order = order._replace(codes=codes, names=(*names, ""), by=config.group)
    return order


def _unordered(frame: Frame, config: DataConfig) -> list[str]:
    """What there is to say of new rows without the columns of their groups, or of their time."""
    wanted = ((config.group, "the groups", "those of one"), (config.time, "the time", "in their order"))
    return [
        f"{frame.name}: has no column '{legible(column)}', {what} of the run's rows: its own are taken as {instead}"
        for column, what, instead in wanted
        if column is not None and column not in frame.names
    ]


def _bad_rows(frame: Frame, fault: np.ndarray) -> list[BadRow]:
    """The first of the rows that have a fault, each with the cell and what is wrong with it."""
    rows = np.flatnonzero(fault != SOUND)[:MOST_NAMED].tolist()
    found = []
    for row, line in zip(rows, lines_of(frame, rows), strict=True):
        found.append(BadRow(int(frame.numbers[row]), line + cell_of(frame, row, int(fault[row]))))
    return found
