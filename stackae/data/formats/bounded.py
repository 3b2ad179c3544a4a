"""Reading no more of a file than it declares, so that a false header or a compression bomb cannot fill the memory.

Only regular files are opened: a pipe, a socket or a device in the place of one would be waited for, or never end.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from stackae.errors import DataError
from stackae.system import PRIVATE, WITHOUT_WAITING

DAMAGE = (EOFError, OSError, OverflowError, zlib.error, zipfile.BadZipFile, struct.error, RuntimeError, ValueError)
DEFLATE_LIMIT = 1032  # no DEFLATE stream grows by more than this factor
CHUNK_BYTES = 1 << 20
PIECE_BYTES = 8 * CHUNK_BYTES  # of rows that are looked at together
GZIP = b"\x1f\x8b"
KINDS_OF_FILES = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Stream(Protocol):
    """What bytes are read from: a file, or what is unpacked from one."""

    def read1(self, size: int, /) -> bytes: ...


def check_regular(path: Path, mode: int) -> None:
    """DataError unless ``mode``, as stat gives it, is that of a regular file."""
    if not stat.S_ISREG(mode):
        kind = KINDS_OF_FILES.get(stat.S_IFMT(mode), "something else")
        raise DataError(f"{path}: expected a regular file, got {kind}; save the data as a file and give its path")


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """The regular file, open for reading; DataError for anything else, and when it has changed until it is closed."""
    check_regular(path, path.stat().st_mode)
    # what was a file a moment ago may be a pipe now: opening one without waiting, and looking again
    descriptor = os.open(path, os.O_RDONLY | WITHOUT_WAITING | PRIVATE)
    with os.fdopen(descriptor, "rb") as file:
        before = os.fstat(descriptor)
        check_regular(path, before.st_mode)
        try:
            yield file
        except DataError:
            _check_unchanged(path, before, os.fstat(descriptor))
            raise
        _check_unchanged(path, before, os.fstat(descriptor))


def _check_unchanged(path: Path, before: os.stat_result, after: os.stat_result) -> None:
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise DataError(
            f"{path}: expected a file that stays as it is, got one that changed while it was read "
            f"({before.st_size:,} bytes before, {after.st_size:,} after); wait until it is written"
        ) from None


class Gunzip:
    """The bytes that a gzip file packs, all its members one after the other; zeros may follow the last.

    Header and checksum are read by zlib itself: a header of a gigabyte costs no loop over its bytes. ``read1`` raises
    EOFError when a member is cut short and ValueError when one is empty, both among DAMAGE, as zlib.error is.
    """

    def __init__(self, file: Stream) -> None:
        self._file = file
        self._waiting = b""
        self._member = zlib.decompressobj(wbits=31)
        self._begun = False

    def read1(self, size: int, /) -> bytes:
        """At least a byte and at most ``size``; none when everything is unpacked."""
        while True:
            if self._member.eof and not self._next_member():
                return b""
            packed = self._waiting or self._file.read1(CHUNK_BYTES)
            if not packed:
                raise EOFError("the compressed data end before they are complete")
            plain = self._member.decompress(packed, size)
            self._waiting = self._member.unconsumed_tail
            if self._member.eof and not (plain or self._begun):
                raise ValueError("an empty member")
            self._begun = self._begun or bool(plain)
            if plain:
                return plain

    def _next_member(self) -> bool:
        rest = self._member.unused_data.lstrip(b"\0")
        while not rest:
            piece = self._file.read1(CHUNK_BYTES)
            if not piece:
                return False
            rest = piece.lstrip(b"\0")
        self._waiting, self._begun = rest, False
        self._member = zlib.decompressobj(wbits=31)
        return True


class Resumed:
    """A stream with bytes that were read from it put back in front."""

    def __init__(self, read: bytes, stream: Stream) -> None:
        self._read = read
        self._stream = stream

    def read1(self, size: int, /) -> bytes:
        if not self._read:
            return self._stream.read1(size)
        piece, self._read = self._read[:size], self._read[size:]
        return piece


def read_up_to(stream: Stream, count: int, name: str, start: int = 0) -> bytearray:
    """At most ``count`` bytes, fewer when the stream ends before; memory follows what is there, not ``count``.

    ``start`` is how many bytes were read before. Raises DataError when the compressed data are cut short or damaged.
    """
    body = bytearray()
    try:
        while len(body) < count and (piece := stream.read1(min(CHUNK_BYTES, count - len(body)))):
            body += piece
    except DAMAGE as error:
        raise DataError(
            f"{name}: expected {start + count} bytes or the end of the file, got {start + len(body)} bytes and then "
            f"damaged data ({error}); fetch the file again"
        ) from None
    return body


def read_into(file: io.BufferedReader, place: int, array: np.ndarray, name: str) -> None:
    """Fills a contiguous array from a place of the file on; DataError when the file ends before or cannot be read."""
    body, found = array.data.cast("B"), 0
    try:
        file.seek(place)
        while found < len(body) and (count := file.readinto(body[found:])):
            found += count
    except DAMAGE as error:
        raise DataError(
            f"{name}: expected {place + len(body)} bytes or the end of the file, got {place + found} bytes and then "
            f"damaged data ({error}); fetch the file again"
        ) from None
    check_size(name, place + len(body), place + found)


def read_body(stream: Stream, count: int, name: str, start: int) -> bytearray:
    """Exactly ``count`` bytes, after which the stream must end; DataError otherwise."""
    body = read_up_to(stream, count, name, start)
    rest = read_up_to(stream, 1, name, start + count) if len(body) == count else b""
    if rest or len(body) != count:
        check_size(name, start + count, start + len(body) + len(rest), at_least=bool(rest))
    return body


def check_size(name: str, declared: int, actual: int, *, at_least: bool = False) -> None:
    """DataError unless the bytes that a header declares are the bytes that are there."""
    if declared != actual:
        fault = "is cut short" if actual < declared else "has bytes after its end"
        raise DataError(
            f"{name}: expected {declared} bytes as its header declares, got {'at least ' * at_least}{actual}; "
            f"the file {fault}, fetch it again"
        )
