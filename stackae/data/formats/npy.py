"""numpy's .npy files, whole or in pieces, never unpickled and never larger in memory than the file accounts for."""

from __future__ import annotations

import io
import math
import os
import re
import tokenize
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stackae.data.formats.bounded import (
    CHUNK_BYTES,
    PIECE_BYTES,
    Resumed,
    Stream,
    check_size,
    read_body,
    read_into,
    read_up_to,
)
from stackae.data.labels import LARGEST
from stackae.data.memory import check_memory
from stackae.data.source import Source, bytes_held, native
from stackae.errors import DataError, argument, legible

HEADER_BYTES = 1 << 14
HEADER_DAMAGE = (ValueError, TypeError, SyntaxError, LookupError, RecursionError, MemoryError, tokenize.TokenError)
HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
NUMBERS = "buif"  # kinds of numpy's dtypes
LABELS = "biufUS"
ANY = "biufcmMOSUVT"
MOST_DIMENSIONS = 4
STRIDED_BYTES = 64 * CHUNK_BYTES  # a column of it is read at once
LONGEST_SIDE = 4  # times the other side of what may be an image
LONGEST_LABEL = 1000  # characters


class Header(NamedTuple):
    shape: tuple[int, ...]
    column_major: bool
    dtype: np.dtype
    start: int

    @property
    def cells(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Of the numbers that follow the header, as it declares them."""
        return self.cells * self.dtype.itemsize


def read_header(stream: Stream, size: int, name: str, kinds: str = NUMBERS) -> tuple[Header, bytes]:
    """What a .npy stream of ``size`` bytes declares, checked against them, and its first bytes, which were read."""
    head = bytes(read_up_to(stream, min(size, HEADER_BYTES), name))
    header = _parse_header(head, name)
    check_kind(name, header.dtype.kind, legible(str(header.dtype)), kinds)
    if len(header.shape) > MOST_DIMENSIONS:
        raise DataError(
            f"{name}: expected at most {MOST_DIMENSIONS} dimensions, got {len(header.shape)}; reshape the array"
        )
    if header.nbytes < 1 or min(header.shape, default=1) < 1:
        raise DataError(
            f"{name}: expected at least one element, got shape {header.shape}; save an array that holds data"
        )
    characters = header.dtype.itemsize // (4 if header.dtype.kind == "U" else 1)
    if header.dtype.kind in "US" and characters > LONGEST_LABEL:
        raise DataError(
            f"{name}: expected labels of at most {LONGEST_LABEL:,} characters, got {characters:,}; "
            "save class names or numbers"
        )
    check_size(name, header.start + header.nbytes, size)
    return header, head


def check_kind(name: str, kind: str, found: str, kinds: str) -> None:
    """DataError unless the kind of an array's dtype is one of ``kinds``; ``found`` says in words what it is."""
    if kind not in kinds:
        wanted = "real numbers" if kinds == NUMBERS else "numbers or strings"
        raise DataError(f"{name}: expected an array of {wanted}, got {found}; convert it and save it again")


def read_array(stream: Stream, size: int, name: str, kinds: str = NUMBERS) -> np.ndarray:
    """The array of a .npy stream of ``size`` bytes, in the machine's byte order. Raises what ``load_npy`` raises."""
    header, head = read_header(stream, size, name, kinds)
    check_memory(name, bytes_held(header.dtype, header.cells))
    body = read_body(Resumed(head[header.start :], stream), header.nbytes, name, header.start)
    flat = native(np.frombuffer(body, header.dtype))
    return flat.reshape(header.shape, order="F" if header.column_major else "C")


def _parse_header(head: bytes, name: str) -> Header:
    stream = io.BytesIO(head)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(stream)
            if version not in HEADER_READERS:
                raise ValueError(f"format version {version[0]}.{version[1]}")
            shape, column_major, dtype = HEADER_READERS[version](stream)
        if any(abs(length) > LARGEST for length in shape):
            raise ValueError("a length beyond 64 bits")
        return Header(tuple(int(length) for length in shape), column_major, dtype, stream.tell())
    except HEADER_DAMAGE as error:
        cause = legible(re.sub(r" object at 0x[0-9a-f]+", "", " ".join(str(error).split())), 80)  # the same every time
        raise DataError(f"{name}: expected an array as numpy.save writes it, got {cause}; save it again") from None


class NpyPieces:
    """The rows of an open .npy file: iterating yields (r, d) arrays, in the order of the rows.

    The file may be a part of ``size`` bytes of another one, from ``start`` on. Raises DataError as load_npy does, for
    the header at once and for a file that ends early while it is read.
    """

    def __init__(self, path: Path, file: io.BufferedReader, start: int = 0, size: int | None = None) -> None:
        self._name, self._file = str(path), file
        file.seek(start)
        found, _ = read_header(file, os.fstat(file.fileno()).st_size if size is None else size, self._name)
        self._header = found._replace(start=start + found.start)
        self.dtype = self._header.dtype
        check_shape(self._header.shape, self._name)
        self.image_shape, self.row_shape = image_of(self._header.shape), row_shape(self._header.shape)
        self.rows, self.columns = self._header.shape[0], math.prod(self._header.shape[1:])
        self.share = 0.0
        """How much of the file has been handed out, from 0 to 1."""

    def check_memory(self) -> None:
        """DataError when the memory is too small for all rows at once."""
        check_memory(self._name, bytes_held(self.dtype, self._header.cells))

    def __iter__(self) -> Iterator[np.ndarray]:
        size = STRIDED_BYTES if self._header.column_major else PIECE_BYTES
        step = max(1, size // (self.columns * self.dtype.itemsize))
        starts = range(0, self.rows, step)
        with ThreadPoolExecutor(1, "read-ahead") as worker:  # the next piece is read while one is looked at
            following = worker.submit(self._rows, 0, min(step, self.rows))
            for start in starts[1:]:
                rows = following.result()
                following = worker.submit(self._rows, start, min(step, self.rows - start))
                self.share = start / self.rows
                yield rows
            self.share = 1.0
            yield following.result()

    def _rows(self, start: int, count: int) -> np.ndarray:
        if self._header.column_major:
            return self._strided(start, count)
        return self._cells(start * self.columns, count * self.columns).reshape(count, self.columns)

    def _cells(self, start: int, count: int) -> np.ndarray:
        """So many cells from a place on, in the order of the file."""
        cells = np.empty(count, self.dtype)
        read_into(self._file, self._header.start + start * self.dtype.itemsize, cells, self._name)
        return cells

    def _strided(self, start: int, count: int) -> np.ndarray:
        """Rows of an array that lies column by column."""
        rows = np.empty((count, self.columns), self.dtype)
        for column in range(self.columns):
            rows[:, column] = self._cells(column * self.rows + start, count)
        return rows.reshape(count, *self._header.shape[1:], order="F").reshape(count, self.columns)


def as_source(array: np.ndarray, path: Path, name: str) -> Source:
    """Rows of an array, flattened; of one axis, a signal. Raises DataError, which begins with ``name``, where its shape
    is not one of rows."""
    if array.ndim == 1:
        return Source(str(path), array[:, None], is_signal=True)
    check_shape(array.shape, name)
    return Source(
        name=str(path),
        x=array if array.ndim == 2 else array.reshape(len(array), -1),
        image_shape=image_of(array.shape),
        row_shape=row_shape(array.shape),
        notes=tuple(about_shape(len(array), row_shape(array.shape))),
    )


def check_shape(shape: tuple[int, ...], name: str) -> None:
    """DataError for the shape of an array that is no rows."""
    if not 2 <= len(shape) <= MOST_DIMENSIONS:
        raise DataError(
            f"{name}: expected shape (n, d), (n, h, w) or (n, h, w, channels), got {shape}; reshape the array"
        )


def row_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """How the numbers of a row lie in an array of more than two axes; () for a table."""
    return shape[1:] if len(shape) > 2 else ()


def about_shape(count: int, row_shape: tuple[int, ...]) -> list[str]:
    """The sentence that says what a row is, for an array of more than two axes with fewer rows than numbers in each."""
    if not row_shape or count >= math.prod(row_shape):
        return []
    return [
        f"{count:,} rows of {_axes(row_shape)} numbers each, by the first axis of the array; where the last axis holds "
        f"the features of one place (a cube), or of one moment, make each place a row by {argument('pixels')}"
    ]


def _axes(shape: tuple[int, ...]) -> str:
    """145 x 200 = 29,000."""
    return f"{' x '.join(map(str, shape))} = {math.prod(shape):,}"


def image_of(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of the image that a row may be: (h, w), (h, w, 3) or (h, w, 4), one side at most four times the other.

    None for any other array, such as windows of time or cubes with many bands: their rows are drawn as curves.
    """
    row = shape[1:3] if shape[3:] == (1,) else shape[1:]
    may_be = len(row) == 2 or (len(row) == 3 and row[2] in (3, 4))
    return row if may_be and max(row[:2]) <= LONGEST_SIDE * min(row[:2]) else None
