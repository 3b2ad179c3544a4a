"""Files that hold arrays by name: how one is opened, and what it says of its arrays before they are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stackae.data.formats import Tell, ignored, place_of
from stackae.data.formats.npy import NUMBERS
from stackae.data.source import bytes_held
from stackae.data.spool.pieces import Pieces, on_disk
from stackae.data.spool.spooled import Origin
from stackae.data.stored.array import stays_on_disk
from stackae.errors import DataError, argument, legible, nearest

MOST_ARRAYS = 10_000
SHOWN = 20


class Declared(NamedTuple):
    """What a file says of an array: its shape, what it holds in a word, and whether that is real numbers."""

    shape: tuple[int, ...]
    kind: str = "numbers"
    bytes_held: int = 0
    """What its rows take in memory."""

    @classmethod
    def of(cls, shape: Sequence[int], dtype: np.dtype) -> Declared:
        kind = "numbers" if dtype.kind in "buif" else "text" if dtype.kind in "US" else str(dtype)
        return cls(tuple(shape), kind, bytes_held(dtype, math.prod(shape)) if kind == "numbers" else 0)

    @property
    def numeric(self) -> bool:
        return self.kind == "numbers"

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def axes(self) -> int:
        """How many axes are longer than 1: 2 of a table, 1 of a column, 0 of a single number."""
        return sum(length > 1 for length in self.shape)

    def __str__(self) -> str:
        shape = " x ".join(map(str, self.shape))
        return f"({shape if self.numeric else f'{shape} {self.kind}'.strip()})"


class Stored(NamedTuple):
    """An array of an open file.

    ``read`` gives it where its dtype is of one of these kinds of numpy's, in the machine's byte order; it raises
    DataError for any other, and for an array that is damaged or too large for the memory. ``sparse`` says that it
    is stored as a sparse matrix, of which cells that are not there are read as 0. ``pieces`` reads its rows some at a
    time, where it holds real numbers, and gives None where it cannot be read so.
    """

    declared: Callable[[], Declared]
    read: Callable[[str], np.ndarray]
    sparse: bool = False
    pieces: Callable[[], Pieces | None] | None = None


class Store(NamedTuple):
    """An open file, and its arrays by name; the one array of a file that has no names is named "".

    Of a folder, ``files`` are those that it consists of, and notes are sentences that a person should read of them.
    """

    path: Path
    arrays: dict[str, Stored]
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    def find(self, name: str) -> str | None:
        """The name of the array that a user may mean: a path within the file may lack its first slash."""
        return next((each for each in (name, f"/{name.strip('/')}") if each in self.arrays), None)

    def declared(self, name: str) -> Declared:
        return self.arrays[name].declared()

    def read(self, name: str, kinds: str) -> np.ndarray:
        return self.arrays[name].read(kinds)

    def read_rows(self, name: str, storage: str, tell: Tell = ignored) -> tuple[np.ndarray, tuple[str, ...]]:
        """An array of real numbers, as a map where its ``storage`` is on disk, and what there is to say of it.

        ``tell`` is told the share that is written to the cache. Raises DataError where it cannot be on disk, and is to.
        """
        stored, declared = self.arrays[name], self.declared(name)
        if not stays_on_disk(storage, declared.bytes_held) or len(declared.shape) < 2:
            return stored.read(NUMBERS), ()
        found = None if stored.pieces is None else stored.pieces()
        if found is None:
            if storage == "auto":
                return stored.read(NUMBERS), ()
            raise DataError(
                f"{argument('storage')}: expected a file whose rows are read some at a time, for disk, got "
                f"{called(self.path, name)}; save the rows as .npy, or use {argument('storage', 'memory')}"
            )
        spooled = on_disk(found, Origin(found.name, self.files or (self.path,), name), tell)
        return spooled.rows.reshape(found.shape), (spooled.note,) if spooled.note else ()

    @property
    def names(self) -> list[str]:
        return list(self.arrays)


def opened_store(path: Path) -> AbstractContextManager[Store]:
    """The file, or the folder of shards, while it is open. Raises DataError where it is none of its format."""
    place = place_of(str(path))
    found = None if place is None else place.format
    assert found is not None and found.store is not None, "only formats with a store hold arrays"
    module, function = found.store.rsplit(".", 1)
    opener: Callable[[Path], AbstractContextManager[Store]]
    opener = getattr(import_module(f"stackae.data.{module}"), function)
    return opener(path)


def called(path: Path, name: str) -> str:
    """How messages call an array."""
    return f"{path}: {legible(name, 100)}" if name else str(path)


def told(store: Store, names: Sequence[str] | None = None) -> str:
    """x (3 x 4), y (3 x 1), notes (1 x 7 char)."""
    names = store.names if names is None else names
    shown = ", ".join(f"{legible(name, 100)} {store.declared(name)}".strip() for name in names[:SHOWN]) or "no arrays"
    return f"{shown} and {len(names) - SHOWN:,} more" if len(names) > SHOWN else shown


def found_in(store: Store, setting: str, name: str) -> str:
    """The array that a setting names. Raises DataError, which lists what there is."""
    found = store.find(name)
    if found is None:
        raise DataError(
            f"{argument(setting)}: expected an array of {store.path}, got '{legible(name, 100)}', and it holds "
            f"{told(store)}{nearest(name, store.names) or '; name one of them'}"
        )
    return found
