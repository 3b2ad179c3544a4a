"""Folders of files that are one array, or one table, together: which they are, in which order, and what is missing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from stackae.data.formats import FORMATS, PICTURES, SHARDS, format_of
from stackae.errors import DataError, legible

DIGITS = re.compile(r"(\d+)")
OF_ALL = "-of-"  # 3-of-8
DONE = "_SUCCESS"  # what Spark writes beside the shards, once there are no more
SHOWN = 3


class Shards(NamedTuple):
    """The files in the order of their rows, and sentences that a person should read."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]


def suffix_of(folder: Path) -> str:
    """The suffix of the shards that a folder holds, "" where it holds pictures, or no shards. No errors."""
    found, folders = set[str](), list[str]()
    with os.scandir(folder) as entries:
        for entry in entries:
            suffix = Path(entry.name).suffix.lower()
            if suffix in PICTURES:
                return ""
            if _is_hidden(entry.name):
                continue
            if entry.is_dir():
                folders.append(entry.path)
            elif suffix in SHARDS:
                found.add(suffix)
    first = next((suffix for suffix in SHARDS if suffix in found), "")
    return "" if any(map(_has_pictures, folders if first else [])) else first


def shards_of(folder: Path, suffix: str) -> Shards:
    """The shards of a folder, by their names in natural order: part-2 before part-10.

    Files whose names begin with a point or an underscore are passed by, and others that are no data are left out with
    a note. Raises DataError for data of another format among them, for folders, and where their numbers lack one.
    """
    names, others = list[str](), list[str]()
    for entry in _entries(folder):
        other = format_of(entry.name)
        if entry.is_dir() or (other is not None and other is not FORMATS[suffix]):
            what = "the folder " if entry.is_dir() else ""
            raise DataError(
                f"{folder}: expected {suffix} files alone, got {what}{legible(entry.name, 100)} beside them; keep it "
                "elsewhere"
            )
        (names if other is FORMATS[suffix] else others).append(entry.name)
    names.sort(key=natural)
    notes = _left_out(others)
    lacking = _lacking(names)
    shown = ", ".join(legible(name, 100) for name in lacking.first) + ", ..." * (lacking.total > SHOWN)
    if lacking.total and not (folder / DONE).exists():
        raise DataError(
            f"{folder}: expected a shard for each number, got none called {shown} ({lacking.total:,} in all); fetch "
            "what is missing, or give the others names without a gap"
        )
    if lacking.total:  # as of Spark, which writes none for a part without rows
        notes = (*notes, f"{folder}: there is no {shown} ({lacking.total:,} in all); {DONE} says that it is whole")
    return Shards(tuple(folder / name for name in names), notes)


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """A key by which names are in the order of their numbers."""
    parts = DIGITS.split(name)
    return [(int(part), "") if place % 2 else (-1, part) for place, part in enumerate(parts)], name


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not _is_hidden(entry.name))


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _has_pictures(folder: str) -> bool:
    with os.scandir(folder) as entries:
        return any(Path(entry.name).suffix.lower() in PICTURES for entry in entries)


def _left_out(others: Sequence[str]) -> tuple[str, ...]:
    shown = ", ".join(legible(name) for name in sorted(others)[:SHOWN]) + ", ..." * (len(others) > SHOWN)
    return (f"left out, as no shards: {shown} ({len(others):,} in all)",) if others else ()


class Lacking(NamedTuple):
    """How many names a numbering lacks, and the first of them."""

    total: int
    first: list[str]


def _lacking(names: Sequence[str]) -> Lacking:
    """What a numbering lacks that begins with 0 or 1, or says of how many each is, as 3-of-8; else nothing."""
    split = [DIGITS.split(name) for name in names]
    first, places = split[0], range(1, len(split[0]), 2)
    if len({tuple(parts[::2]) for parts in split}) > 1:
        return Lacking(0, [])
    differing = [at for at in places if len({parts[at] for parts in split}) > 1]
    of_all = [at for at in places if first[at + 1] == OF_ALL]
    if len(differing) > 1 or not (differing or of_all):
        return Lacking(0, [])
    (at,) = differing or of_all[:1]
    numbers = {int(parts[at]) for parts in split}
    low, high = min(numbers), max(numbers)
    total = int(first[at + 2]) if first[at + 1] == OF_ALL else 0
    begin = int(low > 0 and high == total) if total else low
    if begin > 1:
        return Lacking(0, [])
    wanted = range(begin, max(begin + total, high + 1))
    width = len(first[at]) if len({len(parts[at]) for parts in split}) == 1 else 1
    absent = islice((number for number in wanted if number not in numbers), SHOWN)
    told = ["".join([*first[:at], str(number).zfill(width), *first[at + 1 :]]) for number in absent]
    return Lacking(len(wanted) - len(numbers), told)
