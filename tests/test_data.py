"""Laws of stackae.data: what is read is what was written, every row is used once, and damage is named."""

from __future__ import annotations

import gzip
import io
import math
import os
import shutil
import struct
import sys
import tracemalloc
import types
import urllib.error
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stackae.config import DataConfig
from stackae.data import Part, Scaling, Source, in_order, load_data, load_source, minibatches, scaled_rows
from stackae.data import loading as loading_module
from stackae.data.arrays import load_npy, load_npz
from stackae.data.bounded import read_up_to
from stackae.data.csv import load_csv
from stackae.data.idx import DTYPES, FASHION_NAMES, load_idx_folder, read_idx
from stackae.data.source import checked
from stackae.data.split import hold_out
from stackae.errors import ConfigError, DataError, SetupError

REPO = Path(__file__).parents[1]
TEST_DATA = Path(os.environ.get("STACKAE_TEST_DATA", REPO.parent / "shared" / "data"))
laws = settings(
    max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
needs_data = pytest.mark.skipif(
    not (TEST_DATA / "MNIST" / "raw").is_dir(), reason=f"no MNIST under {TEST_DATA}; set STACKAE_TEST_DATA"
)
finite = st.floats(-1e6, 1e6, width=32)
matrices = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=finite)


def message(load: object, *arguments: object, error: type[Exception] = DataError) -> str:
    with pytest.raises(error) as caught:
        load(*arguments)  # type: ignore[operator]
    return str(caught.value)


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


# ---- source


def test_checked_settles_dtypes() -> None:
    for dtype, expected in (("u1", "u1"), ("i8", "f4"), (">f8", "f4"), ("f2", "f4"), ("?", "f4")):
        x = np.asfortranarray(np.eye(3, 2).astype(dtype))
        source = checked(Source("s", x, y=np.array([0, -1, 1], np.int8), classes=("a", "b")))
        assert source.x.dtype == np.dtype(expected) and source.x.flags.c_contiguous
        assert source.y is not None and source.y.dtype == np.int64
        np.testing.assert_array_equal(source.x, x)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,)])
def test_checked_refuses_no_cells(shape: tuple[int, ...]) -> None:
    assert message(checked, Source("s", np.zeros(shape))).startswith(
        f"s: expected at least one row and one column, got shape {shape}"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
def test_checked_names_the_first_bad_cell(value: float) -> None:
    x = np.zeros((5, 4))
    x[2, 3] = x[4, 0] = value
    expected = f"got {np.float64(value)} at row 2, column 3 (counted from 0), 2 such cells in all"
    assert expected in message(checked, Source("s", x))
    assert "s (test part): expected finite" in message(checked, Source("s", np.zeros((1, 4)), x_test=x))


def test_checked_refuses_what_does_not_fit() -> None:
    x, y = np.zeros((3, 2)), np.zeros(3, np.int64)
    assert "expected real numbers, got complex128" in message(checked, Source("s", x.astype(complex)))
    assert "one label a row, 3 in all, got labels of shape (2,)" in message(checked, Source("s", x, y[:2], ("a",)))
    assert "expected labels from 0 to 0, or -1 for none, got 4" in message(checked, Source("s", x, y + 4, ("a",)))
    assert "or -1 for none, got -2" in message(checked, Source("s", x, y - 2, ("a",)))
    assert "expected rows of 2 numbers as in the training part, got 5" in message(
        checked, Source("s", x, x_test=np.zeros((3, 5)))
    )
    short = Source("s", x, y, ("a",), np.zeros((4, 2)), y)
    assert "s (test part): expected one label a row, 4 in all" in message(checked, short)


# ---- IDX


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


@laws
@given(st.sampled_from(sorted(DTYPES)), hnp.array_shapes(max_dims=4, max_side=5), st.booleans(), st.data())
def test_idx_round_trip(tmp_path: Path, code: int, shape: tuple[int, ...], zipped: bool, data: st.DataObject) -> None:
    dtype = np.dtype(DTYPES[code])
    elements = {"allow_nan": False} if dtype.kind == "f" else None
    array = data.draw(hnp.arrays(dtype.newbyteorder("="), shape, elements=elements))
    content = idx_bytes(array, code)
    read = read_idx(write(tmp_path / "a", gzip.compress(content) if zipped else content))
    assert read.dtype == array.dtype and read.dtype.isnative
    np.testing.assert_array_equal(read, array)


def test_idx_damage_is_always_found(tmp_path: Path) -> None:
    array = np.arange(12).reshape(3, 2, 2)
    plain = idx_bytes(array)
    for content in variants(plain)[: len(plain)]:
        message(read_idx, write(tmp_path / "a", content))
    for place in range(16):  # a flipped byte of the header never yields an array of other bytes than there are
        for bits in (0x01, 0x08, 0xFF):
            content = plain[:place] + bytes([plain[place] ^ bits]) + plain[place + 1 :]
            try:
                assert read_idx(write(tmp_path / "a", content)).nbytes == 12  # unsigned bytes became signed ones
            except DataError as error:
                assert str(tmp_path / "a") in str(error)
    zipped = gzip.compress(plain)
    for number, content in enumerate(variants(zipped)):
        path = write(tmp_path / "a", content)
        if number < len(zipped):
            assert str(path) in message(read_idx, path)
            continue
        try:
            np.testing.assert_array_equal(read_idx(path), array)
        except DataError as error:
            assert str(path) in str(error)


def test_idx_sentences(tmp_path: Path) -> None:
    plain = idx_bytes(np.arange(12).reshape(3, 2, 2))
    path = tmp_path / "a"

    def of(content: bytes) -> str:
        return message(read_idx, write(path, content))

    assert of(plain[:-5]) == (
        f"{path}: expected 28 bytes as its header declares, got 23; the file is cut short, fetch it again"
    )
    assert "expected 28 bytes as its header declares, got 30; the file has bytes after its end" in of(plain + b"ab")
    assert "expected 16 bytes as its header declares, got 10; the file is cut short" in of(plain[:10])
    assert "expected an IDX file" in of(b"") and "the first bytes none" in of(b"")
    assert "got the first bytes 00 00 08 00" in of(b"\0\0\x08\0")
    assert "expected at least one element, got sizes (3, 0)" in of(struct.pack(">4B2I", 0, 0, 8, 2, 3, 0))
    assert "got 23; the file is cut short" in of(gzip.compress(plain[:-5]))
    assert "expected 28 bytes as its header declares, got at least 29" in of(gzip.compress(plain + b"ab"))
    cut = of(gzip.compress(plain)[:-8])
    assert "expected 29 bytes or the end of the file, got 28 bytes and then damaged data" in cut
    terabytes = gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 2**31, 2**31, 28))
    assert "bytes that cannot hold them" in of(terabytes)


def test_bombs_are_not_unpacked(tmp_path: Path) -> None:
    bomb = gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, 1000) + bytes(64 << 20), 9)
    path = write(tmp_path / "bomb", bomb)
    tracemalloc.start()
    assert "expected 1008 bytes as its header declares, got at least 1009" in message(read_idx, path)
    declared = struct.pack(">4BI", 0, 0, 8, 1, 60 << 20) + bytes(100)
    padded = gzip.compress(declared) + bytes(60 << 10)  # a size that the file could hold, and does not
    assert "got 108; the file is cut short" in message(read_idx, write(path, padded))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_idx_folder(tmp_path: Path) -> None:
    raw = write_idx_folder(tmp_path)
    source = checked(load_idx_folder("mnist", tmp_path))
    assert source.x.shape == (6, 6) and source.x.dtype == np.uint8 and source.image_shape == (2, 3)
    assert source.x_test is not None and source.y_test is not None
    np.testing.assert_array_equal(source.y_test, np.arange(6))
    shutil.copy(raw / "train-images-idx3-ubyte", raw / "keep")
    labels = raw / "t10k-labels-idx1-ubyte.gz"
    write(labels, idx_bytes(np.arange(5)))
    assert f"{labels}: expected 6 labels" in message(load_idx_folder, "mnist", tmp_path)
    write(labels, idx_bytes(np.arange(5), 0x0C))
    assert "expected labels of shape (n,) uint8, got (5,) int32" in message(load_idx_folder, "mnist", tmp_path)
    write(raw / "train-images-idx3-ubyte", idx_bytes(np.arange(6)))
    assert "expected images of shape (n, h, w), got (6,)" in message(load_idx_folder, "mnist", tmp_path)
    labels.unlink()
    shutil.copy(raw / "keep", raw / "train-images-idx3-ubyte")
    missing = message(load_idx_folder, "mnist", tmp_path)
    assert missing.startswith(f"{raw.absolute() / 't10k-labels-idx1-ubyte'}: expected this file")
    assert "--data-root DIR" in missing and "torchvision:MNIST" in missing


def test_idx_folder_labels_must_be_classes(tmp_path: Path) -> None:
    write_idx_folder(tmp_path, labels=np.full(6, 11))
    config = DataConfig(data="mnist", data_root=str(tmp_path))
    assert "expected labels from 0 to 9, or -1 for none, got 11" in message(load_source, config)


@needs_data
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_real_sets(name: str) -> None:
    source = load_source(DataConfig(data=name, data_root=str(TEST_DATA)))
    assert source.x.shape == (60000, 784) and source.x.dtype == np.uint8 and source.image_shape == (28, 28)
    assert source.x_test is not None and source.x_test.shape == (10000, 784)
    assert source.y is not None and set(source.y.tolist()) == set(range(10))
    assert source.classes == (FASHION_NAMES if name == "fashion-mnist" else tuple("0123456789"))


# ---- .npy and .npz


def npy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npy_header(text: str, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text) + 1)
    return b"\x93NUMPY" + version + length + text.encode() + b"\n" + body


real_dtypes = st.sampled_from(["u1", "i1", ">i2", "<i4", ">u4", "<f2", ">f4", "f8", "?"])


@laws
@given(real_dtypes, hnp.array_shapes(min_dims=2, max_dims=4, max_side=4), st.sampled_from("CFS"), st.data())
def test_npy_round_trip(tmp_path: Path, dtype: str, shape: tuple[int, ...], order: str, data: st.DataObject) -> None:
    elements = st.floats(-1000, 1000, width=16) if "f" in dtype else None
    native = data.draw(hnp.arrays(np.dtype(dtype).newbyteorder("="), shape, elements=elements))
    array = native.astype(dtype)
    array = np.repeat(array, 2, axis=-1)[..., ::2] if order == "S" else np.asarray(array, order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", x=array, x_test=array)
    for read in (load_npy, load_npz):
        source = checked(read(tmp_path / f"a.{read.__name__[-3:]}"))
        np.testing.assert_array_equal(source.x, native.reshape(len(native), -1).astype(source.x.dtype))
        expected = None if len(shape) == 2 else shape[1:3] if shape[3:] == (1,) else shape[1:]
        assert source.image_shape == expected and source.y is None
    assert source.x_test is not None
    np.testing.assert_array_equal(source.x_test, source.x)


def test_npy_sentences(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"

    def of(content: bytes | np.ndarray) -> str:
        return message(load_npy, write(path, npy_bytes(content) if isinstance(content, np.ndarray) else content))

    good = npy_bytes(np.ones((3, 4), np.float32))
    assert f"expected {len(good)} bytes as its header declares, got {len(good) - 1}; the file is cut" in of(good[:-1])
    assert f"got {len(good) + 1}; the file has bytes after its end" in of(good + b"x")
    huge = npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 784), }")
    assert f"got {len(huge)}; the file is cut short" in of(huge)
    for text in ("(0, 10**30)", "(-1, -1)", "((", "[" * 5000, "(1, 2.0)", "\0"):
        assert str(path) in of(npy_header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {text}, }}", bytes(8)))
    assert "at least one element" in of(npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1), }"))
    assert "got format version 3.0" in of(npy_header("{}", version=b"\x03\x00"))
    assert "expected an array as numpy.save writes it" in of(b"") and "as numpy.save writes it" in of(b"text,1,2\n")
    assert "expected at least one element, got shape (0, 4)" in of(np.ones((0, 4)))
    assert "expected shape (n, d), (n, h, w) or (n, h, w, channels), got (5,)" in of(np.ones(5))
    for array in (np.ones((2, 2), complex), np.full((2, 2), "a"), np.zeros((2, 2), [("f", "f4")])):
        assert f"expected an array of real numbers, got {array.dtype}" in of(array)
    pickled = io.BytesIO()
    np.save(pickled, np.array([[1, None]], object), allow_pickle=True)
    assert "expected an array of real numbers, got object" in of(pickled.getvalue())


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_damage_never_alters_a_value(tmp_path: Path, save: object) -> None:
    x, y = np.arange(6, dtype=np.float32).reshape(3, 2), np.array([0, 1, 0], np.int8)
    path = tmp_path / "a.npz"
    save(path, x=x, y=y)  # type: ignore[operator]
    content = path.read_bytes()
    for number, damaged in enumerate(variants(content)):
        write(path, damaged)
        try:
            source = load_npz(path)
        except DataError as error:
            assert str(path) in str(error)
            continue
        assert number >= len(content), "a truncated archive was read"
        np.testing.assert_array_equal(source.x, x)
        assert source.y is None or source.y.tolist() == [0, 1, 0]


def test_npy_damage_yields_an_error_or_a_whole_array(tmp_path: Path) -> None:
    content = npy_bytes(np.arange(6, dtype=np.float32).reshape(3, 2))
    path = tmp_path / "a.npy"
    for number, damaged in enumerate(variants(content)):
        write(path, damaged)
        try:
            source = load_npy(path)
        except DataError as error:
            assert str(path) in str(error)
            continue
        assert number >= len(content) and 0 < source.x.nbytes <= 24


@laws
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\x93NUMPY\x01\0", b"\x1f\x8b\x08\0", b"\0\0\x08\x01", b"PK\3\4"])
)
def test_noise_is_a_data_error_or_data(tmp_path: Path, noise: bytes, magic: bytes) -> None:
    path = write(tmp_path / "noise", magic + noise)
    for read in (load_npy, load_npz, load_csv, read_idx):
        try:
            read(path)
        except DataError as error:
            assert str(path) in str(error)


def npz(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_npz_labels(tmp_path: Path) -> None:
    x, path = np.ones((4, 2)), tmp_path / "a.npz"
    source = checked(load_npz(npz(path, x=x, y=np.array([20, -1, 3, 20], ">i4"))))
    assert source.classes == ("3", "20") and source.y is not None and source.y.tolist() == [1, -1, 0, 1]
    source = checked(load_npz(npz(path, x=x, y=["b", "", "a", "b"], x_test=x[:1], y_test=["c"])))
    assert source.classes == ("a", "b", "c") and source.y is not None and source.y.tolist() == [1, -1, 0, 1]
    assert source.y_test is not None and source.y_test.tolist() == [2]
    source = checked(load_npz(npz(path, x=x, y=np.array([b"b", b"", b"\xc3\xa9", b"b"]))))
    assert source.classes == ("b", "é")
    source = checked(load_npz(npz(path, x=x, y=np.full(4, -1))))
    assert source.classes == () and source.y is not None and source.y.tolist() == [-1] * 4


@laws
@given(st.lists(st.integers(-1, 5), min_size=1, max_size=30))
def test_npz_labels_name_what_was_written(tmp_path: Path, labels: list[int]) -> None:
    source = load_npz(npz(tmp_path / "a.npz", x=np.ones((len(labels), 1)), y=labels))
    assert source.y is not None
    assert [int(source.classes[index]) if index >= 0 else -1 for index in source.y] == labels
    assert list(source.classes) == sorted({str(label) for label in labels if label >= 0})


def test_npz_sentences(tmp_path: Path) -> None:
    x, path = np.ones((3, 2)), tmp_path / "a.npz"

    def of(**arrays: object) -> str:
        return message(lambda: checked(load_npz(npz(path, **arrays))))

    assert "expected an array named x, got X, y; save it by numpy.savez" in of(X=x, y=[1, 2, 3])
    assert "expected an array named x, got no arrays" in of()
    assert "a.npz: expected one label a row, 3 in all, got labels of shape (2,)" in of(x=x, y=[1, 2])
    assert "y: expected an array of integers or strings, got float64" in of(x=x, y=[1.0, 2.0, 3.0])
    assert "expected labels y of shape (n,), integers or strings, got shape (3, 1)" in of(x=x, y=[[1], [2], [3]])
    assert "expected y and y_test of one kind, got <U1 and int64" in of(x=x, x_test=x, y=["a"] * 3, y_test=[1] * 3)
    assert "expected class numbers from 0, or -1 for no label, got -3" in of(x=x, y=[-3, 0, 1])
    assert "expected labels of valid text, got 'utf-8' codec" in of(x=x, y=np.array([b"\xff", b"a", b"b"]))
    assert "expected x_test along with y_test" in of(x=x, y=[1, 2, 3], y_test=[1])
    assert "x_test: expected rows of shape (2,) as in x, got (2, 2)" in of(x=x, x_test=np.ones((3, 2, 2)))
    assert "expected rows of 2 numbers as in the training part, got 3" in of(x=x, x_test=np.ones((3, 3)))
    assert "x: expected an array of real numbers, got complex128" in of(x=x.astype(complex))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", npy_bytes(x))
    assert "x: expected numpy's compression (stored or deflated), got method 14" in message(load_npz, path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 9), }"))
    assert "x: expected 72000000000" in message(load_npz, path)
    assert "expected a .npz archive, got damaged data (File is not a zip file)" in message(load_npz, write(path, "x"))


def test_read_up_to_stops_at_the_count() -> None:
    assert read_up_to(io.BufferedReader(io.BytesIO(bytes(100))), 10, "a") == bytes(10)  # type: ignore[arg-type]


# ---- CSV


@laws
@given(matrices, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.integers(0, 2))
def test_csv_round_trip(tmp_path: Path, x: np.ndarray, end: str, mark: bool, blank: int) -> None:
    names = [f"c{column}" for column in range(x.shape[1])]
    lines = [",".join(names), *(",".join(repr(float(cell)) for cell in row) for row in x)]
    content = (b"\xef\xbb\xbf" if mark else b"") + end.join(lines).encode() + end.encode() * blank
    source = checked(load_csv(write(tmp_path / "a.csv", content)))
    assert source.column_names == tuple(names) and source.y is None and source.classes == ()
    np.testing.assert_array_equal(source.x, x)


def test_csv_target(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'age, "kind",w\n1,cat,2\n"3",,4\n5, dog,6\n7,cat,1e1\n')
    with pytest.raises(DataError):
        load_csv(path, "kind")  # a quote after a blank is no quote
    path = write(tmp_path / "a.csv", 'age,"kind",w\n1,cat,2\n"3",,4\n5, dog,6\n7,cät_1, 1e1\n')
    source = checked(load_csv(path, "kind"))
    assert source.classes == ("cat", "cät_1", "dog") and source.column_names == ("age", "w")
    assert source.y is not None and source.y.tolist() == [0, -1, 2, 1]
    np.testing.assert_array_equal(source.x, [[1, 2], [3, 4], [5, 6], [7, 10]])


def test_csv_numeric_target_is_sorted_by_value(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,y\n0,10\n0,9\n0,\n0,-1\n0,9.0\n0,9007199254740993\n0,9007199254740992\n")
    source = load_csv(path, "y")
    assert source.classes == ("-1", "9", "10", "9007199254740992", "9007199254740993")
    assert source.y is not None and source.y.tolist() == [2, 1, -1, 0, 1, 4, 3]
    assert load_csv(write(path, "a,y\n0,10\n0,9\n0,x\n"), "y").classes == ("10", "9", "x")
    assert load_csv(write(path, "a,y\n0,1\n0,nan\n"), "y").classes == ("1", "nan")


BAD_CELLS = {
    "abc": "'abc' is not a number",
    "": "'' is not a number",
    "1_000": "'1_000' is not a number",
    "\u0661": "'\u0661' is not a number",
    "0x10": "'0x10' is not a number",
    "nan": "'nan' is not a finite number",
    "-Inf": "'-Inf' is not a finite number",
    "1e300": "'1e300' is too large for a 32-bit number",
    "1e999": "'1e999' is too large for a 32-bit number",
    "z" * 50: f"'{'z' * 40}...' is not a number",
}


@pytest.mark.parametrize("cell", BAD_CELLS)
def test_csv_names_the_bad_cell(tmp_path: Path, cell: str) -> None:
    path = write(tmp_path / "a.csv", f'id,note,age\n1,x,2\n2,"two\nlines",3\n3,y,{cell}\n4,y,5\n')
    assert message(load_csv, path, "note") == f"{path}:5: column 'age' (3): {BAD_CELLS[cell]}"


@laws
@given(matrices, st.data())
def test_csv_finds_every_bad_cell(tmp_path: Path, x: np.ndarray, data: st.DataObject) -> None:
    cells = [[repr(float(cell)) for cell in row] for row in x]
    places = st.tuples(st.integers(0, x.shape[0] - 1), st.integers(0, x.shape[1] - 1))
    bad = sorted(data.draw(st.sets(places, min_size=1)))
    for row, column in bad:
        cells[row][column] = "?"
    header = ",".join(f"c{column}" for column in range(x.shape[1]))
    path = write(tmp_path / "a.csv", "\n".join([header, *map(",".join, cells)]))
    expected = [f"{path}:{row + 2}: column 'c{column}' ({column + 1}): '?' is not a number" for row, column in bad]
    if len(bad) > 10:
        expected = [*expected[:10], f"{len(bad)} problems in all, the first 10 are shown"]
    assert message(load_csv, path) == "\n".join(expected)


def test_csv_sentences(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"

    def of(content: bytes | str, target: str | None = None) -> str:
        return message(load_csv, write(path, content), target)

    assert of("a,b\n1,2\n1\n1,2,3\n") == (
        f"{path}:3: expected 2 cells as in the header, got 1\n{path}:4: expected 2 cells as in the header, got 3"
    )
    assert of("a\n1\n\n2\n") == f"{path}:3: expected 1 cells as in the header, got 0"
    assert "header line that names the columns, got an empty file" in of("")
    assert "header line that names the columns, got an empty line" in of("\n1,2\n")
    assert "header line that names the columns, got numbers (1, 2.5)" in of("1,2.5\n3,4\n")
    assert "expected rows of numbers below the header line, got none" in of("a,b\n")
    assert "expected a name of its own for each column, got 'a' twice" in of("a,b, a\n1,2,3\n")
    assert "besides the target 'a', got none" in of("a\n1\n", "a")
    missing = of("age,label\n1,2\n", "lable")
    assert "a column named 'lable' for the target, got columns age, label; did you mean 'label'?" in missing
    wide = ",".join(f"c{column}" for column in range(30))
    assert "c19 and 10 more; name one of them" in of(wide + "\n", "zzz")
    assert "expected UTF-8 text, got byte 0xff; save it as UTF-8" in of(b"a,b\n1,2\n\xff,1\n")
    assert f"{path}:3: expected comma-separated cells, got" in of('a,b\n1,2\n"3,4\n')


# ---- digits and torchvision


def test_digits() -> None:
    source = load_source(DataConfig(data="digits"))
    assert source.x.shape == (1797, 784) and source.x.dtype == np.uint8 and source.image_shape == (28, 28)
    assert source.x.min() == 0 and source.x.max() == 255 and source.x_test is None
    assert source.y is not None and np.bincount(source.y).sum() == 1797 and len(source.classes) == 10
    again = load_source(DataConfig(data="digits"))
    np.testing.assert_array_equal(source.x, again.x)


class FakeImages:
    """A set as torchvision has them: train or test part, downloaded on request."""

    images: object = np.arange(5 * 4 * 4 * 3, dtype=np.uint8).reshape(5, 4, 4, 3)
    failure: Exception | None = None

    def __init__(self, root: str, train: bool = True, download: bool = False) -> None:
        if self.failure is not None:
            raise self.failure
        assert download and root
        self.data = self.images if train else self.images[:2]  # type: ignore[index]
        self.targets = [0, 1, 2, 1, 0] if train else [2, 0]
        self.classes = ["plane", "car", "bird"]


class FakeSplits:
    """As SVHN: a split, channels before height, labels instead of targets, no class names."""

    def __init__(self, root: str, split: str = "train", download: bool = False) -> None:
        count = {"train": 5, "test": 2}[split]
        self.data = np.arange(count * 48).reshape(count, 3, 4, 4).astype(np.uint8)
        self.labels = np.arange(count)


def vision(name: str, root: Path) -> Source:
    return load_source(DataConfig(data=f"torchvision:{name}", data_root=str(root)))


def test_vision_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    monkeypatch.setattr(datasets, "FakeImages", FakeImages, raising=False)
    monkeypatch.setattr(datasets, "FakeSplits", FakeSplits, raising=False)
    source = vision("FakeImages", tmp_path)
    assert source.x.shape == (5, 48) and source.image_shape == (4, 4, 3) and source.classes[1] == "car"
    assert source.y_test is not None and source.y_test.tolist() == [2, 0]
    source = vision("FakeSplits", tmp_path)
    assert source.image_shape == (4, 4, 3) and source.classes == ("0", "1", "2", "3", "4")
    np.testing.assert_array_equal(source.x[0].reshape(4, 4, 3)[..., 1].ravel(), np.arange(16, 32))
    monkeypatch.setattr(FakeImages, "images", torch.ones(5, 4, 4, dtype=torch.uint8))
    assert vision("FakeImages", tmp_path).image_shape == (4, 4)


def test_vision_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    monkeypatch.setattr(datasets, "FakeImages", FakeImages, raising=False)
    assert "got 'mnist'; did you mean 'MNIST'?" in message(vision, "mnist", tmp_path)
    assert "got 'CIFAR1O'; did you mean 'CIFAR10'?" in message(vision, "CIFAR1O", tmp_path)
    assert "expected a set that can be downloaded" in message(vision, "FakeData", tmp_path)
    monkeypatch.setattr(FakeImages, "images", np.zeros(5))
    assert "expected images of one size in .data, got shape (5,)" in message(vision, "FakeImages", tmp_path)
    for failure in (urllib.error.URLError("no network"), RuntimeError("no network"), ConnectionError("no network")):
        monkeypatch.setattr(FakeImages, "failure", failure)
        text = message(vision, "FakeImages", tmp_path)
        assert f"expected the train part under {tmp_path} or a download of it, got" in text and "no network" in text
    monkeypatch.setattr(FakeImages, "failure", ModuleNotFoundError("No module named 'scipy'"))
    text = message(vision, "FakeImages", tmp_path, error=SetupError)
    assert "expected what torchvision needs to read it, got No module named 'scipy'; install it" in text


def test_vision_without_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.delitem(sys.modules, "torchvision.datasets", raising=False)
    assert "pip install torchvision, in the build that matches" in message(vision, "MNIST", tmp_path, error=SetupError)


@needs_data
def test_vision_reads_a_downloaded_mnist_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchvision.datasets")

    def no_network(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (TEST_DATA / "MNIST" / "raw").glob("*-ubyte.gz"):  # torchvision insists on its own .gz by MD5
        write(raw / path.stem, gzip.decompress(path.read_bytes()))
    ours = load_source(DataConfig(data="mnist", data_root=str(TEST_DATA)))
    theirs = vision("MNIST", tmp_path)
    np.testing.assert_array_equal(ours.x, theirs.x)
    np.testing.assert_array_equal(ours.y, theirs.y)
    assert "no network" in message(vision, "KMNIST", tmp_path)


# ---- scaling


@laws
@given(matrices, st.sampled_from(["none", "unit", "minmax", "standard", "auto"]))
def test_scaling_laws(x: np.ndarray, kind: str) -> None:
    scaling = Scaling.fit(kind, x)
    scaled = scaling.transform(x)
    assert scaled.dtype == torch.float32 and torch.isfinite(scaled).all()
    back = scaling.inverse_transform(scaled)
    torch.testing.assert_close(back, torch.from_numpy(x), rtol=1e-5, atol=4e-7 * float(np.abs(x).max()))
    torch.testing.assert_close(scaling.transform(torch.from_numpy(x)), scaled, rtol=0, atol=0)
    constant = torch.from_numpy(x.min(axis=0) == x.max(axis=0))
    if scaling.kind in ("minmax", "standard"):
        assert (scaled[:, constant] == 0).all()
    assert scaling.offset.shape == scaling.scale.shape == (x.shape[1],)
    if scaling.kind == "minmax":
        assert scaled.min() >= 0 and (scaled.max(dim=0).values[~constant] == 1).all()
        assert (scaled.min(dim=0).values == 0).all()
    if scaling.kind == "unit":
        assert scaled.abs().max() == (1 if x.any() else 0)
    if kind == "auto":
        assert scaling.kind == ("none" if x.min() >= 0 and x.max() <= 1 else "minmax")


def test_scaling_of_bytes_is_exact() -> None:
    x = np.arange(256, dtype=np.uint8).reshape(64, 4)
    scaling = Scaling.fit("auto", x)
    scaled = scaling.transform(x)
    assert scaling.kind == "unit" and scaled[-1, -1] == 1.0 and scaled[0, 0] == 0.0
    assert Scaling.fit("unit", x // 2).transform(x)[-1, -1] == 1.0
    torch.testing.assert_close(scaling.inverse_transform(scaled).round().to(torch.uint8), torch.from_numpy(x))


def test_standard_scaling_has_mean_0_and_variance_1(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    x = (generator.normal(size=(1000, 3)) * [1, 1e-3, 50] + [1000, 0, -7]).astype(np.float32)
    whole = Scaling.fit("standard", x)
    scaled = whole.transform(x).double()
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-4)
    torch.testing.assert_close(scaled.var(dim=0, correction=0), torch.ones(3, dtype=torch.float64), rtol=1e-4, atol=0)
    monkeypatch.setattr("stackae.data.scaling.CHUNK_CELLS", 10)
    pieces = Scaling.fit("standard", x)
    torch.testing.assert_close(pieces.scale, whole.scale, rtol=1e-6, atol=0)
    tiny = np.array([[0], [1e-45]], np.float32)
    assert torch.isfinite(Scaling.fit("standard", tiny).transform(tiny)).all()


@pytest.mark.parametrize("array", [np.eye(4, 3), np.eye(4, 3, dtype=">f4"), np.asfortranarray(np.eye(4, 3)),
                                   np.eye(4, 3)[::-1], np.eye(4, 3, dtype=np.int64)])  # fmt: skip
def test_transform_takes_any_layout_and_keeps_the_input(array: np.ndarray) -> None:
    array.flags.writeable = False
    before = array.copy()
    scaled = Scaling("minmax", torch.ones(3), torch.full((3,), 2.0)).transform(array)
    np.testing.assert_array_equal(scaled.numpy(), (before - 1) / 2)
    np.testing.assert_array_equal(array, before)
    tensor = torch.ones(2, 3)
    Scaling("minmax", torch.ones(3), torch.full((3,), 2.0)).transform(tensor)
    assert (tensor == 1).all()


def test_scaling_sentences() -> None:
    x = np.eye(3, dtype=np.float32)
    assert "expected rows of 3 numbers, got shape (2, 5)" in message(
        Scaling.fit("minmax", x).transform, np.ones((2, 5))
    )
    narrow = Scaling.fit("minmax", x[:, :1])
    assert "expected rows of 1 numbers, got shape (2, 5)" in message(narrow.transform, np.ones((2, 5)))
    assert "expected rows of 1 numbers" in message(narrow.inverse_transform, torch.ones(2, 5))
    assert "expected rows of 3 numbers, got shape (4,)" in message(Scaling.fit("none", x).transform, np.ones(4))
    assert "got 'minmx'; did you mean 'minmax'?" in message(Scaling.fit, "minmx", x, error=ConfigError)
    wide = np.array([[0, -3e38], [0, 3e38]], np.float32)
    for kind in ("minmax", "standard"):
        assert "got -3e+38 to 3e+38 in column 1 (counted from 0)" in message(Scaling.fit, kind, wide)


def test_scaling_as_tensors() -> None:
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    for kind in ("none", "unit", "minmax", "standard"):
        scaling = Scaling.fit(kind, x)
        again = Scaling.from_tensors(scaling.kind, scaling.to_tensors())
        torch.testing.assert_close(again.transform(x), scaling.transform(x), rtol=0, atol=0)
    one, two = torch.ones(1), torch.ones(2)
    bad: list[tuple[str, dict[str, torch.Tensor]]] = [
        ("auto", {"offset": one, "scale": one}), ("unit", {"offset": one}),
        ("minmax", {"offset": two, "scale": one}), ("minmax", {"offset": two, "scale": two * 0}),
        ("minmax", {"offset": two.double(), "scale": two.double()}), ("minmax", {"offset": two / 0, "scale": two}),
    ]  # fmt: skip
    for kind, tensors in bad:
        assert f"above 0, got '{kind}' and" in message(Scaling.from_tensors, kind, tensors)


# ---- splits and batches

label_lists = st.none() | st.lists(st.integers(-1, 4), min_size=1, max_size=80)


@laws
@given(label_lists, st.integers(1, 80), st.floats(0, 0.99), st.integers(0, 2**63 - 1), st.integers(0, 1))
def test_hold_out_laws(labels: list[int] | None, count: int, fraction: float, seed: int, which: int) -> None:
    y = None if labels is None else np.array(labels)
    count = count if y is None else len(y)
    kept, held = hold_out(y, count, fraction, seed, which)
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(count))
    assert (np.diff(kept) > 0).all() and (np.diff(held) > 0).all() and len(kept) >= 1
    assert (len(held) > 0) == (fraction > 0 and count >= 2)
    again = hold_out(y, count, fraction, seed, which)
    np.testing.assert_array_equal(held, again[1])
    groups = np.zeros(count, int) if y is None else y
    shares = {group: round(fraction * int((groups == group).sum())) for group in np.unique(groups).tolist()}
    rounded = {group: min(share, int((groups == group).sum()) - 1) for group, share in shares.items()}
    found = {group: int((groups[held] == group).sum()) for group in rounded}
    assert found == rounded if any(rounded.values()) else sum(found.values()) <= 1


def test_hold_out_depends_on_seed_and_which() -> None:
    splits = [hold_out(None, 200, 0.3, seed, which)[1].tolist() for seed, which in ((0, 0), (0, 1), (1, 0))]
    assert splits[0] != splits[1] != splits[2] != splits[0]


@laws
@given(st.integers(0, 200), st.integers(1, 300), st.integers(0, 2**63 - 1), st.integers(0, 9))
def test_minibatches_use_every_row_once(count: int, batch_size: int, seed: int, epoch: int) -> None:
    batches = list(minibatches(count, batch_size, seed=seed, layer=1, epoch=epoch))
    assert sorted(int(row) for batch in batches for row in batch) == list(range(count))
    assert all(batch.dtype == torch.int64 for batch in batches)
    assert all(len(batch) == batch_size for batch in batches[:-1]) and all(len(batch) >= 1 for batch in batches)
    again = list(minibatches(count, batch_size, seed=seed, layer=1, epoch=epoch))
    assert all(torch.equal(*pair) for pair in zip(batches, again, strict=True))
    assert [row for piece in in_order(count, batch_size) for row in range(count)[piece]] == list(range(count))


def test_minibatches_differ_by_epoch_layer_and_seed() -> None:
    choices = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    orders = {
        tuple(next(minibatches(50, 50, seed=seed, layer=layer, epoch=epoch)).tolist()) for seed, layer, epoch in choices
    }
    assert len(orders) == 4


# ---- load_source and load_data


def test_load_source_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def of(data: str, error: type[Exception] = DataError, **options: str) -> str:
        return message(load_source, DataConfig(data=data, **options), error=error)

    assert of("mnits") == (
        "data: expected digits, mnist, fashion-mnist, torchvision:NAME or a path ending in .npy, .npz or .csv, "
        "got 'mnits'; did you mean 'mnist'?"
    )
    assert f"got '{tmp_path}/no.csv': no such file" in of(f"{tmp_path}/no.csv")
    assert f"got '{tmp_path}' (a directory)" in of(str(tmp_path))
    (tmp_path / "folder.npy").mkdir()
    assert "folder.npy' (a directory)" in of(str(tmp_path / "folder.npy"))
    assert "a.txt' (a file of another kind)" in of(str(write(tmp_path / "a.txt", "1")))
    assert "target: expected none for digits, got 'age'" in of("digits", ConfigError, target="age")

    def fail(error: Exception) -> None:
        def read(_: DataConfig) -> None:
            raise error

        monkeypatch.setattr(loading_module, "_read", read)

    fail(PermissionError("Permission denied"))
    assert of("digits") == "digits: expected files that can be read, got Permission denied; check them"
    fail(MemoryError())
    assert of("digits").startswith("digits: expected data that fit in the memory, got more")


def test_load_source_by_suffix(tmp_path: Path) -> None:
    x = np.arange(6.0).reshape(3, 2)
    np.save(tmp_path / "a.NPY", x)
    (tmp_path / "a.NPY.npy").rename(tmp_path / "a.NPY")
    np.savez(tmp_path / "a.npz", x=x)
    write(tmp_path / "a.csv", "a,b,y\n0,1,k\n2,3,l\n4,5,k\n")
    for name, target in (("a.NPY", None), ("a.npz", None), ("a.csv", "y")):
        source = load_source(DataConfig(data=str(tmp_path / name), target=target))
        np.testing.assert_array_equal(source.x, x)
        assert source.name == str(tmp_path / name)


def numbered(path: Path, rows: int, own_test: bool) -> str:
    """A file whose first column is the number of the row, 1000 and on in its own test part."""
    x = np.stack([np.arange(rows), np.ones(rows)], axis=1)
    arrays = {"x": x, "y": np.arange(rows) % 3 - 1}
    if own_test:
        arrays |= {"x_test": x + 1000, "y_test": arrays["y"]}
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return str(path)


@laws
@given(st.integers(1, 60), st.booleans(), st.floats(0, 0.95), st.floats(0, 0.95))
def test_load_data_uses_every_row_once(
    tmp_path: Path, rows: int, own_test: bool, validation: float, test: float
) -> None:
    config = DataConfig(
        data=numbered(tmp_path / "a.npz", rows, own_test),
        scale="none",
        validation_fraction=validation,
        test_fraction=test,
    )
    dataset = load_data(config)
    numbers = [set(part.x[:, 0].int().tolist()) for part in (dataset.train, dataset.validation, dataset.test)]
    assert sum(len(part.x) for part in dataset[1:4]) == len(set.union(*numbers)) == rows * (1 + own_test)
    assert len(dataset.train.x) >= 1 and (len(dataset.validation.x) == 0 or validation > 0)
    assert not own_test or numbers[2] == set(range(1000, 1000 + rows))
    for part in (dataset.train, dataset.validation, dataset.test):
        assert part.y is not None and part.x.shape == (len(part.y), 2)
        names = [int(dataset.classes[index]) if index >= 0 else -1 for index in part.y]
        assert names == [int(number) % 1000 % 3 - 1 for number in part.x[:, 0]]


@pytest.mark.parametrize("kind", ["minmax", "standard", "unit", "auto"])
def test_scaling_is_fitted_on_the_training_part_alone(tmp_path: Path, kind: str) -> None:
    config = DataConfig(data=numbered(tmp_path / "a.npz", 50, False), scale=kind)
    raw = load_data(config.model_copy(update={"scale": "none"}))
    width = raw.train.x.shape[1]
    scaled = load_data(config)
    alone = Scaling.fit(kind, raw.train.x.numpy())
    assert scaled.config == config.model_copy(update={"scale": alone.kind}) and scaled.scaling.kind == alone.kind
    for before, after in zip(raw[1:4], scaled[1:4], strict=True):
        torch.testing.assert_close(after.x, alone.transform(before.x), rtol=0, atol=0)
    given_scaling = load_data(config, scaling=Scaling("unit", torch.zeros(width), torch.full((width,), 2.0)))
    torch.testing.assert_close(given_scaling.test.x, raw.test.x / 2, rtol=0, atol=0)
    assert given_scaling.config.scale == "unit"
    other = Scaling("minmax", torch.zeros(width + 1), torch.ones(width + 1))
    assert f"expected rows of {width + 1} numbers, got shape" in message(load_data, config, other)


def test_the_test_part_does_not_depend_on_the_validation_fraction() -> None:
    few, many = (load_data(DataConfig(validation_fraction=fraction)) for fraction in (0.0, 0.5))
    assert torch.equal(few.test.x, many.test.x) and few.validation.x.shape == (0, 784)
    assert few.validation.y is not None and few.validation.y.shape == (0,)
    assert few.scaling.kind == "unit" and few.train.x.max() == 1.0 and few.image_shape == (28, 28)


def test_load_data_without_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading_module, "CHUNK_CELLS", 4)  # many pieces, the same rows
    np.save(tmp_path / "a.npy", np.arange(20).reshape(10, 2))
    dataset = load_data(DataConfig(data=str(tmp_path / "a.npy"), scale="none"))
    assert dataset.train.y is dataset.test.y is None and dataset.classes == ()
    assert [len(part.x) for part in dataset[1:4]] == [7, 1, 2]
    assert sorted(row for part in dataset[1:4] for row in part.x[:, 0].tolist()) == list(range(0, 20, 2))


def test_scaled_rows_keeps_the_order() -> None:
    x, y = np.arange(6, dtype=np.float32).reshape(3, 2), np.array([0, -1, 0])
    scaling = Scaling("unit", torch.zeros(2), torch.full((2,), 2.0))
    alone = scaled_rows(Source("s", x), scaling)
    assert isinstance(alone, Part) and alone.y is None and torch.equal(alone.x, torch.from_numpy(x) / 2)
    both = scaled_rows(Source("s", x, y, ("a",), x_test=x[:1] + 10), scaling)
    assert both.y is not None and both.y.tolist() == [0, -1, 0, -1]
    assert torch.equal(both.x, torch.from_numpy(np.concatenate([x, x[:1] + 10])) / 2)
    assert scaled_rows(Source("s", x, x_test=x), scaling).y is None
