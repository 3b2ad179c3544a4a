"""IDX files: what is read is what was written, and damage is named."""

from __future__ import annotations

import gzip
import shutil
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from data_files import (
    TEST_DATA,
    idx_bytes,
    laws,
    message,
    needs_data,
    variants,
    write,
    write_idx_folder,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stackae.config import DataConfig
from stackae.data import load_source
from stackae.data.formats.idx import DTYPES, FASHION_NAMES, load_idx_folder, read_idx
from stackae.data.source import checked
from stackae.errors import DataError


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
    assert "data_root DIR" in missing and "torchvision:MNIST" in missing


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
