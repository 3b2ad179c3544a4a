"""Codes in a file without a name: whatever ends the program, the system takes the file back, and nothing is left."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from stackae.data.codes.encoded import EncodedRows
from stackae.data.minibatches import in_order
from stackae.data.scaling import Scaling
from stackae.data.stored.array import StoredArray
from stackae.data.stored.nameless import nameless_file
from stackae.data.stored.rows import StoredRows
from stackae.errors import DiskError, argument

WRITTEN_CELLS = 1 << 22  # that are written at once
MOUNTS = Path("/proc/self/mountinfo")


def on_disk(rows: EncodedRows, folder: Path) -> StoredRows:
    """All codes (n, n_hidden), n >= 1, in a float32 file in ``folder``, of which only what is read is in memory.

    The file has no name there, and is gone with the rows that this returns, or with the program.

    Raises:
        DiskError: the folder has too little room, or cannot be written.
    """
    size = rows.shape.numel() * 4
    with _disk_errors(folder, size), _opened(folder) as file:
        _reserve(file, size)
        step = max(rows.piece, WRITTEN_CELLS // rows.shape[1] // rows.piece * rows.piece)
        for part in in_order(len(rows), step):
            file.write(rows[part].cpu().numpy().data)
        file.flush()
        raw = np.memmap(file, dtype=np.float32, mode="r", shape=tuple(rows.shape))
        raw.filename = f"/proc/self/fd/{file.fileno()}"  # by which a reader opens it for itself
        kept = StoredArray(raw)
    return StoredRows(kept, Scaling("none", torch.zeros(rows.shape[1]), torch.ones(rows.shape[1])))


def free_on_disk(folder: Path) -> int:
    """Bytes that are free where the folder lies, or would lie."""
    return shutil.disk_usage(_there(folder)).free


def is_of_memory(folder: Path) -> bool:
    """Whether files of the folder lie in memory, as those of tmpfs do."""
    with contextlib.suppress(OSError, ValueError):
        device = _there(folder).stat().st_dev
        for line in MOUNTS.read_text().splitlines():
            words = line.split()
            if words[2] == f"{os.major(device)}:{os.minor(device)}":
                return words[words.index("-") + 1] in ("tmpfs", "ramfs")
    return False


def _there(folder: Path) -> Path:
    return next(each for each in (folder, *folder.absolute().parents) if each.exists())


@contextlib.contextmanager
def _disk_errors(folder: Path, needed: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskError(
            f"{folder}: expected to write {needed:,} bytes of codes, got '{error.strerror or error}' with "
            f"{free_on_disk(folder):,} bytes free; free some space, or use {argument('codes', 'recompute')}"
        ) from error


def _opened(folder: Path) -> BinaryIO:
    """A new file in the folder that has no name, or none any more."""
    file = nameless_file(folder)
    if file is None:
        name = folder / f".stackae-{secrets.token_hex(8)}.tmp"  # which `stackae resume` removes, should we end here
        file = name.open("x+b")
        name.unlink()
    return file


def _reserve(file: BinaryIO, size: int) -> None:
    """Have the room before the work, where the file system can say so."""
    if not hasattr(os, "posix_fallocate"):
        return  # macOS and Windows
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
