"""Tables that took a while to parse, kept as arrays: later commands check the file's digest and load them.

An entry is two files in ``folder()``: KEY.arrays, .npy files one after the other, and KEY.json, which has the SHA-256
of itself, of the arrays and of the table. KEY stands for the path, its size and time of change, and what was asked of
the dialect. What cannot be written is not kept, and what is damaged is not taken: no command fails for its cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stackae.data.memory import check_memory
from stackae.data.source import BadRow
from stackae.data.spool.home import folder, key_of, prune, read_record, write_record, written
from stackae.data.tables.frame import Column, Dialect, Frame
from stackae.data.text.places import Runs

VERSION = 1  # of what a table is read as: raise it where the same file is read in another way
WORTH_BYTES = 8 << 20  # of a file: a smaller one is parsed in a blink
MOST_BYTES = 4 << 30  # of all entries
RECORD, BODY = ".json", ".arrays"


def entry_of(path: Path, status: os.stat_result, asked: Dialect, on_disk: bool = False) -> Path | None:
    """The path of a table's entry, without its suffix; None where there is no cache, or where it is not worth one in
    memory."""
    home = folder()
    if home is None or (status.st_size < WORTH_BYTES and not on_disk):
        return None
    parts = [VERSION, os.fsencode(path.resolve()).hex(), status.st_size, status.st_mtime_ns, asdict(asked)]
    return home / key_of(parts)


def load(entry: Path, path: Path, file: io.BufferedReader, on_disk: bool = False) -> Frame | None:
    """The frame that was kept of an open file, its columns mapped where they stay ``on_disk``; None where there is
    none, or one of the two has changed. No errors."""
    with contextlib.suppress(Exception):
        record = read_record(entry.with_suffix(RECORD))
        arrays_at = entry.with_suffix(BODY)
        if not on_disk:
            check_memory(str(path), arrays_at.stat().st_size)
        with arrays_at.open("rb") as kept:
            read = _mapped if on_disk else partial(np.lib.format.read_array, allow_pickle=False)
            arrays = [read(kept) for _ in range(record["count"])]
        file.seek(0)
        if _digest(arrays) == record["arrays"] and hashlib.file_digest(file, "sha256").hexdigest() == record["table"]:
            os.utime(entry.with_suffix(RECORD))  # used now
            return _unpacked(path, record, iter(arrays))
    return None


def _mapped(kept: io.BufferedReader) -> np.ndarray:
    """A map of the next array of an entry, after which the file is at its end."""
    np.lib.format.read_magic(kept)
    shape, _, dtype = np.lib.format.read_array_header_1_0(kept)
    if dtype.hasobject:
        raise ValueError("objects")
    start = kept.tell()
    array = np.memmap(kept, dtype, "r", start, shape) if shape != (0,) else np.zeros(0, dtype)
    kept.seek(start + array.nbytes)
    return array


def store(entry: Path, frame: Frame, table: str) -> None:
    """Keep a frame, read from a file whose SHA-256 is ``table``. No errors: what cannot be written is not kept."""
    with contextlib.suppress(Exception):
        record, arrays = _packed(frame)
        size = sum(array.nbytes for array in arrays)
        entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if 2 * size > min(2 * MOST_BYTES, shutil.disk_usage(entry.parent).free) and frame.origin is None:
            return
        record |= {"count": len(arrays), "arrays": _digest(arrays), "table": table}
        with written(entry.with_suffix(BODY)) as kept:
            for array in arrays:
                np.lib.format.write_array(kept, array, allow_pickle=False)
        write_record(entry.with_suffix(RECORD), record)
        prune(entry.parent, RECORD, BODY, MOST_BYTES)


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
