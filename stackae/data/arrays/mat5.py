"""Arrays of MATLAB's files of version 5: elements of a type, a size and content, as they are or compressed by zlib.

Real numbers, characters, cells of texts and sparse matrices are read, each from its own bytes and no more of them than
its header accounts for, those within a structure too; objects and functions are named and left. The format is public
("MAT-File Format", The MathWorks).
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stackae.data.arrays.mat5_elements import (
    CELL,
    CHAR,
    COMPLEX,
    LOGICAL,
    MATRIX,
    NUMBERS,
    SPARSE,
    TYPES,
    Elements,
    Header,
)
from stackae.data.arrays.mat5_fields import fields_of, header_at
from stackae.data.arrays.sparse import Parts, dense
from stackae.data.arrays.store import MOST_ARRAYS, Declared, Stored, called
from stackae.data.formats.bounded import CHUNK_BYTES, DEFLATE_LIMIT
from stackae.data.formats.npy import LONGEST_LABEL, MOST_DIMENSIONS, check_kind
from stackae.data.memory import check_memory
from stackae.data.source import bytes_held
from stackae.errors import DataError

START = 128  # of the elements
COMPRESSED = 15  # a type of elements


class _Section:
    """So many bytes of a file from a place on."""

    def __init__(self, file: io.BufferedReader, start: int, size: int) -> None:
        self._file, self._left = file, size
        file.seek(start)

    def read1(self, size: int, /) -> bytes:
        piece = self._file.read1(min(size, self._left))
        self._left -= len(piece)
        return piece


class _Inflated:
    """What zlib packed."""

    def __init__(self, packed: _Section) -> None:
        self._packed, self._zlib, self._waiting = packed, zlib.decompressobj(), b""

    def read1(self, size: int, /) -> bytes:
        while size and not self._zlib.eof:
            packed = self._waiting or self._packed.read1(CHUNK_BYTES)
            if not packed:
                raise EOFError("the compressed data end before they are complete")
            plain = self._zlib.decompress(packed, size)
            self._waiting = self._zlib.unconsumed_tail
            if plain:
                return plain
        return b""


class _Place(NamedTuple):
    """Where an array lies in its file, and whether it is compressed."""

    start: int
    size: int
    compressed: bool

    @property
    def most(self) -> int:
        """The bytes that it can hold."""
        return self.size * (DEFLATE_LIMIT if self.compressed else 1)


def stored_arrays(path: Path, file: io.BufferedReader, order: str) -> dict[str, Stored]:
    """The arrays of an open file by name. Raises DataError for a file whose elements do not fit it."""
    found: dict[str, Stored] = {}
    for place in _places(path, file, order):
        elements = _elements(file, place, order, str(path))
        header = elements.header()
        if not header.name:  # what functions of the file refer to
            continue
        for name, within, inner in fields_of(elements, header, header.name):
            label = called(path, name)
            if name in found:
                raise DataError(
                    f"{label}: expected a name of its own for each array, got it twice; save it by save -v7"
                )
            if len(found) == MOST_ARRAYS:
                raise DataError(
                    f"{path}: expected at most {MOST_ARRAYS:,} arrays, got more; save rows and labels alone"
                )
            read = partial(_read, file, place, order, label, within)
            found[name] = Stored(partial(_declared, inner), read, inner.kind == SPARSE)
    return found


def _declared(header: Header) -> Declared:
    return header.declared


def _places(path: Path, file: io.BufferedReader, order: str) -> Iterator[_Place]:
    start, end = START, os.fstat(file.fileno()).st_size
    for _ in range(MOST_ARRAYS):
        if start >= end:
            return
        tag = Elements(_Section(file, start, 8), order, str(path))
        kind, size, content = tag.tag()
        if content is not None or kind not in (MATRIX, COMPRESSED) or size > end - start - 8:
            raise DataError(
                f"{path}: expected arrays, got an element of type {kind} and {size:,} bytes at byte {start:,} of "
                f"{end:,}; the file is cut short or damaged: save it again by save -v7"
            )
        yield _Place(start + 8, size, True) if kind == COMPRESSED else _Place(start, size + 8, False)
        start += 8 + size
    raise DataError(f"{path}: expected at most {MOST_ARRAYS:,} arrays, got more; save those that are rows and labels")


def _elements(file: io.BufferedReader, place: _Place, order: str, label: str) -> Elements:
    section = _Section(file, place.start, place.size)
    return Elements(_Inflated(section) if place.compressed else section, order, label)


def _read(
    file: io.BufferedReader, place: _Place, order: str, label: str, within: tuple[int, ...], kinds: str
) -> np.ndarray:
    """The array at a place, of these kinds of numpy's dtypes, with the type that it has in MATLAB."""
    elements = _elements(file, place, order, label)
    header = header_at(elements, within)
    dtype = np.dtype(NUMBERS.get(header.kind, "f8"))
    texts = header.kind in (CHAR, CELL)
    real = not header.flags & COMPLEX and (header.kind in NUMBERS or header.kind == SPARSE)
    check_kind(label, "U" if texts else "f" if real else "O", header.declared.kind, kinds)
    if min(header.shape) < 1 or len(header.shape) > MOST_DIMENSIONS:
        raise DataError(
            f"{label}: expected at least one element and at most {MOST_DIMENSIONS} dimensions, got shape "
            f"{header.shape}; save an array that holds data"
        )
    if header.kind == SPARSE:
        return _sparse(elements, header, place)
    if header.cells > place.most:
        raise DataError(
            f"{label}: expected no more cells than {place.size:,} bytes can hold, got shape {header.shape}; the file "
            "is damaged: save it again"
        )
    check_memory(label, bytes_held(dtype, header.cells) + dtype.itemsize * header.cells)
    if texts:
        return _texts(elements, header)
    numbers = elements.content(TYPES, header.cells)
    if len(numbers) != header.cells:
        raise DataError(
            f"{label}: expected {header.cells:,} numbers of shape {header.shape}, got {len(numbers):,}; save it again"
        )
    numbers = numbers.astype(np.bool_ if header.flags & LOGICAL else dtype)
    return numbers.reshape(header.shape, order="F")


def _sparse(elements: Elements, header: Header, place: _Place) -> np.ndarray:
    rows, columns = header.shape[0], header.shape[-1]
    indices = elements.content(TYPES, place.most)
    starts = elements.content(TYPES, columns + 1)
    count = int(starts[-1]) if len(starts) else 0
    numbers = elements.content(TYPES, place.most)
    dtype = np.dtype(np.bool_ if header.flags & LOGICAL else np.float64)
    data, places = numbers[: max(0, count)].astype(dtype), indices[: max(0, count)].astype(np.int64)
    return dense(Parts(elements.label, "csc", (rows, columns), data, places, starts.astype(np.int64)))


def _texts(elements: Elements, header: Header) -> np.ndarray:
    """The rows of a matrix of characters, or the texts of cells."""
    if header.kind == CELL:
        found = []
        for _ in range(header.cells):
            cell = elements.header()
            check_kind(elements.label, "U" if cell.kind == CHAR else "O", f"cells of {cell.declared.kind}", "U")
            if cell.cells > LONGEST_LABEL or cell.cells != max((*cell.shape, 0)) * bool(cell.cells):
                raise DataError(
                    f"{elements.label}: expected cells of one text of at most {LONGEST_LABEL:,} characters, got shape "
                    f"{cell.shape}; save class names or numbers"
                )
            found.append("".join(map(chr, elements.text(cell.cells).tolist())))
        return np.array(found)
    count, width = header.shape[0], header.cells // header.shape[0]
    if width > LONGEST_LABEL:
        raise DataError(
            f"{elements.label}: expected labels of at most {LONGEST_LABEL:,} characters, got {width:,}; save class "
            "names or numbers"
        )
    codes = elements.text(header.cells).reshape(count, width, order="F")
    return np.array(["".join(map(chr, row)).rstrip(" \0") for row in codes.tolist()])
