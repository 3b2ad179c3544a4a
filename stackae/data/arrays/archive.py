"""Zip archives as numpy writes them: a few members, stored or deflated, each within its own bytes.

Nothing is ever extracted to a path, so names such as ../x harm nobody; nothing is looked for inside a member.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, NamedTuple, cast

from stackae.data.formats.bounded import CHUNK_BYTES, DAMAGE, DEFLATE_LIMIT, opened
from stackae.errors import DataError, legible

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
DIRECTORY_BYTES = 1 << 20  # of an archive's list of members: tens of thousands, where four would do
LOCAL = struct.Struct("<26sHH")  # before each member: the last two are the lengths of what follows
HEADER_BYTES = LOCAL.size
ENCRYPTED = 0x41  # bits of a member's flags: weak and strong encryption


class Member(NamedTuple):
    """A member of an archive: its name in messages, its size when unpacked, and a way to read it."""

    label: str
    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    @property
    def size(self) -> int:
        return self.info.file_size

    def open(self) -> AbstractContextManager[io.BufferedIOBase]:
        """Raises DataError for a member that is encrypted, compressed in another way than numpy's, or declares more
        than its bytes can hold."""
        if fault := _unreadable(self.info):
            raise DataError(f"{self.label}: expected {fault}; save it by numpy.savez")
        return cast(AbstractContextManager[io.BufferedIOBase], self.archive.open(self.info))

    def start(self) -> int | None:
        """Where its bytes begin in the file, after all of them were compared with their checksum; None of packed ones.

        Raises what ``open`` and reading raise.
        """
        if self.info.compress_type != zipfile.ZIP_STORED or self.info.file_size != self.info.compress_size:
            return None
        with self.open() as stream:
            while stream.read1(CHUNK_BYTES):
                pass
        file = cast(IO[bytes], self.archive.fp)
        file.seek(self.info.header_offset)
        _, name, extra = LOCAL.unpack(file.read(LOCAL.size))
        return self.info.header_offset + LOCAL.size + int(name) + int(extra)


class _Bounded:
    """A file of which zipfile never reads more at once than its list of members may take.

    It reads that list whole, and makes an object of each entry, before anyone can look at it.
    """

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > max(DIRECTORY_BYTES, CHUNK_BYTES):
            raise zipfile.BadZipFile(f"a list of members of {size:,} bytes")
        return self._file.read(size)


@contextmanager
def members_of(path: Path) -> Iterator[dict[str, Member]]:
    """The members of an archive by name, without .npy, while it is open.

    Raises DataError for a file that is no archive or a damaged one, here and while its members are read; and for
    members that share a name or bytes.
    """
    with opened(path) as file:
        try:
            with zipfile.ZipFile(cast(IO[bytes], _Bounded(file))) as archive:
                yield _checked(path, archive)
        except DataError:
            raise
        except DAMAGE as error:
            cause = legible(str(error), 200)
            raise DataError(f"{path}: expected a .npz archive, got damaged data ({cause}); save it again") from None


def _checked(path: Path, archive: zipfile.ZipFile) -> dict[str, Member]:
    members: dict[str, Member] = {}
    end = archive.start_dir
    for info in sorted(archive.infolist(), key=lambda info: -info.header_offset):
        name = info.filename.removesuffix(".npy")
        fault = "a name of its own for each array, got it twice" if name in members else _shared_bytes(info, end)
        label = f"{path}: {legible(name)}"
        if fault:
            raise DataError(f"{label}: expected {fault}; save it by numpy.savez")
        end = info.header_offset
        members[name] = Member(label, archive, info)
    return dict(reversed(members.items()))


def _shared_bytes(info: zipfile.ZipInfo, end: int) -> str | None:
    if info.header_offset < 0 or info.header_offset + HEADER_BYTES + info.compress_size > end:
        return "bytes of its own, got bytes that another array or the list of arrays has too"
    return None


def _unreadable(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & ENCRYPTED:
        return "an array that anyone can read, got an encrypted one"
    if info.compress_type not in METHODS:
        return f"numpy's compression (stored or deflated), got method {info.compress_type}"
    if info.file_size > DEFLATE_LIMIT * info.compress_size:
        return f"no more than {info.compress_size} packed bytes can hold, got a size of {info.file_size}"
    return None
