"""Reading rows of an array from its file: into memory of their own, so that no page of the file stays mapped."""

from __future__ import annotations

import mmap
import os
import weakref

import numpy as np

from stackae.errors import DataError
from stackae.system import PRIVATE

DENSE = 4  # rows that lie within so many times their number are read together, with those between them


class Reader:
    """Reads rows of a memory-mapped array (n, d) as they are stored; from its file, where a row lies in one piece.

    Rows of an array that lies column by column are read through the map. Used by many threads at once.
    """

    def __init__(self, raw: np.memmap) -> None:
        self._raw = raw
        self._file: int | None = None
        if raw.filename is not None and raw.flags.c_contiguous and hasattr(os, "preadv"):  # Windows reads by the map
            self._name, self._begin = str(raw.filename), _place_in_file(raw)
            self._file = os.open(raw.filename, os.O_RDONLY | PRIVATE)
            weakref.finalize(self, os.close, self._file)

    def slice(self, start: int, stop: int) -> np.ndarray:
        """Rows ``start`` to before ``stop``, a new array. Raises DataError where the file has become shorter."""
        if self._file is None:
            return np.array(self._raw[start:stop])
        found = np.empty((max(0, stop - start), self._raw.shape[1]), self._raw.dtype)
        self._fill(start, found)
        return found

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The rows of these numbers (k,) int64, a new array. Raises DataError as ``slice``."""
        if self._file is None or not len(rows):
            return np.asarray(self._raw).take(rows, axis=0)
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        first, last = int(ordered[0]), int(ordered[-1])
        if last - first < DENSE * len(rows):
            return self.slice(first, last + 1).take(rows - first, axis=0)
        found = np.empty((len(rows), self._raw.shape[1]), self._raw.dtype)
        body, width, begin, read = found.reshape(-1).view(np.uint8).data, found.strides[0], self._begin, os.preadv
        for at, row in zip((order * width).tolist(), ordered.tolist(), strict=True):
            if read(self._file, [body[at : at + width]], begin + row * width) != width:
                self._fill(row, found[at // width : at // width + 1])
        return found

    def _fill(self, row: int, into: np.ndarray) -> None:
        """Read as many rows as fit, from number ``row`` on."""
        assert self._file is not None
        body, place = into.reshape(-1).view(np.uint8).data, self._begin + row * into.strides[0]
        while len(body):
            count = os.preadv(self._file, [body], place)
            if not count:
                size = os.fstat(self._file).st_size
                raise DataError(
                    f"{self._name}: expected a file that stays as it is, got one that ends at byte {size:,}; wait "
                    "until it is written, and begin again"
                )
            body, place = body[count:], place + count


def _place_in_file(raw: np.memmap) -> int:
    """At which byte of its file a map begins; a part of a map still has the ``offset`` of the whole."""
    whole = np.frombuffer(raw._mmap, np.uint8)  # type: ignore[attr-defined]  # numpy does not declare the map of a memmap
    return int(raw.offset - raw.offset % mmap.ALLOCATIONGRANULARITY + raw.ctypes.data - whole.ctypes.data)
