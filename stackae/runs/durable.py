"""Files that are there whole or not at all, whatever stops the program or the machine.

Everything a run keeps is written through the four functions at the end, and in one order: content, its fsync, the
rename into place, the fsync of the folder. A disk that loses whatever was not synced leaves the old file or the new.
No link is followed on the way: what lies at a temporary name is removed, whatever it is.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from stackae.errors import DiskError

REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space within the quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EISDIR: "move away the folder that lies in its place",
    errno.ENOENT: "the folder is gone: put it back, or choose another",
}
Content = bytes | memoryview


def write_whole(path: Path, content: Content) -> None:
    """A reader sees the old file or the new one, never a part; a failure leaves the old one and nothing else.

    Raises:
        DiskError: it could not be written.
    """
    write_files(path.parent, {path.name: content})


def write_files(folder: Path, files: Mapping[str, Content]) -> None:
    """``write_whole`` for several files of a folder: none is replaced before all are on the disk.

    Raises:
        DiskError: they could not be written.
    """
    if not files:
        return
    with disk_errors(folder / next(iter(files)), sum(map(len, files.values()))):
        try:
            for name, content in files.items():
                _write(temporary(folder / name), content)
            for name in files:
                _move(temporary(folder / name), folder / name)
            _sync_folder(folder)
        except BaseException:
            for name in files:
                with suppress(OSError):
                    temporary(folder / name).unlink(missing_ok=True)
            raise


def write_folder(path: Path, files: Mapping[str, Content]) -> None:
    """A new folder with these files, in their order: there whole, or not at all.

    Raises:
        DiskError: it could not be written.
    """
    beside = temporary(path)
    with disk_errors(path, sum(map(len, files.values()))):
        try:
            _clear(beside)
            beside.mkdir(parents=True)
            for name, content in files.items():
                _write(beside / name, content)
            _sync_folder(beside)
            _move(beside, path)
            _sync_folder(path.parent)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise


def make_folder(path: Path, above: bool = True) -> None:
    """The folder, and those above it where that is wanted, durably; no error where it is there already."""
    with disk_errors(path, 0):
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=above, exist_ok=True)
        for folder in reversed(missing):
            _sync_folder(folder.parent)


def remove_folder(path: Path) -> None:
    """Out of sight by one rename, then gone, whatever it is; cut short, it leaves a temporary. Raises DiskError."""
    beside = temporary(path)
    with disk_errors(path, 0):
        _clear(beside)
        _move(path, beside)
        _sync_folder(path.parent)  # else a power failure could bring it back with half of its files
        _clear(beside)


def remove_temporary(path: Path) -> None:
    """What lies there, a folder with its content or anything else; no error where nothing does."""
    with disk_errors(path, 0):
        _clear(path)


def move_folder(path: Path, to: Path) -> None:
    """To another name beside it; a failure leaves it where it was."""
    with disk_errors(to, 0):
        _move(path, to)
        try:
            _sync_folder(to.parent)
        except OSError:
            _move(to, path)
            raise


def write_link(path: Path, target: str) -> None:
    """A link to a folder, in the place of one that is there or of nothing."""
    beside = temporary(path)
    with disk_errors(path, 0):
        _clear(beside)
        beside.symlink_to(target, target_is_directory=True)
        _move(beside, path)
        _sync_folder(path.parent)


def temporary(path: Path) -> Path:
    """Where ``path`` is made ready; what lies there was left by a program that was killed."""
    return path.with_name(f".{path.name}.tmp")


def is_temporary(path: Path) -> bool:
    """Whether it lies where something was made ready."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def free_bytes(path: Path) -> int:
    """On the disk that holds the path, or would."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free


@contextmanager
def disk_errors(path: Path, needed: int) -> Iterator[None]:
    """What the system says of a write of ``needed`` bytes, as a DiskError."""
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "choose a place that can be written, or change its permissions")
        raise DiskError(
            f"{path}: expected to write {needed:,} bytes, got '{error.strerror or error}' with "
            f"{free_bytes(path):,} bytes free; {remedy}"
        ) from error


def _write(path: Path, content: Content) -> None:
    _clear(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _move(path: Path, to: Path) -> None:
    path.replace(to)


def _sync_folder(path: Path) -> None:
    """Its entries to the disk; some network and FUSE file systems have no such call for a folder, and need none."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
