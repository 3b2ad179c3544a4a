"""Arrays that grow part by part on disk, in a file without a name, which is gone with the process."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import IO, NamedTuple

import numpy as np

from stackae.data.spool.spooled import home_of, writing

ALIGNED = 64


class Part(NamedTuple):
    """Where a part lies, how many numbers it has, and of which type."""

    start: int
    length: int
    dtype: np.dtype


@contextlib.contextmanager
def part_file(name: str) -> Iterator[PartFile]:
    """A file of parts in the folder of the cache, for the rows that messages call ``name``; maps of it stay when it is
    closed. Raises DataError where there is no cache, DiskError where it cannot be written."""
    home = home_of(name)
    with contextlib.ExitStack() as stack:
        with writing(name):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = stack.enter_context(tempfile.TemporaryFile(dir=home, buffering=0))
        yield PartFile(name, file)


class PartFile:
    """Parts of several arrays, one after the other. Raises DiskError where the disk has no room."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self._name, self._file, self._end = name, file, 0

    def keep(self, array: np.ndarray) -> Part:
        """Set an array (n,) aside."""
        part = Part(self._end, len(array), array.dtype)
        self._write(np.ascontiguousarray(array).view(np.uint8).data)
        self._end = -(-self._end // ALIGNED) * ALIGNED
        return part

    def whole(self, parts: Sequence[Part], changed: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """A read-only map of all of these, which are of one type, one after the other, each ``changed``."""
        start, count = self._end, sum(part.length for part in parts)
        for part in parts:
            content = os.pread(self._file.fileno(), part.length * part.dtype.itemsize, part.start)
            self._write(changed(np.frombuffer(content, part.dtype)).view(np.uint8).data)
        self._end = -(-self._end // ALIGNED) * ALIGNED
        return np.memmap(self._file, parts[0].dtype, "r", start, (count,))

    def _write(self, content: memoryview) -> None:
        with writing(self._name):
            while len(content):
                written = os.pwrite(self._file.fileno(), content, self._end)
                content, self._end = content[written:], self._end + written
