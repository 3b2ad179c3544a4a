"""The bytes of a file of text, unpacked and as UTF-8, in blocks of whole lines."""

from __future__ import annotations

import codecs
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

from stackae.data.formats.bounded import CHUNK_BYTES, DAMAGE, GZIP, Gunzip, Resumed, Stream
from stackae.data.text.rows import LONGEST_LINE, fault, too_long
from stackae.errors import DataError, legible

BLOCK_BYTES = 4 << 20
QUOTE = b'"'


class TextBlocks:
    """An open file from its start: iterating yields its lines as UTF-8 without a mark, some MiB of them at once.

    While ``whole_rows``, no block ends within quotes. ``digest`` is the SHA-256 of the bytes that were read, and
    ``share`` says how many of them that are, 0 to 1. Raises UnicodeDecodeError for what ``encoding`` cannot be, but
    that UTF-8 is left to be checked; DataError for damaged gzip data.
    """

    def __init__(self, path: Path, file: io.BufferedReader, encoding: str) -> None:
        file.seek(0)
        self.whole_rows = True
        self.digest = hashlib.sha256()
        self._path, self._file = path, file
        self._size = os.fstat(file.fileno()).st_size
        self._read = self._lines = 0
        self._decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)()
        begin = self.read1(CHUNK_BYTES)
        packed = begin.startswith(GZIP)
        self._stream: Stream = Gunzip(Resumed(begin, self)) if packed else Resumed(begin, self)

    @property
    def share(self) -> float:
        return self._read / max(1, self._size)

    def read1(self, size: int, /) -> bytes:
        """The file's own bytes, which are counted and digested."""
        piece = self._file.read1(size)
        self._read += len(piece)
        self.digest.update(piece)
        return piece

    def __iter__(self) -> Iterator[bytes]:
        buffer = bytearray()
        for piece in self._pieces():
            buffer += piece
            if len(buffer) < BLOCK_BYTES:
                continue
            cut = _end_of_rows(buffer) if self.whole_rows else _end_of_lines(buffer)
            if not cut and len(buffer) <= LONGEST_LINE:
                continue
            if not cut and not _end_of_lines(buffer):
                raise fault(self._path, self._lines + 1, too_long())
            cut = cut or len(buffer)  # quotes without an end, which its reader refuses
            block = bytes(memoryview(buffer)[:cut])
            self._lines += line_ends(block)
            yield block
            del buffer[:cut]
        if buffer:
            yield bytes(buffer)

    def begin(self) -> bytes:
        """The first bytes, unpacked: as many as the longest mark has, where there are so many."""
        begin = b""
        while len(begin) < len(codecs.BOM_UTF8) and (more := self._next(len(codecs.BOM_UTF8) - len(begin))):
            begin += more
        return begin

    def _pieces(self) -> Iterator[bytes]:
        piece = self.begin()
        if self._decoder is None:
            piece = piece.removeprefix(codecs.BOM_UTF8) or self._next(CHUNK_BYTES)
        while piece:
            yield piece if self._decoder is None else self._decoder.decode(piece).encode()
            piece = self._next(CHUNK_BYTES)
        if self._decoder is not None:
            yield self._decoder.decode(b"", True).encode()

    def _next(self, size: int) -> bytes:
        try:
            return self._stream.read1(size)
        except DAMAGE as error:
            raise DataError(
                f"{self._path}: expected a file that can be read to its end, got {self._read:,} bytes and then damaged "
                f"data ({legible(str(error), 200)}); fetch the file again"
            ) from None


def line_ends(block: bytes) -> int:
    """How many lines end in a block: with LF, CR LF or CR."""
    count = block.count(b"\n")
    return count if b"\r" not in block else count + block.count(b"\r") - block.count(b"\r\n")


def _end_of_lines(buffer: bytearray) -> int:
    """Where the last whole line ends, 0 where none does."""
    return buffer.rfind(b"\n" if b"\n" in buffer else b"\r") + 1


def _end_of_rows(buffer: bytearray) -> int:
    """Where the last line ends that does so outside of quotes, 0 where none does."""
    end, newline = _end_of_lines(buffer), b"\n" if b"\n" in buffer else b"\r"
    if buffer.count(QUOTE, 0, end) % 2 == 0:
        return end
    while end > 0:
        closing = buffer.rfind(QUOTE, 0, end)
        end = buffer.rfind(QUOTE, 0, closing)
        outside = buffer.rfind(newline, end + 1, closing)
        if outside >= 0:
            return outside + 1
    return 0


def encodings_of(path: Path, file: io.BufferedReader, otherwise: str | None = None) -> tuple[str, ...]:
    """The encodings that an open file may have by its first bytes, the likeliest first: bytes that are no UTF-8 are
    ``otherwise`` before they are Latin-1."""
    begin = TextBlocks(path, file, "utf-8").begin()
    marked = begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return ("utf-16",) if marked else tuple(filter(None, ("utf-8", otherwise, "cp1252", "latin-1")))
