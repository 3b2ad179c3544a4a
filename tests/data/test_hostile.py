"""Files that mean harm: refused in one sentence, before they cost memory or time."""

from __future__ import annotations

import gzip
import io
import os
import socket
import struct
import unicodedata
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data_files import TEXT_FORMATS, idx_bytes, laws, load_text, message, npy_bytes, npy_header, peak_of, write
from hypothesis import given
from hypothesis import strategies as st

from stackae.config import DataConfig
from stackae.data import load_data, load_source, memory
from stackae.data.arrays.reading import load_arrays
from stackae.data.formats import FORMATS, bounded
from stackae.data.formats.bounded import Gunzip, opened
from stackae.data.formats.idx import load_idx_folder, read_idx
from stackae.data.labels import MOST_CLASSES
from stackae.data.text.rows import DELIMITERS
from stackae.errors import HIDDEN, DataError, legible, nearest

TEXTS = {suffix: load_text for suffix, each in FORMATS.items() if each.named}
READERS = {".npy": load_arrays, ".npz": load_arrays, ".idx": read_idx, **TEXTS}
MIB = 1 << 20


# ---- what is opened


@pytest.mark.parametrize("suffix", READERS)
def test_only_regular_files_are_opened(tmp_path: Path, suffix: str) -> None:
    pipe, device, folder = (tmp_path / f"{name}{suffix}" for name in ("pipe", "device", "folder"))
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / f"socket{suffix}"))
    for path, kind in (
        (pipe, "pipe"),
        (device, "device"),
        (folder, "folder"),
        (tmp_path / f"socket{suffix}", "socket"),
    ):
        expected = f"{path}: expected a regular file, got a {kind}; save the data as a file and give its path"
        assert message(READERS[suffix], path) == expected
        if suffix != ".idx" and kind != "folder":
            assert message(load_source, DataConfig(data=str(path))) == expected


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npy"
    os.mkfifo(path)
    check, modes = bounded.check_regular, list[int]()

    def pass_the_first(path: Path, mode: int) -> None:
        modes.append(mode)
        if len(modes) > 1:
            check(path, mode)

    monkeypatch.setattr(bounded, "check_regular", pass_the_first)
    with pytest.raises(DataError, match="got a pipe"), opened(path):
        pass


@pytest.mark.parametrize("change", ["grows", "shrinks", "is written again"])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, change: str) -> None:
    path = write(tmp_path / "a", bytes(100))
    for damage in (False, True):

        def read(damage: bool = damage) -> None:
            with opened(path) as file:
                file.read(10)
                write(path, bytes({"grows": 200, "shrinks": 50}.get(change, 100)))
                os.utime(path, ns=(1, 1 + damage))
                if damage:
                    raise DataError("cut short")

        text = message(read)
        assert "a file that stays as it is, got one that changed" in text and "wait until it is written" in text


# ---- memory


def test_more_than_the_memory_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 100 * MIB)
    head = npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (50000000000, 10), }")
    size = len(head) + 4 * 10**12
    with (tmp_path / "a.npy").open("wb") as file:  # a hole: it takes no room on the disk
        file.write(head)
        file.truncate(size)
    expected = "expected data that fit in the memory, got 6,000,000,000,000 bytes to be held and 104,857,600 bytes"
    assert peak_of(lambda: expected in message(load_arrays, tmp_path / "a.npy")) < MIB
    np.savez_compressed(tmp_path / "b.npz", x=np.zeros((200, MIB), np.uint8))
    assert (tmp_path / "b.npz").stat().st_size < MIB
    text = message(load_arrays, tmp_path / "b.npz")
    assert "b.npz: x: expected data that fit" in text and "got 209,715,200 bytes to be held" in text
    bomb = gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 200, 1024, 1024) + bytes(200 * MIB), 1)
    assert "got 209,715,200 bytes to be held" in message(read_idx, write(tmp_path / "c.gz", bomb))


def test_a_csv_file_is_weighed_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "UNASKED", 0)
    monkeypatch.setattr(memory, "free_memory", lambda: 100_000)
    path = write(tmp_path / "a.csv", "a,b\n" + "1,2\n" * 50_000)
    text = message(load_text, path)
    assert "expected data that fit in the memory" in text and "100,000 bytes available; give fewer rows" in text
    assert load_text(write(path, "a,b\n" + "1,2\n" * 5_000)).x.shape == (5000, 2)


def test_the_parts_are_weighed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", np.ones((40, 2), np.float32))
    monkeypatch.setattr("stackae.data.memory.UNASKED", 0)
    monkeypatch.setattr("stackae.data.memory.free_memory", lambda: 321)
    assert load_source(DataConfig(data=str(tmp_path / "a.npy"))).x.nbytes == 320
    monkeypatch.setattr("stackae.data.formats.npy.check_memory", lambda *_: None)
    monkeypatch.setattr("stackae.data.memory.free_memory", lambda: 319)
    assert "got 320 bytes to be held and 319" in message(load_data, DataConfig(data=str(tmp_path / "a.npy")))


def test_free_memory_is_the_least_of_all_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr("resource.getrlimit", lambda _: (-1, -1))
    physical = memory.free_memory()
    assert physical is not None and physical >= 1 << 28
    (tmp_path / "proc" / "self").mkdir(parents=True)
    write(tmp_path / "proc" / "meminfo", "MemTotal: 2000 kB\nMemAvailable: 1000 kB\n")
    assert memory.free_memory() == 1000 * 1024
    (tmp_path / "cgroup" / "memory").mkdir(parents=True)
    for folder, limit, usage in (("", "max", "current"), ("memory", "limit_in_bytes", "usage_in_bytes")):
        write(tmp_path / "cgroup" / folder / f"memory.{usage}", "300000")
        write(tmp_path / "cgroup" / folder / "memory.stat", "active_file 40000\ninactive_file 60000\nanon 5\n")
        write(tmp_path / "cgroup" / folder / f"memory.{limit}", "500000\n")
        assert memory.free_memory() == 300_000
        write(tmp_path / "cgroup" / folder / f"memory.{limit}", "max\n")
        assert memory.free_memory() == 1000 * 1024
    write(tmp_path / "proc" / "self" / "statm", "10 5 3")
    monkeypatch.setattr("resource.getrlimit", lambda _: (900_000, -1))
    assert memory.free_memory() == 900_000 - 10 * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("dtype", ["u1", "<f4", ">f4", "<f8", ">f8"])
def test_reading_holds_little_more_than_the_array(tmp_path: Path, dtype: str) -> None:
    array = np.zeros((3000, 1000), dtype)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", x=array)
    held = array.nbytes + (array.size * 4 if dtype.endswith("8") else 0)  # 64 bits are beside their 32-bit copy
    for name in ("a.npy", "a.npz"):
        assert peak_of(lambda name=name: load_source(DataConfig(data=str(tmp_path / name)))) < 1.2 * held + 6 * MIB


# ---- gzip


@laws
@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=4), st.integers(0, 9), st.integers(1, 70))
def test_gunzip_gives_what_was_packed(parts: list[bytes], zeros: int, size: int) -> None:
    packed = b"".join(gzip.compress(part) for part in parts) + bytes(zeros)
    stream = Gunzip(io.BufferedReader(io.BytesIO(packed)))
    pieces = list(iter(lambda: stream.read1(size), b""))
    assert b"".join(pieces) == b"".join(parts) and all(len(piece) <= size for piece in pieces)


def test_gzip_damage(tmp_path: Path) -> None:
    plain = idx_bytes(np.arange(12).reshape(3, 2, 2))
    packed = gzip.compress(plain)
    path = tmp_path / "a.gz"
    empty = gzip.compress(b"")
    assert "an empty member" in message(read_idx, write(path, packed + empty * 1000))
    assert "an empty member" in message(read_idx, write(path, empty + packed))
    assert "damaged data (Error -3" in message(read_idx, write(path, packed + b"more"))
    assert "got at least 29; the file has bytes after its end" in message(read_idx, write(path, packed * 2))
    long_name = packed[:3] + b"\x08" + packed[4:10] + b"n" * (8 * MIB)  # a file name that does not end
    assert "the compressed data end before they are complete" in message(read_idx, write(path, long_name))


# ---- numpy

HEADER = "{{'descr': {}, 'fortran_order': False, 'shape': {}, }}"


@pytest.mark.parametrize(
    ("descr", "shape", "part"),
    [
        ("'<f4'", "(" + "1, " * 100 + ")", "expected at most 4 dimensions, got 100; reshape the array"),
        ("'<f4'", f"({'9' * 4000}, 1)", "got a length beyond 64 bits"),
        ("'<f4'", f"(1, -{'9' * 4000})", "got a length beyond 64 bits"),
        ("'<f4'", f"({2**63 - 1}, {2**63 - 1})", "as its header declares, got 1"),
        ("'<f4'", "(-1, -1)", "expected at least one element"),
        ("'<M8[s]'", "(1, 1)", "expected an array of real numbers, got datetime64[s]"),
        ("'<m8[s]'", "(1, 1)", "expected an array of real numbers, got timedelta64[s]"),
        ("('<f4', (1000,))", "(1, 1)", "expected an array of real numbers, got ('<f4', (1000,))"),
        ("'|O'", "(1, 1)", "expected an array of real numbers, got object"),
        ("A", "(1, 1)", "got malformed node or string on line 1: <ast.Name>; save it again"),
        ("'|S4'", "(1, 1)", "expected an array of real numbers"),
        ("'\\x1b[31m'", "(1, 1)", "expected an array as numpy.save writes it"),
    ],
)
def test_numpy_headers_that_mean_harm(tmp_path: Path, descr: str, shape: str, part: str) -> None:
    text = message(load_arrays, write(tmp_path / "a.npy", npy_header(HEADER.format(descr, shape), b"1234")))
    assert part in text and text.isprintable() and len(text) < 500


@pytest.mark.parametrize("dtype", ["f2", "g", ">f8", "?", "i8", ">u8"])
def test_any_real_numbers_are_read(tmp_path: Path, dtype: str) -> None:
    array = np.array([[1, 0], [0, 1]], dtype)
    for order in "CF":
        path = write(tmp_path / "a.npy", npy_bytes(np.asarray(array, order=order)))
        source = load_source(DataConfig(data=str(path)))
        assert source.x.dtype == np.float32  # which holds each of them
        np.testing.assert_array_equal(source.x, array.astype(np.float32))


# ---- archives


def archive(path: Path, members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as target, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, content in members:
            target.writestr(name, content)
    return path


def test_archives_that_mean_harm(tmp_path: Path) -> None:
    path, x = tmp_path / "a.npz", npy_bytes(np.ones((3, 2)))
    assert "a name of its own for each array, got it twice" in message(
        load_arrays, archive(path, [("x", x), ("x.npy", x)])
    )
    assert "a name of its own for each array" in message(load_arrays, archive(path, [("x.npy", x), ("x.npy", x)]))
    escapes = message(load_arrays, archive(path, [(f"../../{name}\x1b[31m", b"") for name in range(100)]))
    assert "got ../../0\\x1b[31m (unreadable), " in escapes and "and 80 more" in escapes
    assert load_arrays(archive(path, [("x.npy", x), ("../../etc/evil.npy", x)])).x.shape == (3, 2)
    assert not (tmp_path.parent / "etc").exists()
    content = bytearray(archive(path, [("x.npy", x)]).read_bytes())
    listed = content.find(b"PK\x01\x02")
    for place in (6, listed + 8):
        content[place] |= 1
    assert "an array that anyone can read, got an encrypted one" in message(load_arrays, write(path, bytes(content)))
    content = bytearray(archive(path, [("x.npy", x)], zipfile.ZIP_DEFLATED).read_bytes())
    struct.pack_into("<I", content, content.find(b"PK\x01\x02") + 24, 10**9)
    assert "packed bytes can hold, got a size of 1000000000" in message(load_arrays, write(path, bytes(content)))
    nested = io.BytesIO()
    np.savez(nested, x=np.ones((2, 2)))
    assert "x: expected an array as numpy.save writes it" in message(
        load_arrays, archive(path, [("x.npy", nested.getvalue())])
    )


def test_members_that_share_bytes(tmp_path: Path) -> None:
    path, x = tmp_path / "a.npz", npy_bytes(np.ones((3, 2)))
    content = archive(path, [("x.npy", x), ("x_test.npy", x)]).read_bytes()
    second = content.rfind(b"PK\x01\x02")
    overlapping = content[: second + 42] + struct.pack("<I", 0) + content[second + 46 :]
    assert "bytes of its own, got bytes that another array" in message(load_arrays, write(path, overlapping))


def test_a_list_of_members_is_bounded(tmp_path: Path) -> None:
    entry = b"PK\x01\x02" + struct.pack("<6H3I5H2I", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    listed = entry * 100_000
    end = b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, 65535, 65535, len(listed), 0, 0)
    path = write(tmp_path / "a.npz", listed + end)
    assert peak_of(lambda: "a list of members of 4,700,000 bytes" in message(load_arrays, path)) < 4 * MIB


def test_labels_that_mean_harm(tmp_path: Path) -> None:
    x, path = np.ones((3, 2)), tmp_path / "a.npz"

    def of(y: np.ndarray) -> str:
        np.savez(path, x=np.ones((len(y), 1)), y=y)
        return message(load_arrays, path)

    largest = np.array([0, 2**64 - 1, 1], np.uint64)  # -1, were it taken for signed
    assert "expected class numbers of at most 63 bits, got 18446744073709551615" in of(largest)
    for code in (0x110000, 0xFFFFFFFF, 0xD800):
        wrong = np.array([0x41, code, 0x42], np.uint32)
        for order in "<>":
            text = of(wrong.astype(f"{order}u4").view(f"{order}U1"))
            assert f"expected labels of valid text, got a character of code {code:#x}" in text
    assert f"expected at most {MOST_CLASSES:,} classes, got more distinct labels" in of(np.arange(MOST_CLASSES + 1))
    of_text = npy_header(HEADER.format("'<U1000000'", "(1,)"), bytes(4_000_000))
    packed = archive(path, [("x.npy", npy_bytes(x[:1])), ("y.npy", of_text)], zipfile.ZIP_DEFLATED)
    assert "y: expected labels of at most 1,000 characters, got 1,000,000" in message(load_arrays, packed)


# ---- CSV


@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".tsv", "\t")])
def test_csv_files_that_mean_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, delimiter: str) -> None:
    path = tmp_path / f"a{suffix}"

    def text(content: bytes | str) -> Path:
        return write(path, content.replace(",", delimiter) if isinstance(content, str) else content)

    def of(content: bytes | str, target: str | None = None) -> str:
        return message(load_text, text(content), target)

    forged = of('a,"\x1b]0;x\x07"\n1,"\x1b[31m\nerror: forged"\n2,1\n3,1\n')
    name = r"'\x1b]0;x\x07'"
    assert forged.isprintable() or forged.count("\n") == 1
    assert forged.startswith(rf"{path}:2: column {name} (2): '\x1b[31m\nerror: forged' is not a number")
    assert "field larger than field limit (131072)" in of('a,b\n"1,2\n' + "3,4\n" * 100_000)
    monkeypatch.setattr("stackae.data.text.rows.MOST_COLUMNS", 50)
    monkeypatch.setattr("stackae.data.text.rows.LONGEST_LINE", 1000)
    assert f"{path}:2: expected lines of at most 1,000 characters" in of("a,b\n" + "1" * 2000 + ",2\n")
    assert f"{path}:1: expected at most 50 columns, got more {DELIMITERS[delimiter]} in one row" in of(
        "a," * 60 + "\n1\n"
    )
    assert f"{path}:2: expected at most 50 columns" in of("a,b\n" + '"\n",' * 100 + "\n")
    assert load_text(text("a,b\n" + "1,2\n" * 200)).x.shape == (200, 2)
    monkeypatch.setattr("stackae.data.labels.MOST_CLASSES", 3)
    assert "at most 3 classes, got more distinct labels" in of("a,y\n" + "".join(f"1,{n}\n" for n in range(9)), "y")
    assert load_text(text("a,y\n1,1\n1,2\n1,3\n1,3\n"), "y").classes == ("1", "2", "3")


@pytest.mark.parametrize("content", ["a,b\r1,2\r3,4\r", "a,b\r\n1,2\r\n3,4", "\ufeffa,b\n1,2\n3,4\n\n\n"])
def test_csv_line_ends_and_marks(tmp_path: Path, content: str) -> None:
    for suffix, delimiter in TEXT_FORMATS:
        source = load_text(write(tmp_path / f"a{suffix}", content.replace(",", delimiter)))
        assert source.column_names == ("a", "b") and source.x.tolist() == [[1, 2], [3, 4]]


def test_a_wide_header_takes_linear_time(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(200_000)]
    path = write(tmp_path / "a.csv", ",".join(names) + "\n")
    assert "expected rows below the header line, got none" in message(load_text, path)
    write(path, ",".join(names) + "\n" + "1," * 199_999 + "1\n")
    assert "expected a column named 'zzz'" in message(load_text, path, "zzz")


# ---- sentences


def test_hints_are_found_among_a_few_short_words() -> None:
    assert nearest("ab" * 10**6, ["ab" * 10**6, "c"]) == ""
    assert nearest("word", [*map(str, range(10**5)), "word"]) == ""
    assert nearest("lable", ["label"]) == "; did you mean 'label'?"


@laws
@given(st.text(max_size=60))
def test_legible_text_is_printable_and_short(text: str) -> None:
    shown = legible(text)
    seen = text.isprintable() and not any(unicodedata.category(c)[0] == "M" or HIDDEN.match(c) for c in text)
    assert shown.isprintable() and (shown == text or not seen or len(text) > 40)
    shown.encode("utf-8")


def test_the_idx_folder_takes_no_pipe(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    os.mkfifo(raw / "train-images-idx3-ubyte")
    assert "got no such file" in message(load_idx_folder, "mnist", tmp_path)
