"""Rows of numbers, with their labels and ids, from a table by an encoding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stackae.config import DataConfig
from stackae.data.labels import classes_of_texts
from stackae.data.memory import check_memory
from stackae.data.source import MOST_NAMED, BadRow, Source
from stackae.data.tables.cells import numbers_of, texts_of
from stackae.data.tables.columns import Encoding
from stackae.data.tables.encoding import encode
from stackae.data.tables.fitting import fitted
from stackae.data.tables.frame import Frame
from stackae.data.tables.notes import about_columns, about_missing, about_unseen
from stackae.data.tables.refusals import cell_of, lines_of, none_left, ragged
from stackae.data.tables.roles import roles_of
from stackae.data.targets import in_fewest_bits

SOUND = -1
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
    notes = (*frame.notes, *about_columns(frame, encoding), *about_missing(frame, encoding, config, found.bad_rows))
    return found.source._replace(notes=notes)


def encoded(
    frame: Frame, encoding: Encoding, targets: Sequence[int], config: DataConfig, fills: bool = True
) -> Encoded:
    """The rows of a frame that has all features of the encoding, in its order, with notes of what is no category.

    Rows with a cell that its column cannot hold are left out, those with a missing cell too where ``config.missing``
    says so, or where nothing ``fills`` it. Raises DataError where no row is left, and for too many classes.
    """
    place = {column.name: index for index, column in enumerate(frame.columns)}
    count = len(frame.numbers)
    check_memory(frame.name, 8 * count * len(encoding.names))
    x, start = np.empty((count, len(encoding.names))), 0
    fault = np.full(count, SOUND)  # the first column that keeps a row from being read
    notes: list[str] = []
    for taken in encoding.featured:
        index = place[taken.name]
        cells = encode(frame, frame.columns[index], taken)
        x[:, start : start + taken.width] = cells.values
        start += taken.width
        without = cells.faulty if fills and config.missing not in LEAVES_OUT else cells.faulty | cells.missing
        fault[without & (fault == SOUND)] = index
        notes += about_unseen(frame.name, taken, cells.unseen)
    found = _labelled(Source(frame.name, x, column_names=encoding.names), frame, targets, config, fault)
    sound = fault == SOUND
    bad = [*frame.bad, *_bad_rows(frame, fault)]
    if not sound.any():
        raise none_left(frame, bad)
    x, y = found.x if sound.all() else found.x[sound], found.y if found.y is None else found.y[sound]
    ids = [(each.name, texts_of(frame.columns[place[each.name]])) for each in encoding.of_kind("id") if each.name in place]
    source = found._replace(
        x=x,
        y=y,
        encoding=encoding,
        ids=tuple((name, tuple(texts._replace(codes=texts.codes[sound]).cells())) for name, texts in ids),
        ignored=tuple(each.name for each in encoding.columns if each.kind in ("id", "left out")),
        notes=tuple(notes),
    )
    return Encoded(source, frame.numbers[sound], sorted(bad)[:MOST_NAMED], frame.bad_rows + int((~sound).sum()))


def _labelled(source: Source, frame: Frame, targets: Sequence[int], config: DataConfig, fault: np.ndarray) -> Source:
    """The source with classes or numbers to be learned; rows where one is no number are entered in ``fault``."""
    if not targets:
        return source
    if config.target_kind == "classes":
        texts = texts_of(frame.columns[targets[0]])
        classes, indices = classes_of_texts(frame.name, texts.texts)
        return source._replace(y=np.append(indices, -1)[texts.codes], classes=classes)
    y = np.empty((len(fault), len(targets)))
    for place, index in enumerate(targets):
        y[:, place], faulty = numbers_of(frame.columns[index], frame)
        fault[faulty & (fault == SOUND)] = index
    return source._replace(y=in_fewest_bits(y), targets=tuple(frame.columns[index].name for index in targets))


def _bad_rows(frame: Frame, fault: np.ndarray) -> list[BadRow]:
    """The first of the rows that have a fault, each with the cell and what is wrong with it."""
    rows = np.flatnonzero(fault != SOUND)[:MOST_NAMED].tolist()
    found = []
    for row, line in zip(rows, lines_of(frame, rows), strict=True):
        found.append(BadRow(int(frame.numbers[row]), line + cell_of(frame, row, int(fault[row]))))
    return found
