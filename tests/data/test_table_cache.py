"""The cache of parsed tables: what is taken from it is what was read, and no command ever fails for it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from data_files import same_frames, write

from stackae.data.formats import text_frame
from stackae.data.formats.text_frame import read_frame
from stackae.data.spool.home import SWITCH
from stackae.data.tables import cache
from stackae.data.tables.frame import Dialect, Frame

TABLE = "a;kind;b\n1;tcp;2,5\n?;udp;Infinity\n1;2\n-3;;1,25\n\n4;é;0,5\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, in which every table is worth an entry."""
    monkeypatch.setattr(cache, "WORTH_BYTES", 1)
    monkeypatch.setenv(SWITCH, str(tmp_path / "cache"))
    return tmp_path / "cache"


def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths that are parsed from now on."""
    calls, parse = list[Path](), text_frame._parsed

    def counted(path: Path, *others: Any) -> Frame:
        calls.append(path)
        return parse(path, *others)

    monkeypatch.setattr(text_frame, "_parsed", counted)
    return calls


def test_what_is_kept_is_what_was_read(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = parsed(monkeypatch)
    path = write(tmp_path / "a.csv", TABLE)
    first = read_frame(path)
    assert len(calls) == 1 and sorted(each.suffix for each in home.iterdir()) == [".arrays", ".json"]
    assert home.stat().st_mode & 0o77 == 0
    same_frames(read_frame(path), first)
    monkeypatch.chdir(tmp_path)
    again = read_frame(Path("a.csv"))  # notes name the file as it was named now
    assert (
        len(calls) == 1
        and again.name == "a.csv"
        and again.notes == tuple(note.replace(str(path), "a.csv") for note in first.notes)
    )
    assert read_frame(path, Dialect(missing=("tcp",))).columns[1].texts == ("udp", "é")
    assert len(calls) == 2


def test_a_table_that_changed_is_read_anew(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = parsed(monkeypatch)
    path = write(tmp_path / "a.csv", TABLE)
    before = path.stat()
    read_frame(path)
    write(path, TABLE.replace("-3", "-4"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # of the same size and time
    assert read_frame(path).columns[0].values[2] == -4 and len(calls) == 2
    assert read_frame(path).columns[0].values[2] == -4 and len(calls) == 2


def test_a_damaged_entry_is_not_taken(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = parsed(monkeypatch)
    path = write(tmp_path / "a.csv", TABLE)
    first = read_frame(path)
    entries = {each: each.read_bytes() for each in home.iterdir()}
    wrong = 0
    for each, content in entries.items():
        places = [*range(0, len(content), 61), len(content) - 1]
        for damaged in (
            b"",
            content[:-1],
            *(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :] for at in places),
        ):
            for other, right in entries.items():
                write(other, right)
            write(each, damaged)
            same_frames(read_frame(path), first)
            wrong += 1
    assert len(calls) > 1 + wrong // 2  # a changed byte of padding in a header says the same
    for each in entries:
        each.unlink()
        same_frames(read_frame(path), first)
    (home / "x").mkdir()


def test_a_cache_that_cannot_be_written_is_no_error(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.csv", TABLE)
    write(home, "a file where the folder should be")
    assert len(read_frame(path).numbers) == 4 and home.is_file()
    home.unlink()
    monkeypatch.setattr("shutil.disk_usage", lambda _: (1, 1, 0))
    assert len(read_frame(path).numbers) == 4 and not list(home.iterdir())
    for word in ("off", "", "0"):
        monkeypatch.setenv(SWITCH, word)
        assert cache.folder() is None
    monkeypatch.delenv(SWITCH)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder() == tmp_path / "xdg" / "stackae"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / ".cache" / "stackae"


def test_small_tables_are_not_kept(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "WORTH_BYTES", 8 << 20)
    read_frame(write(tmp_path / "a.csv", TABLE))
    assert not home.exists()


def test_what_was_used_least_recently_goes(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kept() -> set[Path]:
        return {each.with_suffix("") for each in home.iterdir() if not each.name.startswith(".")}

    entries = []
    for name in "abc":
        read_frame(write(tmp_path / f"{name}.csv", TABLE))
        (entry,) = kept() - set(entries)
        entries.append(entry)
        os.utime(entry.with_suffix(".json"), (1, 1 + len(entries)))
    size = sum(each.stat().st_size for each in home.iterdir()) // 3
    read_frame(tmp_path / "a.csv")  # now it was used last
    left = write(home / ".half.arrays.1", "x")
    os.utime(left, (1, 1))
    monkeypatch.setattr(cache, "MOST_BYTES", 3 * size + 50)
    read_frame(write(tmp_path / "d.csv", TABLE))
    assert entries[0] in kept() and entries[2] in kept() and entries[1] not in kept() and not left.exists()
    assert time.time() - entries[0].with_suffix(".json").stat().st_mtime < 1000
