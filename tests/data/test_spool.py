"""Rows that are written once and mapped: complete or absent, verified, and made again where they changed."""

from __future__ import annotations

import fcntl
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from stackae.data.spool import digest, spooled
from stackae.data.spool.digest import Digest, digest_of
from stackae.data.spool.home import SWITCH
from stackae.data.spool.pieces import Mappable, Pieces, on_disk
from stackae.data.spool.spooled import Origin, RowWriter, Spooled
from stackae.errors import DataError, DiskError

ROWS = np.arange(60, dtype=np.float32).reshape(20, 3)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(SWITCH, str(tmp_path / "cache"))
    return tmp_path / "cache"


class Case(NamedTuple):
    """A file that stands for the one that rows are made of, and how often they were made."""

    origin: Origin
    made: list[int]

    def __call__(self, rows: np.ndarray = ROWS, fill: Callable[[RowWriter], None] | None = None) -> Spooled:
        def filled(writer: RowWriter) -> dict[str, Any]:
            self.made.append(1)
            if fill is not None:
                fill(writer)
            for start in range(0, len(rows), 7):
                writer.add(rows[start : start + 7])
            return {"said": ["a", 1]}

        return spooled.spooled(self.origin, rows.dtype, rows.shape[1], filled, rows.nbytes)


@pytest.fixture
def case(tmp_path: Path, home: Path) -> Case:
    (tmp_path / "a.bin").write_bytes(b"abc")
    return Case(Origin("a.bin", (tmp_path / "a.bin",), ["x", 1]), [])


def change(path: Path) -> None:
    path.write_bytes(b"other")


def kept(home: Path, suffix: str) -> list[Path]:
    return [each for each in home.glob(f"*{suffix}") if not each.name.startswith(".")]


def test_rows_are_written_once_and_mapped(case: Case, home: Path) -> None:
    for _ in range(2):
        found = case()
        assert isinstance(found.rows, np.memmap) and not found.rows.flags.writeable and found.rows.flags.c_contiguous
        assert found.rows.dtype == np.float32 and np.array_equal(found.rows, ROWS)
        assert found.told == {"said": ["a", 1]} and found.note == ""
    assert len(case.made) == 1 and home.stat().st_mode & 0o77 == 0
    (body,) = kept(home, ".npy")
    assert np.array_equal(np.load(body), ROWS)  # a file as any other
    assert not list(home.glob(".*.npy"))


@pytest.mark.parametrize("dtype", ["|u1", "|b1", ">i2", "<f2", "<f4", ">f8"])
def test_rows_of_every_type_are_kept_in_the_order_of_the_machine(case: Case, dtype: str) -> None:
    rows = np.arange(4 * 5).reshape(4, 5).astype(dtype)
    found = case(rows)
    assert found.rows.dtype.isnative and np.array_equal(found.rows, rows)


def test_what_is_asked_makes_other_rows(case: Case) -> None:
    case()
    other = case._replace(origin=case.origin._replace(asked=["y", 1]))
    assert np.array_equal(other(ROWS + 1).rows, ROWS + 1)
    assert np.array_equal(case().rows, ROWS) and len(case.made) == 2


@pytest.mark.parametrize("change", ["content", "time", "replaced"])
def test_rows_of_a_file_that_changed_are_made_again(case: Case, home: Path, change: str) -> None:
    first, path = case(), case.origin.files[0]
    before = path.stat()
    if change == "replaced":
        other = path.with_name("other")
        other.write_bytes(b"abd")
        other.replace(path)
    elif change == "content":
        path.write_bytes(b"abd")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + (change == "time")))  # else of the same size and time
    assert np.array_equal(case(ROWS + 1).rows, ROWS + 1) and len(case.made) == 2
    assert np.array_equal(first.rows, ROWS)  # whoever maps them has them still
    assert len(kept(home, ".npy")) == len(kept(home, ".rows")) == 1


def test_a_damaged_entry_is_made_again_and_named(case: Case, home: Path) -> None:
    case()
    wrong = 0
    for path in (*kept(home, ".npy"), *kept(home, ".rows")):
        content = path.read_bytes()
        places = [place for place in range(0, len(content), 5) if not content[place : place + 1].isspace()]
        for damaged in (
            b"",
            content[:-1],
            content + b"x",
            *(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :] for at in places),
        ):
            path.write_bytes(damaged)
            before, found = len(case.made), case()
            assert np.array_equal(found.rows, ROWS) and found.told == {"said": ["a", 1]}
            if len(case.made) > before:
                assert str(kept(home, ".npy")[0]) in found.note
                wrong += 1
            assert case().note == ""
            path.write_bytes(content)
    assert wrong > 100


def test_a_bit_of_the_rows_is_never_flipped_unseen(case: Case, home: Path) -> None:
    case()
    (body,) = kept(home, ".npy")
    content = body.read_bytes()
    for place in range(len(content) - ROWS.nbytes, len(content)):
        body.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        assert case().note
        assert body.read_bytes() == content


def test_what_is_killed_leaves_nothing_that_is_used(case: Case, home: Path) -> None:
    child = os.fork()
    if not child:

        def fill(writer: RowWriter) -> None:
            writer.add(ROWS)
            os._exit(9)  # as by SIGKILL: nothing is cleaned up

        case(fill=fill)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert len(list(home.glob(".*.npy"))) == 1 and not kept(home, ".npy")
    other = case._replace(origin=case.origin._replace(asked="other"))
    assert np.array_equal(other(ROWS + 1).rows, ROWS + 1)
    assert not list(home.glob(".*.npy"))  # whoever writes next takes it away
    assert np.array_equal(case().rows, ROWS) and len(case.made) == 2


def test_what_is_being_written_is_left_alone(case: Case, home: Path) -> None:
    home.mkdir()
    beside = home / f".{'0' * 32}.npy"
    beside.write_bytes(b"half")
    with beside.with_suffix(".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        case()
        assert beside.exists()


def test_a_refusal_keeps_nothing(case: Case, home: Path) -> None:
    def fill(writer: RowWriter) -> None:
        writer.add(ROWS)
        raise DataError("a.bin: damaged")

    with pytest.raises(DataError, match="damaged"):
        case(fill=fill)
    assert not kept(home, ".npy") and not kept(home, ".rows") and not list(home.glob(".*.npy"))


def test_a_file_that_changes_while_it_is_read_is_refused(case: Case, home: Path) -> None:
    with pytest.raises(DataError, match=r"a\.bin: expected files that stay as they are, got some that changed"):
        case(fill=lambda writer: change(case.origin.files[0]))
    assert not kept(home, ".npy")


def test_without_a_cache_there_are_no_such_rows(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "off")
    with pytest.raises(DataError, match=r"expected a folder for rows that stay on disk, got STACKAE_CACHE=off"):
        case()


def test_a_disk_without_room_is_said_before_anything_is_written(
    case: Case, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case()
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Disk(free=100))
    other = case._replace(origin=case.origin._replace(asked="other"))
    with pytest.raises(
        DiskError, match=r"expected room for rows of 240 bytes in .*, got 100 bytes free; name a folder"
    ):
        other()
    assert len(case.made) == 1


def test_a_disk_that_fills_up_is_said(case: Case, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(writer: RowWriter) -> None:
        monkeypatch.setattr(writer, "_file", _Full())

    with pytest.raises(DiskError, match=r"expected room for its rows in the cache, got .*No space left on device"):
        case(fill=fill)
    assert not kept(home, ".npy")
    home.joinpath("x").write_bytes(b"")
    monkeypatch.setenv(SWITCH, str(home / "x"))
    with pytest.raises(DiskError, match="in the cache"):
        case()


class _Disk(NamedTuple):
    free: int


class _Full:
    def write(self, content: Any) -> int:
        raise OSError(28, "No space left on device")

    def seek(self, place: int) -> None:
        pass


def test_what_was_used_least_recently_makes_room(case: Case, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [case._replace(origin=case.origin._replace(asked=each)) for each in range(4)]
    found = []
    for place, each in enumerate(cases[:3]):
        each()
        (new,) = {*kept(home, ".rows")} - {*found}
        found.append(new)
        os.utime(new, (1, 1 + place))
    size = sum(each.stat().st_size for each in home.iterdir()) // 3
    cases[0]()  # now it was used last
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Disk(free=240 + 2 * size + 50))
    cases[3]()
    assert found[0] in kept(home, ".rows") and found[1] not in kept(home, ".rows")
    assert time.time() - found[0].stat().st_mtime < 1000


def test_digests_of_pieces_are_those_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "BLOCK_BYTES", 10)
    content = bytes(range(256))
    (tmp_path / "a").write_bytes(content)
    for length in (0, 9, 10, 11, 200):
        (tmp_path / "a").write_bytes(b"head" + content[:length])
        for step in (1, 7, 10, 25, 300):
            found = Digest()
            for start in range(0, length, step):
                found.update(memoryview(content[:length])[start : start + step])
            assert found.hexdigest() == digest_of(tmp_path / "a", 4)


def test_pieces_that_lie_in_a_file_are_mapped_there(tmp_path: Path, home: Path) -> None:
    (tmp_path / "a").write_bytes(b"head" + ROWS.tobytes())
    pieces = Pieces("a", (20, 3), ROWS.dtype, lambda: iter(()), Mappable(tmp_path / "a", 4))
    found = on_disk(pieces, Origin("a", (tmp_path / "a",)))
    assert np.array_equal(found.rows, ROWS) and isinstance(found.rows, np.memmap) and not home.exists()


def test_another_number_of_rows_than_declared_is_refused(case: Case) -> None:
    pieces = Pieces("a", (21, 3), ROWS.dtype, lambda: iter([ROWS]))
    with pytest.raises(DataError, match="a: expected 21 rows, got 20; save the file again"):
        on_disk(pieces, case.origin)


def test_memory_does_not_grow_with_the_rows(case: Case) -> None:
    def peak(rows: int) -> int:
        def read() -> Any:
            for start in range(0, rows, pieces.step):
                yield np.full((min(pieces.step, rows - start), 64), start, dtype=np.float32)

        pieces = Pieces("a", (rows, 64), np.dtype(np.float32), read)
        tracemalloc.start()
        try:
            assert on_disk(pieces, case.origin._replace(asked=rows)).rows[-1, 0] >= 0
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert max(peak(50_000), peak(400_000)) < 24 << 20  # of 13 and 102 MB
