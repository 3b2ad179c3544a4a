"""The features of a table by an encoding: all at once in memory, or some rows at a time, to stay on disk."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np

from stackae.data.memory import check_memory
from stackae.data.source import in_32_bits
from stackae.data.spool.spooled import RowWriter, spooled
from stackae.data.stored.array import Array, StoredArray
from stackae.data.tables.cells import numbers_of
from stackae.data.tables.columns import Encoding, Taken
from stackae.data.tables.encoding import Cells, encode
from stackae.data.tables.frame import Column, Frame
from stackae.data.tables.kinds import with_range
from stackae.data.tables.notes import about_filled, about_range, about_unseen

PIECE_CELLS = 1 << 20
SOUND = -1
"""Stands for no column that keeps a row from being read."""


class Features(NamedTuple):
    """All features x (n, d) float64 of a frame in memory, and sentences that a person should read."""

    x: np.ndarray
    notes: list[str]

    def of(self, sound: np.ndarray) -> tuple[Array, list[str]]:
        """Those of the rows that are ``sound`` (n,) bool, and the notes."""
        return self.x if sound.all() else self.x[sound], self.notes


class FeaturesOnDisk(NamedTuple):
    """The same of a frame whose columns are on disk, where the rows are made when they are asked for; ``exact`` says
    that 32 bits hold every number."""

    frame: Frame
    encoding: Encoding
    exact: bool
    notes: list[str]

    def of(self, sound: np.ndarray) -> tuple[Array, list[str]]:
        """Raises DataError and DiskError as ``spooled``."""
        assert self.frame.origin is not None, "of a frame on disk"
        width, dtype = len(self.encoding.names), np.dtype(np.float32 if self.exact else np.float64)

        def fill(writer: RowWriter) -> dict[str, Any]:
            for rows in _pieces(self.frame, width):
                x = np.empty((len(self.frame.numbers[rows]), width))
                for _, columns, cells in _encoded(self.frame.part(rows), self.encoding):
                    x[:, columns] = cells.values
                writer.add(x if sound[rows].all() else x[sound[rows]])
            return {}

        chosen = hashlib.sha256(np.packbits(sound).tobytes()).hexdigest()
        asked = [self.frame.origin.asked, asdict(self.encoding), chosen]
        needed = int(sound.sum()) * width * dtype.itemsize
        found = spooled(self.frame.origin._replace(asked=asked), dtype, width, fill, needed)
        return StoredArray(found.rows, np.dtype(np.float64)), [*self.notes, *([found.note] if found.note else [])]


def features(frame: Frame, encoding: Encoding, fills: bool, fault: np.ndarray) -> Features:
    """Of a frame in memory. The first column that keeps a row from being read goes into ``fault`` (n,)."""
    columns = {column.name: place for place, column in enumerate(frame.columns)}
    check_memory(frame.name, 8 * len(fault) * len(encoding.names))
    x, told = np.empty((len(fault), len(encoding.names))), _Told(frame.name, len(fault))
    for taken, places, cells in _encoded(frame, encoding):
        x[:, places] = cells.values
        told.add(taken, int(cells.missing.sum()), cells.unseen, cells.values)
        _enter(fault, cells, columns[taken.name], fills)
    return Features(x, told.notes(fills))


def features_on_disk(frame: Frame, encoding: Encoding, fills: bool, fault: np.ndarray) -> FeaturesOnDisk:
    """The same of a frame whose columns are on disk: they are looked at some rows at a time."""
    columns = {column.name: place for place, column in enumerate(frame.columns)}
    told, exact = _Told(frame.name, len(fault)), True
    missing, unseen = Counter[str](), {taken.name: Counter[str]() for taken in encoding.featured}
    for rows in _pieces(frame, len(encoding.names)):
        for taken, _, cells in _encoded(frame.part(rows), encoding):
            exact = exact and np.array_equal(in_32_bits(cells.values), cells.values, equal_nan=True)
            missing[taken.name] += int(cells.missing.sum())
            unseen[taken.name].update(cells.unseen)
            _enter(fault[rows], cells, columns[taken.name], fills)
    for taken in encoding.featured:
        column = frame.columns[columns[taken.name]]
        values = numbers_of(column, frame)[0] if taken.kind == "number" else np.zeros(0)
        told.add(taken, missing[taken.name], unseen[taken.name], values[:, None])
    return FeaturesOnDisk(frame, encoding, exact, told.notes(fills))


class _Told:
    """What there is to say of each column of new rows."""

    def __init__(self, name: str, rows: int) -> None:
        self._name, self._rows = name, rows
        self._found, self._notes = list[Taken](), list[str]()

    def add(self, taken: Taken, missing: int, unseen: Counter[str], values: np.ndarray) -> None:
        self._found.append(replace(taken, missing=missing))
        self._notes += about_unseen(self._name, taken, unseen)
        if taken.kind == "number":
            self._notes += about_range(self._name, taken, with_range(taken, values[:, 0]), self._rows)

    def notes(self, fills: bool) -> list[str]:
        return [*(about_filled(self._name, self._found) if fills else []), *self._notes]


def _pieces(frame: Frame, width: int) -> Iterator[slice]:
    step = max(1, PIECE_CELLS // max(1, width))
    return (slice(start, start + step) for start in range(0, len(frame.numbers), step))


def _encoded(frame: Frame, encoding: Encoding) -> Iterator[tuple[Taken, slice, Cells]]:
    """The features of each column, and their places among all."""
    columns: dict[str, Column] = {column.name: column for column in frame.columns}
    start = 0
    for taken in encoding.featured:
        yield taken, slice(start, start + taken.width), encode(frame, columns[taken.name], taken)
        start += taken.width


def _enter(fault: np.ndarray, cells: Cells, place: int, fills: bool) -> None:
    wrong = cells.faulty if fills else cells.faulty | cells.missing
    fault[wrong & (fault == SOUND)] = place
