"""Files that are written before they have their place, and what is known of their bytes."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any, BinaryIO

from stackae.data.stored.nameless import name_file


class Staged:
    """A file that is written already, and waits for its name: its size and its SHA-256.

    It has no name, or a temporary one where the file system knows no files without.
    """

    def __init__(self, file: BinaryIO, path: Path | None, size: int, sha256: str) -> None:
        self.size, self.sha256, self._file, self._path = size, sha256, file, path

    def __len__(self) -> int:
        return self.size

    def put(self, path: Path) -> None:
        """Give it a name that is new, in its folder."""
        if self._path is None:
            name_file(self._file, path)
        else:
            self._path.replace(path)


class Counted(io.RawIOBase):
    """A file that is written from its beginning to its end, whose bytes are counted and digested on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self.size, self.digest, self._file = 0, hashlib.sha256(), file

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        self.size += len(view)
        self.digest.update(view)
        self._file.write(view)
        return len(view)

    def tell(self) -> int:
        return self.size
