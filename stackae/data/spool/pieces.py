"""Arrays that are read some rows at a time, and where they come to lie so that they need no memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stackae.data.formats import Tell, ignored
from stackae.data.formats.bounded import PIECE_BYTES, Stream, check_size, read_body, read_up_to
from stackae.data.spool.spooled import Origin, RowWriter, Spooled, spooled
from stackae.data.stored.array import Array, StoredArray
from stackae.errors import DataError


class Mappable(NamedTuple):
    """Where the rows of an array lie in a file as they are in memory: one after the other, in the machine's order."""

    path: Path
    start: int


class Pieces(NamedTuple):
    """The rows of an array of this shape (n, ...) and dtype, in the machine's byte order.

    ``read`` yields them in their order, (r, ...) at a time, and raises DataError where the file is damaged;
    ``mappable`` says where they lie, if they need no reading.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], Iterator[np.ndarray]]
    mappable: Mappable | None = None

    @property
    def width(self) -> int:
        return math.prod(self.shape[1:])

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def step(self) -> int:
        """Rows of about 8 MiB, one at least."""
        return max(1, PIECE_BYTES // max(1, self.width * self.dtype.itemsize))


def on_disk(pieces: Pieces, origin: Origin, tell: Tell = ignored) -> Spooled:
    """The rows (n, d) of an array, mapped where they are, or where they are kept.

    Raises what ``spooled`` and ``read`` raise, and DataError where a file holds another number of rows than it
    declares. ``tell`` is told the share of the rows that is written.
    """
    if pieces.mappable is not None:
        path, start = pieces.mappable
        return Spooled(np.memmap(path, pieces.dtype, "r", start, (pieces.shape[0], pieces.width)), {})

    def fill(writer: RowWriter) -> dict[str, Any]:
        for piece in pieces.read():
            writer.add(piece.reshape(len(piece), pieces.width))
            tell(min(1.0, writer.count / pieces.shape[0]))
        if writer.count != pieces.shape[0]:
            raise DataError(
                f"{pieces.name}: expected {pieces.shape[0]:,} rows, got {writer.count:,}; save the file again"
            )
        return {}

    return spooled(origin, pieces.dtype, pieces.width, fill, pieces.nbytes)


def as_rows(rows: Array) -> Array:
    """The rows (n, d), as a stored array where they are a map of a file."""
    return StoredArray(rows) if isinstance(rows, np.memmap) else rows


def rows_of_stream(
    stream: Stream, dtype: np.dtype, shape: tuple[int, int], name: str, place: int
) -> Iterator[np.ndarray]:
    """The rows (n, d) of a stream from ``place`` on, at whose end it must end too. Raises DataError otherwise."""
    rows, width = shape
    row_bytes = width * dtype.itemsize
    step = max(1, PIECE_BYTES // row_bytes)
    for first in range(0, rows, step):
        wanted = min(step, rows - first) * row_bytes
        body = read_up_to(stream, wanted, name, place)
        if len(body) < wanted:
            check_size(name, place + (rows - first) * row_bytes, place + len(body))
        place += wanted
        yield np.frombuffer(body, dtype).reshape(-1, width)
    read_body(stream, 0, name, place)  # where checksums are compared
