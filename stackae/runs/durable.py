"""Atomic, durable writes: a file is there whole or not at all, whatever stops the program or the machine.

Every file of a run is written through the public functions below, in one order: content, fsync of the file, rename into
place, fsync of the folder. A disk that loses unsynced data keeps the old file or the new one. Temporary names are
unpredictable and unique, so that no link is followed and no other file removed, and leftovers of a killed program are
recognized by their name. No folder is removed recursively: only files by name, then the folder, which must be empty.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from stackae.data.stored.nameless import nameless_file
from stackae.errors import DiskError
from stackae.runs.staging import Counted, Staged
from stackae.system import FOLDER, PRIVATE

REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space within the quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EISDIR: "move away the folder that lies in its place",
    errno.ENOENT: "the folder is gone: put it back, or choose another",
    errno.ENOTEMPTY: "something lies in its place: move it away, or choose another",
}
TEMPORARY = re.compile(r"\.stackae-[0-9a-f]{16}\.tmp")
Content = bytes | memoryview | Staged


def write_whole(path: Path, content: Content) -> None:
    """Write a file atomically: a reader sees the old content or the new; a failure leaves the old and nothing else.

    Raises:
        DiskError: the file could not be written.
    """
    write_files(path.parent, {path.name: content})


def write_files(folder: Path, files: Mapping[str, Content]) -> None:
    """Apply ``write_whole`` to several files of a folder: none is replaced before all are on disk.

    Raises:
        DiskError: the files could not be written.
    """
    if not files:
        return
    ready, new = {name: temporary(folder) for name in files}, list[Path]()
    with disk_errors(folder / next(iter(files)), sum(map(len, files.values()))):
        try:
            for name, content in files.items():
                _write(ready[name], content)
            for name in files:
                there = os.path.lexists(folder / name)
                _move(ready[name], folder / name)
                new += [] if there else [folder / name]
            _sync_folder(folder)
        except BaseException:
            _remove_what_can_be([*ready.values(), *new])
            raise


@contextmanager
def staged(path: Path, write: Callable[[Counted], None]) -> Iterator[Staged]:
    """Have ``write`` write a file of any size for ``path``, which ``write_files`` or ``Folder.publish`` puts there.

    Where it is not put there, or anything fails, nothing of it is left.

    Raises:
        DiskError: the file could not be written.
    """
    with disk_errors(path, 0):
        file, other = nameless_file(path.parent, 0o666), None
        if file is None:
            other = temporary(path.parent)
            file = other.open("x+b")
    counted = Counted(file)
    try:
        try:
            write(counted)
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            with disk_errors(path, counted.size):
                raise error
        yield Staged(file, other, counted.size, counted.digest.hexdigest())
    finally:
        if other is not None:
            _remove_what_can_be([other])
        with suppress(OSError):
            file.close()


def write_folder(path: Path, files: Mapping[str, Content]) -> None:
    """Write a new folder with these files, in this order, atomically; an empty folder at ``path`` is replaced.

    Raises:
        DiskError: the folder could not be written.
    """
    beside = temporary(path.parent)
    with disk_errors(path, sum(map(len, files.values()))):
        try:
            beside.mkdir(parents=True)
            for name, content in files.items():
                _write(beside / name, content)
            _sync_folder(beside)
            _move(beside, path)
            _sync_folder(path.parent)
        except BaseException:
            _remove_what_can_be([beside / name for name in files])
            with suppress(OSError):
                beside.rmdir()
            raise


def make_folder(path: Path, above: bool = True) -> None:
    """Make the folder durably, with its parents if ``above``; an existing folder is no error."""
    with disk_errors(path, 0):
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=above, exist_ok=True)
        for folder in reversed(missing):
            _sync_folder(folder.parent)


def make_new_folder(path: Path) -> bool:
    """Make the folder durably; return whether this call made it (of concurrent calls exactly one does). DiskError."""
    with disk_errors(path, 0):
        try:
            path.mkdir()
        except FileExistsError:
            return False
        _sync_folder(path.parent)
    return True


def remove_folder(path: Path) -> None:
    """Remove a folder of plain files: rename it to a temporary name, then delete. Raises DiskError."""
    beside = temporary(path.parent)
    with disk_errors(path, 0):
        _move(path, beside)
        _sync_folder(path.parent)  # else a power failure could bring the folder back with half of its files
    remove_temporary(beside)


def remove_temporary(path: Path) -> None:
    """Remove a temporary file, link, or folder of files; a missing one is no error. Raises DiskError."""
    with disk_errors(path, 0):
        if path.is_dir() and not path.is_symlink():
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


def remove_files(folder: Path, paths: Iterable[Path]) -> None:
    """Remove files and empty folders in ``folder``, in this order, durably. Raises DiskError."""
    with disk_errors(folder, 0):
        for path in paths:
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        _sync_folder(folder)


def move_folder(path: Path, to: Path) -> None:
    """Rename a folder within its parent; a failure leaves it where it was."""
    with disk_errors(to, 0):
        _move(path, to)
        try:
            _sync_folder(to.parent)
        except OSError:
            _move(to, path)
            raise


def write_link(path: Path, target: str) -> None:
    """Write a symbolic link to a folder, replacing an existing link."""
    beside = temporary(path.parent)
    with disk_errors(path, 0):
        try:
            beside.symlink_to(target, target_is_directory=True)
            _move(beside, path)
            _sync_folder(path.parent)
        except BaseException:
            _remove_what_can_be([beside])
            raise


def temporary(folder: Path) -> Path:
    """Return a temporary name in the folder that no other process has or can predict."""
    return folder / f".stackae-{secrets.token_hex(8)}.tmp"


def is_temporary(path: Path) -> bool:
    """Return whether the path has a temporary name: a file was being written or removed there."""
    return TEMPORARY.fullmatch(path.name) is not None


def free_bytes(path: Path) -> int:
    """Return the free bytes of the disk that holds the path, or would hold it."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free


@contextmanager
def disk_errors(path: Path, needed: int) -> Iterator[None]:
    """Turn errors of the system in a write of ``needed`` bytes into DiskError."""
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "choose a place that can be written, or change its permissions")
        raise DiskError(
            f"{path}: expected to write {needed:,} bytes, got '{error.strerror or error}' with "
            f"{free_bytes(path):,} bytes free; {remedy}"
        ) from error


def _write(path: Path, content: Content) -> None:
    if isinstance(content, Staged):
        content.put(path)
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | PRIVATE, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_what_can_be(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _move(path: Path, to: Path) -> None:
    path.replace(to)


def _sync_folder(path: Path) -> None:
    """fsync the folder's entries; some network and FUSE file systems do not support this call, and need none."""
    if not FOLDER:
        return  # Windows opens no folders, and has no such call
    descriptor = os.open(path, os.O_RDONLY | FOLDER)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
