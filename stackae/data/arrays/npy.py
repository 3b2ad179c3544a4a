"""numpy's .npy files, and members of archives that are such: arrays that are read whole, in pieces, or mapped."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np

from stackae.data.arrays.store import Declared, Store, Stored
from stackae.data.formats.bounded import Resumed, Stream, opened
from stackae.data.formats.npy import ANY, Header, NpyPieces, read_array, read_header
from stackae.data.spool.pieces import Mappable, Pieces, rows_of_stream
from stackae.errors import DataError

Opener = Callable[[], AbstractContextManager[Stream]]


@contextmanager
def opened_npy(path: Path) -> Iterator[Store]:
    """The one array of a .npy file, while it is open: (n, d), or (n, a, b) or (n, a, b, c), each row flattened.

    Raises DataError when the file is cut short, damaged, has bytes to spare, holds anything but real numbers, or is
    larger than the memory.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        yield Store(path, {"": stored_npy(lambda: _from_start(file), size, str(path), lambda: Mappable(path, 0))})


@contextmanager
def _from_start(file: io.BufferedReader) -> Iterator[Stream]:
    file.seek(0)
    yield file


def stored_npy(
    open_stream: Opener, size: int, name: str, plain: Callable[[], Mappable | None] = lambda: None
) -> Stored:
    """The array of a .npy stream of ``size`` bytes, opened anew to be looked at and to be read; ``plain`` says where
    the stream lies in a file, if it lies there as it is."""

    def declared() -> Declared:
        try:
            with open_stream() as stream:
                header, _ = read_header(stream, size, name, ANY)
        except DataError:
            return Declared((), "unreadable")  # whoever reads it is told why
        return Declared.of(header.shape, header.dtype)

    def read(kinds: str) -> np.ndarray:
        with open_stream() as stream:
            return read_array(stream, size, name, kinds)

    return Stored(declared, read, pieces=lambda: pieces_of_npy(open_stream, size, name, plain()))


def pieces_of_npy(open_stream: Opener, size: int, name: str, plain: Mappable | None) -> Pieces | None:
    """The rows of a .npy stream of ``size`` bytes; None of a packed array that lies column after column. Raises what
    ``read_header`` raises."""
    with open_stream() as stream:
        header, _ = read_header(stream, size, name)
    dtype, by_columns = header.dtype.newbyteorder("="), header.column_major and sum(n > 1 for n in header.shape) > 1
    if plain is not None:
        if header.dtype.isnative and not by_columns:
            return Pieces(name, header.shape, dtype, lambda: iter(()), plain._replace(start=plain.start + header.start))
        return Pieces(name, header.shape, dtype, lambda: _of_file(plain, size))
    if by_columns:
        return None
    return Pieces(name, header.shape, dtype, lambda: _of_stream(open_stream, size, name, header))


def _of_file(plain: Mappable, size: int) -> Iterator[np.ndarray]:
    with opened(plain.path) as file:
        yield from NpyPieces(plain.path, file, plain.start, size)


def _of_stream(open_stream: Opener, size: int, name: str, header: Header) -> Iterator[np.ndarray]:
    with open_stream() as stream:
        _, head = read_header(stream, size, name)
        rest, shape = Resumed(head[header.start :], stream), (header.shape[0], math.prod(header.shape[1:]))
        yield from rows_of_stream(rest, header.dtype, shape, name, header.start)
