"""Elements of MATLAB's files of version 5: a type, a size and content; what stands before the numbers of an array."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stackae.data.arrays.store import Declared
from stackae.data.formats.bounded import CHUNK_BYTES, Stream, read_up_to
from stackae.data.labels import LAST_CHARACTER, SURROGATES
from stackae.errors import DataError

MATRIX = 14  # a type of elements
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
CHARACTERS = {1: "u1", 2: "u1", 4: "u2", 16: "u1", 17: "u2", 18: "u4"}  # types of what texts are stored as
UTF8 = 16
EMPTY = 6  # double, as [] is
CELL, CHAR, SPARSE, FUNCTION, OPAQUE = 1, 4, 5, 16, 17  # classes of arrays
NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
OTHERS = {CELL: "cell", 2: "struct", 3: "object", CHAR: "char", FUNCTION: "function", OPAQUE: "object"}
COMPLEX, LOGICAL = 0x08, 0x02  # flags
MOST_AXES, LONGEST_NAME = 32, 255


class Header(NamedTuple):
    """What stands before the numbers of an array."""

    name: str
    kind: int
    flags: int
    shape: tuple[int, ...]

    @property
    def declared(self) -> Declared:
        kind = OTHERS.get(self.kind, "numbers" if self.kind in NUMBERS or self.kind == SPARSE else "unknown")
        return Declared(self.shape, "complex" if self.flags & COMPLEX else kind)

    @property
    def cells(self) -> int:
        return self.declared.size


class Elements:
    """The elements of a stream in their order; ``label`` begins the messages of DataError. ``end`` is where the array
    ends whose header was read last, in bytes from the first."""

    def __init__(self, stream: Stream, order: str, label: str) -> None:
        self._stream, self.order, self.label = stream, order, label
        self._at = self.end = 0

    def tag(self) -> tuple[int, int, bytearray | None]:
        """Type and size of the next element, and its content where that stands within its tag."""
        tag = self._bytes(8)
        first, size = np.frombuffer(tag, f"{self.order}u4").tolist()
        if first >> 16:
            self.fits(first >> 16 <= 4, "an element of more than 4 bytes within its tag")
            return first & 0xFFFF, first >> 16, tag[4 : 4 + (first >> 16)]
        return first, size, None

    def content(self, types: dict[int, str], most: int) -> np.ndarray:
        """The next element, of one of these types and at most so many numbers."""
        return self._numbers(types, most)[1]

    def _numbers(self, types: dict[int, str], most: int) -> tuple[int, np.ndarray]:
        kind, size, content = self.tag()
        self.fits(kind in types, f"an element of type {kind}")
        dtype = np.dtype(types[kind]).newbyteorder(self.order)  # type: ignore[arg-type]  # < or >
        self.fits(size % dtype.itemsize == 0 and size // dtype.itemsize <= most, f"an element of {size} bytes")
        if content is None:
            content = self._bytes(size)
            self._bytes(-size % 8)
        return kind, np.frombuffer(content, dtype)

    def header(self) -> Header:
        """What stands before the numbers of the array that begins here, and ends at ``end``."""
        kind, size, _ = self.tag()
        self.fits(kind == MATRIX, f"an element of type {kind}")
        self.end = self._at + size
        if not size:  # what was never set
            return Header("", EMPTY, 0, (0, 0))
        flags = self.content({6: "u4"}, 2)
        self.fits(len(flags) == 2, "an array without flags")
        kind = int(flags[0]) & 0xFF
        shape: tuple[int, ...] = ()
        if kind != OPAQUE:
            shape = tuple(self.content({5: "i4"}, MOST_AXES).tolist())
            self.fits(len(shape) > 1 and min(shape) >= 0, f"an array of shape {shape}")
        name = self.content({1: "u1", 2: "u1", 16: "u1"}, LONGEST_NAME).tobytes()
        return Header(name.decode("latin-1"), kind, int(flags[0]) >> 8 & 0xFF, shape)

    def text(self, count: int) -> np.ndarray:
        """The codes of so many characters."""
        kind, codes = self._numbers(CHARACTERS, 4 * count)
        if kind == UTF8:
            codes = np.array([ord(letter) for letter in codes.tobytes().decode("utf-8", "surrogateescape")], "u4")
        sound = len(codes) == count and ((codes < SURROGATES[0]) | (codes > SURROGATES[1])).all()
        self.fits(bool(sound) and int(codes.max(initial=0)) <= LAST_CHARACTER, "characters that are no text")
        return codes

    def _bytes(self, count: int) -> bytearray:
        content = read_up_to(self._stream, count, self.label)
        self.fits(len(content) == count, "a file that is cut short")
        self._at += count
        return content

    def skip(self, end: int) -> None:
        """Go to the end of an element that has begun."""
        self.fits(self._at <= end, "an element beyond the one that holds it")
        while self._at < end:
            self._bytes(min(CHUNK_BYTES, end - self._at))

    def fits(self, sound: bool, fault: str) -> None:
        if not sound:
            raise DataError(f"{self.label}: expected a MATLAB array, got {fault}; save it again by save -v7")
