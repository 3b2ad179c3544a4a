"""One writer a folder: a lock that the system gives back when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stackae.errors import RunError
from stackae.runs.durable import disk_errors

NAME = "lock"
_held: set[Path] = set()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """The folder is this process's to write; entered again within itself, it is the same lock.

    Raises:
        RunError: another process has it. DiskError: it cannot be written.
    """
    own = folder.resolve()
    if own in _held:
        yield
        return
    with disk_errors(folder / NAME, 0):
        descriptor = os.open(own / NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        _take(descriptor, folder)
        _held.add(own)
        yield
    finally:
        _held.discard(own)
        os.close(descriptor)


def _take(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 100, 0).decode(errors="replace").strip() or "another process"
        raise RunError(
            f"{folder}: expected to be its only writer, got {holder}, which writes to it now; "
            "wait until it ends, or stop it"
        ) from None
    with suppress(OSError):  # a full disk: the lock holds without a name in it
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
