""".npy and .npz files: what is read is what was written, and damage is named."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data_files import (
    laws,
    load_text,
    message,
    npy_bytes,
    npy_header,
    variants,
    write,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stackae.config import DataConfig, PretrainConfig
from stackae.data import load_data
from stackae.data.arrays.reading import load_arrays
from stackae.data.formats.bounded import read_up_to
from stackae.data.formats.idx import read_idx
from stackae.data.formats.npy import image_of
from stackae.data.inspect.advice import notes_of, warnings_of
from stackae.data.inspect.check import check_data
from stackae.data.source import checked
from stackae.errors import ConfigError, DataError
from stackae.pretraining import settle

real_dtypes = st.sampled_from(["u1", "i1", ">i2", "<i4", ">u4", "<f2", ">f4", "f8", "?"])


@laws
@given(real_dtypes, hnp.array_shapes(min_dims=2, max_dims=4, max_side=4), st.sampled_from("CFS"), st.data())
def test_npy_round_trip(tmp_path: Path, dtype: str, shape: tuple[int, ...], order: str, data: st.DataObject) -> None:
    elements = st.floats(-1000, 1000, width=16) if "f" in dtype else None
    native = data.draw(hnp.arrays(np.dtype(dtype).newbyteorder("="), shape, elements=elements))
    array = native.astype(dtype)
    array = np.repeat(array, 2, axis=-1)[..., ::2] if order == "S" else np.asarray(array, order=order)
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", x=array, x_test=array)
    for name in ("a.npy", "a.npz"):
        source = checked(load_arrays(tmp_path / name))
        np.testing.assert_array_equal(source.x, native.reshape(len(native), -1).astype(source.x.dtype))
        expected = None if len(shape) == 2 or shape[3:] == (2,) else shape[1:3] if shape[3:] == (1,) else shape[1:]
        assert source.image_shape == expected and source.y is None
        assert source.row_shape == (shape[1:] if len(shape) > 2 else ())
    assert source.x_test is not None
    np.testing.assert_array_equal(source.x_test, source.x)


@pytest.mark.parametrize(
    ("shape", "image"),
    [
        ((145, 145, 200), (145, 200)),  # a cube; an image by its shape, and its rows are told
        ((610, 340, 103), (340, 103)),
        ((50, 128, 9), None),  # windows of 128 moments of 9 features
        ((50, 9, 128), None),
        ((20, 11, 11, 200), None),  # patches of a cube
        ((20, 32, 32, 3), (32, 32, 3)), ((20, 32, 32, 4), (32, 32, 4)), ((20, 32, 32, 1), (32, 32)),
        ((20, 3, 32, 32), None), ((20, 16, 16, 2), None), ((9, 40), None),
    ],
)  # fmt: skip
def test_what_may_be_an_image(tmp_path: Path, shape: tuple[int, ...], image: tuple[int, ...] | None) -> None:
    assert image_of(shape) == image
    if math.prod(shape) < 100_000:
        np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
        source = load_arrays(tmp_path / "a.npy")
        assert source.image_shape == image and source.x.shape == (shape[0], math.prod(shape[1:]))


def test_a_cube_is_told_by_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "cube.npy"
    np.save(path, np.random.default_rng(0).random((14, 15, 20)))
    told = (
        "14 rows of 15 x 20 = 300 numbers each, by the first axis of the array; where the last axis holds the features "
        "of one place (a cube), or of one moment, make each place a row by pixels"
    )
    report = check_data(DataConfig(data=str(path)))
    assert report.row_shape == (15, 20) and warnings_of(report)[0] == told
    dataset = load_data(DataConfig(data=str(path)))
    assert notes_of(dataset)[0] == told and dataset.row_shape == (15, 20)
    config = PretrainConfig.from_options("20,10")
    with pytest.raises(ConfigError) as caught:
        settle(config, dataset.train.x, dataset.row_shape)
    assert str(caught.value) == (
        "layers: expected 300 as the first width, that of the data (15 x 20 numbers per row), got 20; "
        "use layers='300,10', or auto in its place, or reshape an array whose first axis does not count the rows"
    )
    np.save(path, np.random.default_rng(0).random((14, 15, 20)).reshape(-1, 20))
    assert load_data(DataConfig(data=str(path))).notes == ()
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 4, 8)), x_test=np.zeros((3, 8, 4)))
    assert "expected rows of shape (4, 8) as in x, got (8, 4)" in message(load_arrays, tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 2, 9)), x_test=np.zeros((3, 9, 2)))  # neither is an image
    assert "expected rows of shape (2, 9) as in x, got (9, 2)" in message(load_arrays, tmp_path / "a.npz")


def test_npy_sentences(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"

    def of(content: bytes | np.ndarray) -> str:
        return message(load_arrays, write(path, npy_bytes(content) if isinstance(content, np.ndarray) else content))

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
    np.save(path, np.ones(5))
    told = message(load_data, DataConfig(data=str(path)))
    assert "got (5,), one signal; cut it into windows by window=5, or reshape the array" in told
    for array in (np.ones((2, 2), complex), np.full((2, 2), "a"), np.zeros((2, 2), [("f", "f4")])):
        assert f"expected an array of real numbers, got {array.dtype}" in of(array)
    pickled = io.BytesIO()
    np.save(pickled, np.array([[1, None]], object), allow_pickle=True)
    assert "expected an array of real numbers, got object" in of(pickled.getvalue())


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_damage_never_alters_a_value(tmp_path: Path, save: object) -> None:
    x, y = np.arange(6, dtype=np.float32).reshape(3, 2), np.array([0, 1, 0], np.int8)
    path = tmp_path / "a.npz"
    save(path, x=x, y=y)
    content = path.read_bytes()
    for number, damaged in enumerate(variants(content)):
        write(path, damaged)
        try:
            source = load_arrays(path)
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
            source = load_arrays(path)
        except DataError as error:
            assert str(path) in str(error)
            continue
        assert number >= len(content) and 0 < source.x.nbytes <= 24


@laws
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\x93NUMPY\x01\0", b"\x1f\x8b\x08\0", b"\0\0\x08\x01", b"PK\3\4"])
)
def test_noise_is_a_data_error_or_data(tmp_path: Path, noise: bytes, magic: bytes) -> None:
    for read, name in (
        (load_arrays, "noise.npy"),
        (load_arrays, "noise.npz"),
        (load_text, "noise"),
        (read_idx, "noise"),
    ):
        path = write(tmp_path / name, magic + noise)
        try:
            read(path)
        except DataError as error:
            assert str(path) in str(error)


def npz(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)
    return path


def test_npz_labels(tmp_path: Path) -> None:
    x, path = np.ones((4, 2)), tmp_path / "a.npz"
    source = checked(load_arrays(npz(path, x=x, y=np.array([20, -1, 3, 20], ">i4"))))
    assert source.classes == ("3", "20") and source.y is not None and source.y.tolist() == [1, -1, 0, 1]
    source = checked(load_arrays(npz(path, x=x, y=["b", "", "a", "b"], x_test=x[:1], y_test=["c"])))
    assert source.classes == ("a", "b", "c") and source.y is not None and source.y.tolist() == [1, -1, 0, 1]
    assert source.y_test is not None and source.y_test.tolist() == [2]
    source = checked(load_arrays(npz(path, x=x, y=np.array([b"b", b"", b"\xc3\xa9", b"b"]))))
    assert source.classes == ("b", "é")
    source = checked(load_arrays(npz(path, x=x, y=np.full(4, -1))))
    assert source.classes == () and source.y is not None and source.y.tolist() == [-1] * 4


@laws
@given(st.lists(st.integers(-1, 5), min_size=1, max_size=30))
def test_npz_labels_name_what_was_written(tmp_path: Path, labels: list[int]) -> None:
    source = load_arrays(npz(tmp_path / "a.npz", x=np.ones((len(labels), 1)), y=labels))
    assert source.y is not None
    assert [int(source.classes[index]) if index >= 0 else -1 for index in source.y] == labels
    assert list(source.classes) == sorted({str(label) for label in labels if label >= 0})


def test_npz_sentences(tmp_path: Path) -> None:
    x, path = np.ones((3, 2)), tmp_path / "a.npz"

    def of(**arrays: object) -> str:
        return message(lambda: checked(load_arrays(npz(path, **arrays))))

    assert "expected one array of rows, or one named x, got a (3 x 2), b (3 x 2); name it, as data='a.npz:a'" in of(
        a=x, b=x
    )
    assert "expected one array of rows, or one named x, got no arrays; save the rows as x" in of()
    assert "a.npz: expected one label per row, 3 in all, got labels of shape (2,)" in of(x=x, y=[1, 2])
    assert "expected labels that are whole numbers, got 1.5 for row 1 (counted from 0); for targets" in of(
        x=x, y=[1, 1.5, 3]
    )
    assert "y: expected an array of numbers or strings, got complex128" in of(x=x, y=[1j, 2, 3])
    assert "expected labels y of shape (n,), integers or strings, got shape (3, 2)" in of(
        x=x, y=[[1, 2], [2, 2], [3, 2]]
    )
    assert "expected y and y_test of one kind, got <U1 and int64" in of(x=x, x_test=x, y=["a"] * 3, y_test=[1] * 3)
    assert "expected class numbers from 0, or -1 for no label, got -3" in of(x=x, y=[-3, 0, 1])
    assert "expected labels of valid text, got 'utf-8' codec" in of(x=x, y=np.array([b"\xff", b"a", b"b"]))
    assert "expected x_test along with y_test" in of(x=x, y=[1, 2, 3], y_test=[1])
    assert "x_test: expected rows of shape (2,) as in x, got (2, 2)" in of(x=x, x_test=np.ones((3, 2, 2)))
    assert "expected rows of 2 numbers as in the training part, got 3" in of(x=x, x_test=np.ones((3, 3)))
    assert "x: expected an array of real numbers, got complex128" in of(x=x.astype(complex))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", npy_bytes(x))
    assert "x: expected numpy's compression (stored or deflated), got method 14" in message(load_arrays, path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 9), }"))
    assert "x: expected 72000000000" in message(load_arrays, path)
    assert "expected a .npz archive, got damaged data (File is not a zip file)" in message(
        load_arrays, write(path, "x")
    )


def test_read_up_to_stops_at_the_count() -> None:
    assert read_up_to(io.BufferedReader(io.BytesIO(bytes(100))), 10, "a") == bytes(10)
