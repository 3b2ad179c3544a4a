"""The digest of a large file: SHA-256 of the SHA-256s of its blocks, which several threads find at once."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from stackae.threads import usable_cpus

BLOCK_BYTES = 4 << 20


class Digest:
    """Of bytes that come one after the other."""

    def __init__(self) -> None:
        self._whole, self._block, self._held = hashlib.sha256(), hashlib.sha256(), 0

    def update(self, content: memoryview) -> None:
        start = 0
        while start < len(content):
            piece = content[start : start + BLOCK_BYTES - self._held]
            self._block.update(piece)
            start, self._held = start + len(piece), self._held + len(piece)
            if self._held == BLOCK_BYTES:
                self._end_block()

    def hexdigest(self) -> str:
        """Of all bytes so far, after which no more may come."""
        if self._held:
            self._end_block()
        return self._whole.hexdigest()

    def _end_block(self) -> None:
        self._whole.update(self._block.digest())
        self._block, self._held = hashlib.sha256(), 0


def digest_of(path: Path, start: int) -> str:
    """Of the bytes of a file from ``start`` on. Raises OSError."""
    whole = hashlib.sha256()
    with path.open("rb") as file, ThreadPoolExecutor(usable_cpus().threads, "digest") as pool:
        places = range(start, os.fstat(file.fileno()).st_size, BLOCK_BYTES)
        for found in pool.map(partial(_of_block, file.fileno()), places):
            whole.update(found)
    return whole.hexdigest()


def _of_block(descriptor: int, place: int) -> bytes:
    return hashlib.sha256(os.pread(descriptor, BLOCK_BYTES, place)).digest()
