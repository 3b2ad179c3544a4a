"""A lock for one writer per folder, released by the system when its holder ends, however it ends."""

from __future__ import annotations

import os
import re
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stackae.errors import RunError, legible
from stackae.runs.durable import disk_errors
from stackae.runs.manifest import open_plain
from stackae.system import FOLDER, PLAIN, PRIVATE, begin_of, try_lock

NAME = "lock"
PATIENCE = 0.2  # seconds to wait for a process that only inspects the lock
TURN = 10.0  # maximum seconds to wait for another process
LONGEST = 200  # bytes of a lock file, at most
CONTENT = re.compile(rb"(process [0-9]{1,20} on [^\n]{0,150}\n)?")
_held: set[Path] = set()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Lock the folder for this process; entering again within the process reuses the lock.

    Raises:
        RunError: another process has it, or the file in its place is not a lock. DiskError: it cannot be written.
    """
    own = folder.resolve()
    if own in _held:
        yield
        return
    descriptor = _taken(own, folder)
    try:
        _held.add(own)
        yield
    finally:
        _held.discard(own)
        os.close(descriptor)


@contextmanager
def in_turn(folder: Path) -> Iterator[bool]:
    """Serialize short steps of several processes in a folder.

    Yields whether they are serialized: some file systems cannot lock folders, and the wait is limited to TURN.
    """
    descriptor, locked, until = None, False, time.monotonic() + TURN
    try:
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | FOLDER | PRIVATE)
            while not locked and time.monotonic() < until:
                locked = try_lock(descriptor)
                if not locked:
                    time.sleep(0.005)
        yield locked
    finally:
        if descriptor is not None:
            os.close(descriptor)


def writer(folder: Path) -> str | None:
    """Describe the other process that writes to the folder now, or return None."""
    if folder.resolve() in _held:
        return None
    with suppress(OSError, ValueError), open_plain(folder / NAME) as file:
        if not try_lock(file.fileno(), shared=True):
            return _holder(file.read(LONGEST))
    return None


def check_unheld(folder: Path) -> None:
    """Raise RunError if a process writes to the folder now."""
    if (holder := writer(folder)) is not None:
        raise _refusal(folder, holder)


def is_lock(path: Path) -> bool:
    """Return whether the file is a lock of stackae, by its content, and has no hard link elsewhere."""
    with suppress(OSError, ValueError), open_plain(path) as file:
        return _is_another(file.fileno()) == ""
    return False


def _taken(own: Path, folder: Path) -> int:
    """Lock and return the lock's descriptor; a lock that is removed with its folder meanwhile is not accepted."""
    for tries_left in reversed(range(10)):
        with disk_errors(folder / NAME, 0):
            descriptor = os.open(own / NAME, os.O_RDWR | os.O_CREAT | PLAIN | PRIVATE, 0o644)
        try:
            _check(descriptor, folder / NAME)
            _take(descriptor, folder)
            if _is_there(descriptor, own / NAME) or not tries_left:
                _sign(descriptor)
                break
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    return descriptor


def _is_there(descriptor: int, path: Path) -> bool:
    with suppress(OSError):
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    return False


def _check(descriptor: int, path: Path) -> None:
    """Raise unless the file is stackae's and has no hard link elsewhere: no other file is written to."""
    if what := _is_another(descriptor):
        raise RunError(f"{path}: expected the lock of a run, got {what}; move it away")


def _is_another(descriptor: int) -> str:
    """Describe the file if it is not a lock."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        return "something that is not a plain file"
    if found.st_nlink > 1:
        return f"a file with {found.st_nlink} names (hard links)"
    return "" if CONTENT.fullmatch(begin_of(descriptor, LONGEST)) else "a file that stackae did not write"


def _take(descriptor: int, folder: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not try_lock(descriptor):
        if time.monotonic() > until:
            raise _refusal(folder, _holder(begin_of(descriptor, LONGEST)))
        time.sleep(PATIENCE / 10)


def _refusal(folder: Path, holder: str) -> RunError:
    return RunError(
        f"{folder}: expected to be its only writer, got {holder}, which writes to it now; "
        "wait until it ends, or stop it"
    )


def _holder(content: bytes) -> str:
    return legible(content.decode(errors="replace").strip(), LONGEST) or "another process"


def _sign(descriptor: int) -> None:
    with suppress(OSError):  # on a full disk the lock holds without a name in it
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()[:100]}\n".encode())
