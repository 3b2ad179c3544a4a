"""Tables that took a while to parse, kept as arrays: later commands check the file's digest and load them.

An entry is two files in ``folder()``: KEY.arrays, .npy files one after the other, and KEY.json, which has the SHA-256
of itself, of the arrays and of the table. KEY stands for the path, its size and time of change, and what was asked of
the dialect. What cannot be written is not kept, and what is damaged is not taken: no command fails for its cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from stackae.data.memory import check_memory
from stackae.data.source import BadRow
from stackae.data.tables.frame import Column, Dialect, Frame
from stackae.data.text.places import Runs

VERSION = 1  # of what a table is read as: raise it where the same file is read in another way
WORTH_BYTES = 8 << 20  # of a file: a smaller one is parsed in a blink
MOST_BYTES = 4 << 30  # of all entries
OLD = 86_400  # seconds, after which a file that was being written is given up
SWITCH = "STACKAE_CACHE"
"""The environment variable that names another folder, or says off."""


def folder() -> Path | None:
    """Where entries are; None where there are to be none."""
    asked = os.environ.get(SWITCH)
    if asked is not None:
        return None if asked.lower() in ("", "off", "no", "false", "0") else Path(asked)
    with contextlib.suppress(RuntimeError):  # no home
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stackae"
    return None


def entry_of(path: Path, status: os.stat_result, asked: Dialect) -> Path | None:
    """The path of a table's entry, without its suffix; None where it is not worth one, or there is no cache."""
    home = folder()
    if home is None or status.st_size < WORTH_BYTES:
        return None
    parts = [VERSION, os.fsencode(path.resolve()).hex(), status.st_size, status.st_mtime_ns, asdict(asked)]
    return home / hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def load(entry: Path, path: Path, file: io.BufferedReader) -> Frame | None:
    """The frame that was kept of an open file; None where there is none, or one of the two has changed. No errors."""
    with contextlib.suppress(Exception):
        record = _record(entry)
        arrays_at = entry.with_suffix(".arrays")
        check_memory(str(path), arrays_at.stat().st_size)
        with arrays_at.open("rb") as kept:
            arrays = [np.lib.format.read_array(kept, allow_pickle=False) for _ in range(record["count"])]
        file.seek(0)
        if _digest(arrays) == record["arrays"] and hashlib.file_digest(file, "sha256").hexdigest() == record["table"]:
            os.utime(entry.with_suffix(".json"))  # used now
            return _unpacked(path, record, iter(arrays))
    return None


def store(entry: Path, frame: Frame, table: str) -> None:
    """Keep a frame, read from a file whose SHA-256 is ``table``. No errors: what cannot be written is not kept."""
    with contextlib.suppress(Exception):
        record, arrays = _packed(frame)
        record |= {"count": len(arrays), "arrays": _digest(arrays), "table": table}
        size = sum(array.nbytes for array in arrays)
        entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if 2 * size > min(2 * MOST_BYTES, shutil.disk_usage(entry.parent).free):
            return
        with _written(entry.with_suffix(".arrays")) as kept:
            for array in arrays:
                np.lib.format.write_array(kept, array, allow_pickle=False)
        content = json.dumps(record).encode()
        with _written(entry.with_suffix(".json")) as kept:
            kept.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        _prune(entry.parent)


def _record(entry: Path) -> dict[str, Any]:
    """Raises an exception of any kind where it is missing or damaged."""
    digest, content = entry.with_suffix(".json").read_bytes().split(b"\n", 1)
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise ValueError("damaged")
    record: dict[str, Any] = json.loads(content)
    return record


def _packed(frame: Frame) -> tuple[dict[str, Any], list[np.ndarray]]:
    assert isinstance(frame.lines, Runs) and frame.dialect is not None
    record = {
        "columns": [[column.name, column.stored, column.texts] for column in frame.columns],
        "bad": frame.bad,
        "bad_rows": frame.bad_rows,
        "dialect": asdict(frame.dialect),
        "notes": [note.removeprefix(frame.name) for note in frame.notes],
    }
    return record, [*(column.values for column in frame.columns), frame.numbers, frame.lines.starts, frame.lines.lines]


def _unpacked(path: Path, record: dict[str, Any], arrays: Iterator[np.ndarray]) -> Frame:
    columns = tuple(Column(name, stored, next(arrays), tuple(texts)) for name, stored, texts in record["columns"])
    dialect = record["dialect"] | {"missing": tuple(record["dialect"]["missing"])}
    return Frame(
        str(path),
        columns,
        next(arrays),
        tuple(BadRow(*each) for each in record["bad"]),
        record["bad_rows"],
        Runs(next(arrays), next(arrays)),
        Dialect(**dialect),
        tuple(f"{path}{note}" for note in record["notes"]),
    )


def _digest(arrays: Sequence[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@contextlib.contextmanager
def _written(path: Path) -> Iterator[io.BufferedWriter]:
    """A file that is there whole or not at all; digests tell whether the disk has kept all of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _prune(home: Path) -> None:
    """Remove what was used least recently, while all entries are too many, and what was left half written."""
    for beside in home.glob(".*"):
        if time.time() - beside.stat().st_mtime > OLD:
            beside.unlink(missing_ok=True)
    used = sorted(home.glob("*.json"), key=lambda record: -record.stat().st_mtime_ns)
    left = MOST_BYTES
    for record in used:
        files = (record, record.with_suffix(".arrays"))
        left -= sum(each.stat().st_size for each in files if each.exists())
        if left < 0 and record != used[0]:
            for each in files:
                each.unlink(missing_ok=True)
    for arrays in home.glob("*.arrays"):
        if not arrays.with_suffix(".json").exists() and time.time() - arrays.stat().st_mtime > OLD:
            arrays.unlink(missing_ok=True)
