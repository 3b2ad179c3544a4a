"""Tables of text that mean harm: refused in one sentence, before they cost memory or time."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_files import laws, message, mutated, peak_of, write
from hypothesis import given, settings
from hypothesis import strategies as st

from stackae.data import memory
from stackae.data.formats.parquet import read_frame as read_parquet
from stackae.data.formats.text_frame import read_frame
from stackae.data.tables.frame import Dialect
from stackae.errors import DataError

CAP, MIB = 24 << 20, 1 << 20


@pytest.mark.parametrize("read", [read_frame, read_parquet])
def test_only_regular_files_are_opened(tmp_path: Path, read: Callable[[Path], object]) -> None:
    pipe, device = tmp_path / "pipe.csv", tmp_path / "device.csv"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    for path, kind in ((pipe, "pipe"), (device, "device"), (tmp_path, "folder")):
        assert f"{path}: expected a regular file, got a {kind}" in message(read, path)


def test_a_table_is_weighed_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("text.blocks.BLOCK_BYTES", "text.blocks.CHUNK_BYTES", "formats.bounded.CHUNK_BYTES"):
        monkeypatch.setattr(f"stackae.data.{name}", 1000)
    monkeypatch.setattr(memory, "UNASKED", 0)
    monkeypatch.setattr(memory, "free_memory", lambda: 100_000)
    content = "a,b\n" + "".join(f"{row},2\n" for row in range(50_000))
    text = message(read_frame, write(tmp_path / "a.csv", content))
    assert "expected data that fit in the memory" in text and "100,000 bytes available; give fewer rows" in text
    packed = message(read_frame, write(tmp_path / "a.csv.gz", gzip.compress(content.encode())))
    assert "expected data that fit in the memory" in packed
    texts = "a\n" + "".join(f"name {row}\n" for row in range(5_000))
    assert "expected data that fit in the memory" in message(read_frame, write(tmp_path / "b.csv", texts))
    assert len(read_frame(write(tmp_path / "c.csv", "a,b\n" + "1,2\n" * 5_000)).numbers) == 5_000


def test_bombs_and_damage_of_gzip(tmp_path: Path) -> None:
    path, plain = tmp_path / "a.csv.gz", b"a,b\n1,2\n"
    zeros = gzip.compress(bytes(200 * MIB), 1)
    assert peak_of(lambda: message(read_frame, write(path, zeros))) < 120 * MIB  # a line without an end
    assert "expected lines of at most 33,554,432 characters" in message(read_frame, path)
    packed = gzip.compress(plain)
    assert "an empty member" in message(read_frame, write(path, packed + gzip.compress(b"") * 1000))
    assert "damaged data (Error -3" in message(read_frame, write(path, packed + b"more"))
    assert "the compressed data end before they are complete" in message(read_frame, write(path, packed[:-9]))
    assert read_frame(write(path, packed * 1 + gzip.compress(b"3,4\n"))).columns[0].values.tolist() == [1, 3]
    broken = bytearray(packed)
    broken[-6] ^= 1  # the checksum
    assert "incorrect data check" in message(read_frame, write(path, bytes(broken)))


def test_what_is_no_table_of_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"

    def of(content: bytes | str) -> str:
        return message(read_frame, write(path, content))

    assert f"{path}: expected UTF-8 text, got byte 0x89; save it as UTF-8, or name" in of(
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
    )
    assert f"{path}:1: expected UTF-8 text, got a NUL character" in of("a,b\n1,2\n".encode("utf-16-le"))
    assert f"{path}:3: expected UTF-8 text, got a NUL character" in of(b"a,b\n1,2\n3,\0\n")
    assert "UTF-8 text, got a NUL character" in of(b"a,b\n" + b"1,2\n" * 100_000 + b"3,x\0\n")
    assert f"{path}: expected UTF-16 text, got byte" in of(b"\xff\xfea\0,\0b\0\n\0\0\xd8x\0\n\0\1")
    assert "field larger than field limit (131072)" in of('a,b\n"1,2\n' + "3,4\n" * 100_000)
    assert f"{path}:3: expected comma-separated cells, got" in of('a,b\n1,2\n"3,4\n')
    assert f"{path}:2: expected comma-separated cells, got ',' expected after" in of('a,b\n"1"2,3\n')
    monkeypatch.setattr("stackae.data.text.rows.MOST_COLUMNS", 50)
    monkeypatch.setattr("stackae.data.text.rows.LONGEST_LINE", 1000)
    assert f"{path}:2: expected lines of at most 1,000 characters" in of("a,b\n" + "1" * 2000 + ",2\n")
    assert f"{path}:1: expected at most 50 columns, got more commas in one row" in of("a," * 60 + "\n1\n")
    assert f"{path}:2: expected at most 50 columns" in of("a,b\n" + '"\n",' * 100 + "\n")


def test_what_a_file_says_forges_no_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'a,"\x1b]0;x\x07\nerror: forged"\n1,2,3\n1\n')
    assert message(read_frame, path, Dialect(header=True, delimiter=",")).splitlines() == [
        f"{path}:3: expected 2 cells as in the header, got 3",
        f"{path}:4: expected 2 cells as in the header, got 1",
    ]
    data = write(tmp_path / "b.csv", '1,"\x1b[31m\nerror: forged"\n1,"\x1b[31m\nerror: forged"\n')
    (note,) = read_frame(data).notes
    assert note.isprintable() and r"\x1b[31m\nerror: forged" in note
    twice = write(tmp_path / "c.csv", '"\x1b[31m","\x1b[31m"\n1,2\n')
    assert read_frame(twice).notes[0].isprintable()


def test_a_wide_table_takes_linear_time(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(200_000)]
    row = ",".join("1" for _ in names)
    frame = read_frame(write(tmp_path / "a.csv", ",".join([*names, "c7", "c7"]) + f"\n{row},2,3\n{row},2,3\n"))
    assert frame.names[-3:] == ("c199999", "c7.1", "c7.2") and len(frame.columns) == 200_002
    assert "expected rows below" in message(read_frame, write(tmp_path / "b.csv", ",".join(names) + "\n"))


SEEDS = [
    b'a,"b c"\n1,2.5\n-3e4,"4"\n',
    b"\xef\xbb\xbfa,b\r\n1,2\r\n\r\n",
    "ä\n1_0\n".encode(),
    "Temp °C;b\n1,5;x\n".encode("latin-1"),
    b'a "b c"\n1  2.5\n',
    b"# x\na\tb\n1\t2\n",
    b"1,tcp,0.5\n2,udp,NaN\n",
    "a,b\n1,é\n".encode("utf-16"),
    gzip.compress(b"a,b,\n1,x,\n2,y,\n"),
    b"a,a,\n1,2\n1,2,3\n",
]


@pytest.mark.parametrize("quick", [True, False], ids=["quick", "by rows"])
def test_mutated_and_random_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: bool) -> None:
    monkeypatch.setattr("stackae.data.formats.text_frame.FEW_BYTES", 0 if quick else 1 << 30)
    noise = st.tuples(st.sampled_from(SEEDS), st.integers(0, 12), st.binary(max_size=300))
    asked = st.sampled_from([Dialect(), Dialect(delimiter=" ", header=False), Dialect(encoding="utf-16", decimal=",")])

    @settings(laws, max_examples=400)
    @given(mutated(SEEDS) | noise.map(lambda parts: parts[0][: parts[1]] + parts[2]), asked)
    def law(content: bytes, dialect: Dialect) -> None:
        path = write(tmp_path / "a.csv", content)
        started, found = time.monotonic(), []

        def read() -> None:
            try:
                found.append(read_frame(path, dialect))
            except DataError as error:
                text = str(error)
                assert str(path) in text and len(text) < 5000 and text.replace("\n", "").isprintable()

        assert peak_of(read) < CAP and time.monotonic() - started < 20
        for frame in found:
            assert len(set(frame.names)) == len(frame.names) and frame.columns
            for column in frame.columns:
                assert len(column.values) == len(frame.numbers) > 0
                if column.stored == "texts":
                    assert column.values.min() >= -1 and column.values.max() < len(column.texts)
                    assert len(set(column.texts)) == len(column.texts) and all(map(str.strip, column.texts))
            assert frame.lines is not None and frame.numbers.tolist() == sorted(set(frame.numbers.tolist()))
            lines = frame.lines(range(len(frame.numbers)))
            assert lines == sorted(set(lines)) and all(note.isprintable() for note in frame.notes)
            if not frame.bad_rows:
                np.testing.assert_array_equal(read_frame(path, frame.dialect).numbers, frame.numbers)

    law()
