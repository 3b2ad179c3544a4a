"""The folder in which stackae keeps what took a while to read: where it is, and how files come to it and go again.

An entry is two files: a body, and beside it a record, JSON below the SHA-256 of itself. A record is written last, so
that an entry is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def key_of(parts: object) -> str:
    """The name of an entry by what it was made of, which JSON can hold."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def read_record(path: Path) -> dict[str, Any]:
    """Raises an exception of any kind where the record is missing or damaged."""
    digest, content = path.read_bytes().split(b"\n", 1)
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise ValueError("damaged")
    record: dict[str, Any] = json.loads(content)
    return record


def write_record(path: Path, record: dict[str, Any]) -> None:
    content = json.dumps(record).encode()
    with written(path) as kept:
        kept.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


@contextlib.contextmanager
def written(path: Path) -> Iterator[io.BufferedWriter]:
    """A file that is there whole or not at all; digests tell whether the disk has kept all of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def prune(home: Path, record: str, body: str, most: int) -> None:
    """Remove the entries that were used least recently while all with these suffixes hold more than ``most`` bytes, but
    the last one, and what was left half written."""
    orphans = [each for each in home.glob(f"*{body}") if not each.with_suffix(record).exists()]
    for each in [*home.glob(".*"), *orphans]:
        if time.time() - _when(each) > OLD:
            each.unlink(missing_ok=True)
    for number, each in enumerate(entries(home, record)):
        files = (each, each.with_suffix(body))
        most -= sum(file.stat().st_size for file in files if file.exists())
        if most < 0 and number:
            for file in files:
                file.unlink(missing_ok=True)


def entries(home: Path, record: str) -> list[Path]:
    """The records with that suffix, the one that was used last first."""
    return sorted(home.glob(f"*{record}"), key=_when, reverse=True)


def _when(path: Path) -> float:
    """When a file was changed; now, where another process has just removed it."""
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return time.time()
