"""Rows that cannot be mapped where they are, written once, one after the other, and mapped from then on.

An entry of the cache is KEY.npy, which holds rows (n, d) as numpy.save writes them, and KEY.rows, its record: the files
that the rows were made of, digests of their sizes and times and of the rows, and what the reader has to say of them.
KEY stands for the paths of these files and for what was asked of them. An entry whose files have changed, or that is
damaged, is made again.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stackae import system
from stackae.data.spool.digest import Digest, digest_of
from stackae.data.spool.home import SWITCH, entries, folder, key_of, prune, read_record, write_record
from stackae.errors import DataError, DiskError, legible

VERSION = 1  # of what rows are made of their files: raise it where the same ones become others
NAMED = 100  # files in a record
RECORD, BODY, LOCK = ".rows", ".npy", ".lock"


class Origin(NamedTuple):
    """What rows are made of: how messages call them, the files, and what is asked of these, which JSON can hold."""

    name: str
    files: tuple[Path, ...]
    asked: object = None


class Spooled(NamedTuple):
    """Rows (n, d), mapped and read-only; what their reader told of them; and a sentence where they were made again."""

    rows: np.memmap
    told: dict[str, Any]
    note: str = ""


class RowWriter:
    """Takes rows (r, d) of one dtype, in their order."""

    def __init__(self, name: str, file: io.FileIO, dtype: np.dtype, width: int) -> None:
        self.dtype, self.width, self.count = dtype.newbyteorder("="), width, 0
        self._name, self._file, self._digest = name, file, Digest()
        self._write(memoryview(self._header()))

    def add(self, rows: np.ndarray) -> None:
        """The next rows. Raises DiskError where the disk has no room for them."""
        assert rows.ndim == 2 and rows.shape[1] == self.width, "rows of one width"
        content = np.ascontiguousarray(rows, self.dtype).reshape(-1).view(np.uint8).data
        self._digest.update(content)
        self._write(content)
        self.count += len(rows)

    def end(self) -> dict[str, Any]:
        """What a record says of the rows."""
        with writing(self._name):
            self._file.seek(0)
        self._write(memoryview(self._header()))
        return {"shape": [self.count, self.width], "dtype": self.dtype.str, "digest": self._digest.hexdigest()}

    def _header(self) -> bytes:
        """As long for any number of rows: numpy leaves room for its digits."""
        header = io.BytesIO()
        described = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self.count, self.width),
        }
        np.lib.format.write_array_header_1_0(header, described)
        return header.getvalue()

    def _write(self, content: memoryview) -> None:
        with writing(self._name):
            while len(content):
                content = content[self._file.write(content) :]


Fill = Callable[[RowWriter], dict[str, Any]]
"""Gives all rows to a writer, and tells what JSON can hold of them."""


def spooled(origin: Origin, dtype: np.dtype, width: int, fill: Fill, needed: int = 0) -> Spooled:
    """The rows of an origin as they were kept, or as ``fill`` makes them now, which takes about ``needed`` bytes.

    Raises DataError where there is no cache, or where a file changes meanwhile, DiskError where the disk is too small,
    and what ``fill`` raises: then nothing is kept.
    """
    home = home_of(origin.name)
    files = [os.fsencode(path.resolve()).hex() for path in origin.files]
    entry = home / key_of([VERSION, files, origin.asked, dtype.str, width])
    with _alone(origin.name, entry):
        states, note = _states(origin), ""
        try:
            if (kept := _kept(entry, states)) is not None:
                return kept
        except Exception:  # whatever a damaged file makes of its reader
            note = f"{origin.name}: its rows in {entry.with_suffix(BODY)} were damaged, and are made again"
        with writing(origin.name):
            _make_room(origin.name, entry, needed)
        told = _made(origin, entry, states, (dtype, width), fill)
        return Spooled(_mapped(entry, told), told["told"], note)


def home_of(name: str) -> Path:
    """The folder of the cache, which rows on disk need. Raises DataError where there is none."""
    home = folder()
    if home is None:
        raise DataError(
            f"{name}: expected a folder for rows that stay on disk, got {SWITCH}=off; name one by {SWITCH}=DIR"
        )
    return home


def _states(origin: Origin) -> str:
    """A digest of the sizes and times of all files. What changes a file changes the last of its times."""
    found = [path.stat() for path in origin.files]
    return key_of([[each.st_size, each.st_mtime_ns, each.st_ctime_ns] for each in found])


def _kept(entry: Path, states: str) -> Spooled | None:
    """None where there is no entry of these files as they are; an exception of any kind where it is damaged."""
    path, body = entry.with_suffix(RECORD), entry.with_suffix(BODY)
    if not path.exists():
        return None
    record = read_record(path)
    if record["states"] != states:
        return None
    rows = _mapped(entry, record)
    if digest_of(body, rows.offset) != record["digest"]:
        raise ValueError("damaged")
    os.utime(path)  # used now
    return Spooled(rows, record["told"])


def _mapped(entry: Path, record: dict[str, Any]) -> np.memmap:
    """The rows of an entry. Raises ValueError or OSError where they are not what its record says."""
    rows = np.lib.format.open_memmap(entry.with_suffix(BODY), mode="r")
    size = entry.with_suffix(BODY).stat().st_size
    found = [list(rows.shape), rows.dtype.str, rows.flags.c_contiguous, rows.offset + rows.nbytes]
    if found != [record["shape"], record["dtype"], True, size]:
        raise ValueError("not as it was written")
    return rows


def _made(origin: Origin, entry: Path, states: str, of: tuple[np.dtype, int], fill: Fill) -> dict[str, Any]:
    """The record of the entry, which is complete when this returns, and else not there."""
    beside = entry.with_name(f".{entry.name}{BODY}")
    try:
        with writing(origin.name):
            file = beside.open("wb", buffering=0)
        with file:
            writer = RowWriter(origin.name, file, *of)
            told = fill(writer)
            files = [str(path) for path in origin.files[:NAMED]]  # for people who look into the folder
            record = {"name": origin.name, "files": files, "states": states, "told": told, **writer.end()}
        if _states(origin) != states:
            raise DataError(
                f"{origin.name}: expected files that stay as they are, got some that changed while they were read; "
                "wait until they are written"
            )
        with writing(origin.name):
            beside.replace(entry.with_suffix(BODY))
            write_record(entry.with_suffix(RECORD), record)
        return record
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(name: str, entry: Path) -> Iterator[None]:
    """While no other process makes this entry; what ended while it made one holds no lock."""
    with writing(name):
        entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = entry.with_name(f".{entry.name}{LOCK}").open("ab")
    with lock:
        with writing(name):
            system.lock(lock.fileno())
            os.utime(lock.fileno())  # it is not left over
        yield


def _make_room(name: str, entry: Path, needed: int) -> None:
    """Remove what was left half written, and entries, the least recently used first, until the disk has room.

    So that entries never take more than what they leave free. Raises DiskError where all of them are too few.
    """
    home = entry.parent
    _clear(home)
    _remove(entry.with_suffix(RECORD))
    prune(home, RECORD, BODY, max(0, shutil.disk_usage(home).free - needed))
    for record in reversed(entries(home, RECORD)):
        if shutil.disk_usage(home).free >= needed:
            break
        _remove(record)
    if (free := shutil.disk_usage(home).free) < needed:
        raise DiskError(
            f"{name}: expected room for rows of {needed:,} bytes in {home}, got {free:,} bytes free; name a folder on "
            f"another disk by {SWITCH}=DIR"
        )


def _remove(record: Path) -> None:
    """Remove an entry; whoever has mapped its rows still has them."""
    record.unlink(missing_ok=True)
    record.with_suffix(BODY).unlink(missing_ok=True)


def _clear(home: Path) -> None:
    """Remove the rows whose writer ended before they were complete: nobody holds their lock."""
    for beside in home.glob(f".*{BODY}"):
        with contextlib.suppress(OSError), beside.with_suffix(LOCK).open("ab") as lock:
            if system.try_lock(lock.fileno()):
                beside.unlink()


@contextlib.contextmanager
def writing(name: str) -> Iterator[None]:
    """Whatever the system says of the cache is a DiskError."""
    try:
        yield
    except OSError as error:
        raise DiskError(
            f"{name}: expected room for its rows in the cache, got {legible(str(error), 400)}; name a folder on "
            f"another disk by {SWITCH}=DIR"
        ) from None
