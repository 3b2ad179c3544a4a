"""What the tests of stackae.data share: ways to write files, to damage them, and to read the sentence of an error."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stackae.config import DataConfig
from stackae.data import Source
from stackae.data.arrays.reading import Asked, load_arrays
from stackae.data.formats import FORMATS
from stackae.data.formats.idx import DTYPES
from stackae.data.formats.text_frame import read_frame
from stackae.data.source import checked
from stackae.data.tables.frame import Frame
from stackae.data.tables.sources import source_of
from stackae.errors import DataError

REPO = Path(__file__).parents[1]
TEST_DATA = Path(os.environ.get("STACKAE_TEST_DATA", REPO.parent / "shared" / "data"))
laws = settings(
    max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
needs_data = pytest.mark.skipif(
    not (TEST_DATA / "MNIST" / "raw").is_dir(), reason=f"no MNIST under {TEST_DATA}; set STACKAE_TEST_DATA"
)
TEXT_FORMATS = [(suffix, each.delimiter) for suffix, each in FORMATS.items() if each.delimiter]
TEXT_FORMATS += [(".csv", ";"), (".csv", "\t"), (".txt", " "), (".dat", "|")]
"""Every format of text, with the delimiter that it has and some that it may have."""
finite = st.floats(-1e6, 1e6, width=32)
matrices = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=finite)


def message(load: object, *arguments: object, error: type[Exception] = DataError) -> str:
    with pytest.raises(error) as caught:
        load(*arguments)
    return str(caught.value)


def load_text(path: Path, target: str | None = None, numbers: bool = False, drop: str | None = None) -> Source:
    """A table as training reads it, whose missing cells are refused."""
    kind = "numbers" if numbers else "classes"
    config = DataConfig(data=str(path), target=target, target_kind=kind, drop=drop, missing="refuse")
    return checked(source_of(read_frame(path), config))


def arrays_in(path: Path, inside: str = "", **asked: Any) -> Source:
    return checked(load_arrays(path, Asked(inside, **asked)))


def same_frames(one: Frame, other: Frame) -> None:
    """Asserts that both hold the same columns, rows, lines, notes and dialect."""
    shared = {"columns": (), "numbers": 0, "lines": None}
    assert one.names == other.names and one._replace(**shared) == other._replace(**shared)
    for a, b in zip(one.columns, other.columns, strict=True):
        assert (a.stored, a.texts, a.values.dtype) == (b.stored, b.texts, b.values.dtype)
        np.testing.assert_array_equal(a.values, b.values)
    np.testing.assert_array_equal(one.numbers, other.numbers)
    assert one.lines is not None and other.lines is not None
    assert one.lines(range(len(one.numbers))) == other.lines(range(len(other.numbers)))


def peak_of(read: Callable[[], object]) -> int:
    """The bytes that Python held at most while it read."""
    tracemalloc.start()
    try:
        read()
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def variants(content: bytes) -> list[bytes]:
    """Every truncation, and every byte flipped in two ways."""
    cut = [content[:end] for end in range(len(content))]
    flipped = [
        content[:place] + bytes([content[place] ^ bits]) + content[place + 1 :]
        for place in range(len(content))
        for bits in (0x01, 0xFF)
    ]
    return cut + flipped


@st.composite
def mutated(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """A valid file after one to four flips, cuts, insertions, copies of its own bytes, or splices with another."""
    content = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        kind = draw(st.sampled_from(["flip", "set", "cut", "remove", "insert", "copy", "splice"]))
        length = draw(st.integers(1, 16))
        if kind == "flip" and place < len(content):
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set":
            content[place : place + 4] = draw(st.sampled_from([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"]))
        elif kind == "cut":
            del content[place:]
        elif kind == "remove":
            del content[place : place + length]
        elif kind == "insert":
            content[place:place] = draw(st.binary(min_size=1, max_size=16))
        elif kind == "copy":
            content[place:place] = content[max(0, place - length) : place]
        elif kind == "splice":
            content[place:] = draw(st.sampled_from(files))[place:]
    return bytes(content)


def npy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npy_header(text: str, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text) + 1)
    return b"\x93NUMPY" + version + length + text.encode() + b"\n" + body


def idx_bytes(array: np.ndarray, code: int = 0x08) -> bytes:
    header = struct.pack(f">4B{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(DTYPES[code]).tobytes()


def write_idx_folder(root: Path, count: int = 6, labels: np.ndarray | None = None) -> Path:
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    images = np.arange(count * 6, dtype=np.uint8).reshape(count, 2, 3)
    labels = np.arange(count) % 10 if labels is None else labels
    for part in ("train", "t10k"):
        write(raw / f"{part}-images-idx3-ubyte", idx_bytes(images))
        write(raw / f"{part}-labels-idx1-ubyte.gz", gzip.compress(idx_bytes(labels)))
    return raw


def table(
    path: Path, x: np.ndarray, y: np.ndarray | None = None, names: tuple[str, ...] = ("temp", "press", "flow")
) -> str:
    """A text file of these columns, and of "state" where there are labels, with the delimiter of its format."""
    join = FORMATS[path.suffix].delimiter.join
    lines = [join([*names, *([] if y is None else ["state"])])]
    lines += [join([*map(repr, row), *([] if y is None else [y[at]])]) for at, row in enumerate(x.tolist())]
    path.write_text("\n".join(lines) + "\n")
    return str(path)
