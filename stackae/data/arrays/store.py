"""Files that hold arrays by name: how one is opened, and what it says of its arrays before they are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stackae.data.formats import format_of
from stackae.data.source import bytes_held
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
    is stored as a sparse matrix, of which cells that are not there are read as 0. ``mapped`` gives it as it lies in the
    file; None where it does not lie there as an array.
    """

    declared: Callable[[], Declared]
    read: Callable[[str], np.ndarray]
    sparse: bool = False
    mapped: Callable[[str], np.memmap] | None = None


class Store(NamedTuple):
    """An open file, and its arrays by name; the one array of a file that has no names is named ""."""

    path: Path
    arrays: dict[str, Stored]

    def find(self, name: str) -> str | None:
        """The name of the array that a user may mean: a path within the file may lack its first slash."""
        return next((each for each in (name, f"/{name.strip('/')}") if each in self.arrays), None)

    def declared(self, name: str) -> Declared:
        return self.arrays[name].declared()

    def read(self, name: str, kinds: str) -> np.ndarray:
        return self.arrays[name].read(kinds)

    def read_rows(self, name: str, kinds: str, storage: str) -> np.ndarray | np.memmap:
        """The array, or a map of it where its ``storage`` is on disk. Raises DataError where that cannot be."""
        stored, needed = self.arrays[name], self.declared(name).bytes_held
        if stored.mapped is not None and stays_on_disk(storage, needed):
            return stored.mapped(kinds)
        if storage == "disk":
            raise DataError(
                f"{argument('storage')}: expected a file whose rows lie as they are, for disk, got "
                f"{called(self.path, name)}; save the rows as .npy, or use {argument('storage', 'memory')}"
            )
        return stored.read(kinds)

    @property
    def names(self) -> list[str]:
        return list(self.arrays)


def opened_store(path: Path) -> AbstractContextManager[Store]:
    """The file while it is open, by the format of its suffix. Raises DataError where it is none of that format."""
    found = format_of(path)
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
