"""Files of arrays by name, MATLAB's, HDF5 and sparse ones: what is read is what was written, wherever labels lie."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from data_files import arrays_in, laws, message, write
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from scipy.io import savemat

from stackae.config import DataConfig
from stackae.data import load_data, load_source
from stackae.data.arrays.reading import Asked, load_arrays
from stackae.data.formats import FORMATS, place_of
from stackae.data.inspect.check import check_data
from stackae.data.label_shapes import plain_labels
from stackae.errors import DataError, SetupError

X = np.random.default_rng(0).normal(size=(12, 5))
Y = np.arange(12) % 3 + 1
DTYPES = ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "?")


def mat73(path: Path, **arrays: np.ndarray) -> Path:
    """As MATLAB writes version 7.3: HDF5 behind 512 bytes, each array with its axes turned around."""
    kinds = {"f8": b"double", "f4": b"single", "b1": b"logical", "u2": b"char"}
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            stored = array.astype(np.uint8) if array.dtype == bool else array
            file.create_dataset(name, data=stored.T).attrs["MATLAB_class"] = np.bytes_(kinds[array.dtype.str[1:]])
        file["#refs#/a"] = np.ones((3, 3))
    return with_head(path)


def with_head(path: Path) -> Path:
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    return write(path, head.ljust(512, b"\0") + path.read_bytes()[512:])


def saved(path: Path, **arrays: np.ndarray) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".mat":
        savemat(path, arrays, do_compression=len(arrays) > 1)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    return path


# ---- what is read


@laws
@given(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=2, max_dims=4, max_side=4), st.booleans(), st.data())
def test_a_mat_file_is_read_as_it_was_written(
    tmp_path: Path, dtype: str, shape: tuple[int, ...], packed: bool, data: st.DataObject
) -> None:
    elements = st.floats(-1000, 1000, width=16) if "f" in dtype else None
    array = data.draw(hnp.arrays(np.dtype(dtype), shape, elements=elements))
    savemat(tmp_path / "a.mat", {"x": array, "other": "text"}, do_compression=packed)
    source = arrays_in(tmp_path / "a.mat")
    np.save(tmp_path / "a.npy", array)
    same = arrays_in(tmp_path / "a.npy")
    np.testing.assert_array_equal(source.x, same.x)
    assert (source.x.dtype, source.image_shape, source.row_shape) == (same.x.dtype, same.image_shape, same.row_shape)


@laws
@given(
    st.sampled_from(["f8", "f4", "?", "u1", "i2"]),
    st.sampled_from(["csr", "csc", "coo", "bsr", "dia", "mat"]),
    st.data(),
)
def test_a_sparse_matrix_is_the_dense_one(tmp_path: Path, dtype: str, form: str, data: st.DataObject) -> None:
    dense = data.draw(hnp.arrays(np.dtype(dtype), (4, 3), elements=st.integers(0, 1)))
    dense[0, 0] = 1
    if form == "mat":
        dense = dense.astype(bool if dtype == "?" else float)
        savemat(tmp_path / "a.mat", {"x": sparse.csc_matrix(dense)})
        source = arrays_in(tmp_path / "a.mat")
    else:
        sparse.save_npz(tmp_path / "a.npz", getattr(sparse, f"{form}_matrix")(dense))
        source = arrays_in(tmp_path / "a.npz")
    known = f"a sparse matrix with {(dense != 0).sum()} of 4 x 3 cells"
    assert source.notes[0].endswith(f"{known} that are not 0; missing='mask' takes the others as missing")
    np.save(tmp_path / "a.npy", dense)
    np.testing.assert_array_equal(source.x, arrays_in(tmp_path / "a.npy").x)
    masked = load_arrays(tmp_path / f"a.{'mat' if form == 'mat' else 'npz'}", Asked(masked=True))
    np.testing.assert_array_equal(masked.x, np.where(dense == 0, np.nan, dense))
    assert masked.notes[0].endswith(f"{known}; the others are missing")


def test_all_formats_give_the_same_bytes(tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"a{suffix}", x=X, y=Y) for suffix in (".npz", ".mat", ".h5", ".hdf5")]
    paths.append(mat73(tmp_path / "b.mat", x=X, y=Y.astype(float)[:, None]))
    sets = [load_data(DataConfig(data=str(path))) for path in paths]
    for each in sets[1:]:
        assert each.train.x[:].equal(sets[0].train.x[:]) and each.test.x[:].equal(sets[0].test.x[:])
        assert each.classes == ("1", "2", "3") and each.labels == sets[0].labels


def test_matlab_of_version_7_3(tmp_path: Path) -> None:
    cube, yes = np.random.default_rng(1).random((3, 4, 2)), X > 0
    path = mat73(tmp_path / "a.mat", x=X, cube=cube, yes=yes, name=np.array([[97, 98]], np.uint16))
    np.testing.assert_array_equal(arrays_in(path).x, X)
    np.testing.assert_array_equal(arrays_in(path, "cube", pixels=True).x, cube.reshape(-1, 2))
    assert arrays_in(path, "yes").x.tolist() == yes.tolist()
    assert "name: expected an array of real numbers, got text" in message(arrays_in, path, "name")
    assert "holds cube (3 x 4 x 2), name (1 x 2 text), x (12 x 5), yes (12 x 5)" in message(arrays_in, path, "nome")


# ---- which arrays


@pytest.mark.parametrize("suffix", [".npz", ".mat", ".h5"])
def test_rows_and_labels_by_name(tmp_path: Path, suffix: str) -> None:
    slash = "/" if suffix == ".h5" else ""
    path = saved(tmp_path / f"a{suffix}", data=X, other=X + 1, kinds=Y[:, None].astype(float))
    text = message(arrays_in, path)
    assert "expected one array of rows, or one named x, got" in text and f"{slash}data (12 x 5)" in text
    assert f"name it, as data='a{suffix}:{slash}data'" in text
    source = load_source(DataConfig(data=f"{path}:other", target="kinds"))
    np.testing.assert_array_equal(source.x, X + 1)
    assert source.classes == ("1", "2", "3") and source.y is not None and source.y.tolist() == (Y - 1).tolist()
    text = message(load_source, DataConfig(data=f"{path}:other", target="kind"))
    assert f"target: expected an array of {path}, got 'kind', and it holds" in text and "mean" in text
    assert "data: expected an array" in message(load_source, DataConfig(data=f"{path}:nothing"))
    alone = saved(tmp_path / f"b{suffix}", data=X, kinds=Y)
    (note,) = arrays_in(alone).notes
    assert note.startswith(f"{alone}: rows are {slash}data (12 x 5); labels may be {slash}kinds (")
    assert note.endswith(f"name them by target='{slash}kinds'")


def test_the_names_that_people_give(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", X_train=X, y_train=Y, X_test=X[:4], y_test=Y[:4])
    source = arrays_in(path)
    assert source.x_test is not None and source.y_test is not None
    assert source.x_test.shape == (4, 5) and source.y_test.tolist() == [0, 1, 2, 0]
    odd = saved(tmp_path / "b.mat", X=X, y=(Y > 2).astype(float)[:, None])
    assert arrays_in(odd).classes == ("0", "1") and arrays_in(odd, numbers=True).targets == ("y",)
    assert arrays_in(saved(tmp_path / "c.npz", x=X, z=Y), target="z").classes == ("1", "2", "3")
    pair = saved(tmp_path / "d.npz", x=X, z=Y, x_test=X[:2], z_test=Y[:2])
    assert arrays_in(pair, target="z").y_test is not None


def test_labels_in_a_file_of_their_own(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    saved(tmp_path / "z.mat", a=X, b=Y)
    for target in ("y.npy", "z.mat:b"):
        config = DataConfig(data=str(tmp_path / "x.npy"), target=str(tmp_path / target))
        assert load_source(config).classes == ("1", "2", "3") and check_data(config).classes == ("1", "2", "3")
    text = message(load_source, config.model_copy(update={"target": str(tmp_path / "no.npy")}))
    assert "target: expected an array of" in text and "no.npy', and it holds (12 x 5)" in text


def test_a_cube_and_its_labels(tmp_path: Path) -> None:
    cube, truth = np.random.default_rng(0).random((4, 5, 6)), np.arange(20).reshape(4, 5) % 3
    path, labels = saved(tmp_path / "cube.mat", cube=cube), saved(tmp_path / "truth.mat", truth=truth)
    source = arrays_in(path, target=str(labels), pixels=True)
    np.testing.assert_array_equal(source.x, cube.reshape(20, 6))
    assert source.y is not None and [source.classes[each] for each in source.y] == [str(each) for each in truth.flat]
    assert (source.image_shape, source.row_shape) == (None, ())
    assert "one per place of a cube of shape (4, 5, 6); make each place a row by pixels" in message(
        lambda: arrays_in(path, target=str(labels))
    )
    assert "pixels: expected a cube" in message(lambda: arrays_in(saved(tmp_path / "a.npz", x=X), pixels=True))
    np.save(tmp_path / "cube.npy", np.asfortranarray(cube))
    config = DataConfig(data=str(tmp_path / "cube.npy"), pixels=True)
    report = check_data(config)
    assert report.training is not None and report.training.findings.columns == 6 and report.row_shape == ()


def test_images_along_the_last_axis(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 3, 12)).astype(np.uint8)
    source = arrays_in(saved(tmp_path / "a.mat", X=images, y=Y[:, None]))
    np.testing.assert_array_equal(source.x, np.moveaxis(images, -1, 0).reshape(12, -1))
    assert source.image_shape == (8, 8, 3)


# ---- labels


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ([1.0, np.nan, 3.0], [1, -1, 3]),
        ([[1], [2], [3]], [1, 2, 3]),
        ([[1.0, 2.0, 3.0]], [1, 2, 3]),
        ([[True], [False], [True]], [True, False, True]),
        ([[0, 1], [1, 0], [0, 0]], [1, 0, -1]),
        (np.eye(3, dtype=bool)[[2, 0, 1]], [2, 0, 1]),
        (np.eye(3, dtype=np.float32), [0, 1, 2]),
        ([["a"], ["b"], [""]], ["a", "b", ""]),
    ],
)
def test_labels_in_every_shape(labels: object, wanted: list[object]) -> None:
    found = plain_labels("y", np.asarray(labels), 3)
    assert found.tolist() == wanted and found.dtype.kind in "biU"


def test_sentences_of_labels() -> None:
    assert "got 0.5 for row 1 (counted from 0); for targets that are numbers" in message(
        plain_labels, "y", np.array([1, 0.5]), 2
    )
    assert "got inf for row 0" in message(plain_labels, "y", np.array([np.inf]), 1)
    text = message(plain_labels, "y", np.array([[1, 0], [1, 1]]), 2)
    assert "got 2 ones in row 1" in text and "the head multilabel" in text


@pytest.mark.parametrize("texts", [["cat", "a dog", "cat"], np.array([["cat"], ["dög"], [""]], object)])
def test_texts_of_matlab(tmp_path: Path, texts: object) -> None:
    savemat(tmp_path / "a.mat", {"x": X[:3], "y": texts})
    source, names = arrays_in(tmp_path / "a.mat"), np.ravel(texts).tolist()
    assert source.y is not None
    assert [source.classes[each] if each >= 0 else "" for each in source.y] == names


def test_texts_of_hdf5(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.h5", x=X, y=np.array([b"a", b"b"] * 6))
    assert arrays_in(path).classes == ("a", "b")


@pytest.mark.parametrize("shape", [(12,), (12, 1)])
@pytest.mark.parametrize("at_once", [1, 1 << 28])
def test_texts_of_any_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], at_once: int
) -> None:
    monkeypatch.setattr("stackae.data.arrays.hdf5_texts.AT_ONCE", at_once)
    texts = np.array(["cat", "döggy", "", "\u4e2d" * 1000] * 3, object).reshape(shape)
    source = arrays_in(saved(tmp_path / "a.h5", x=X, y=texts))
    assert source.classes == ("cat", "döggy", "\u4e2d" * 1000) and source.y is not None
    assert source.y.tolist() == [0, 1, -1, 2] * 3


def test_texts_that_are_no_labels(tmp_path: Path) -> None:
    def of(texts: object) -> str:
        return message(arrays_in, saved(tmp_path / "a.h5", x=X, y=np.array(texts, object)))

    assert "expected labels of at most 1,000 characters, got 5,000; save class names" in of(["a"] * 11 + ["b" * 5000])
    assert "/y: expected one text per row, got shape (6, 2); save class names" in of([["a", "b"]] * 6)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["y"] = X, np.array([b"\xff"] * 12, h5py.string_dtype())
    assert "/y: expected an HDF5 file, got damaged data ('utf-8' codec" in message(arrays_in, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.array(["a"] * 12, h5py.string_dtype())
    assert "/x: expected an array of real numbers, got text" in message(arrays_in, tmp_path / "a.h5")


@pytest.mark.parametrize("compressed", [False, True])
def test_fields_of_matlab_s_structures(tmp_path: Path, compressed: bool) -> None:
    path, names = tmp_path / "a.mat", np.array(["a", "bc"] * 6, object)
    inner = {"x": X * 2, "none": np.zeros((0, 0)), "deeper": {"at": {"last": {"too deep": X}}}}
    savemat(
        path, {"s": {"info": "text", "inner": inner, "names": names}, "many": [{"x": X}] * 2}, do_compression=compressed
    )
    np.testing.assert_array_equal(arrays_in(path).x, X * 2)
    source = arrays_in(path, "s.inner.x", target="s.names")
    assert source.name == f"{path}:s.inner.x" and source.classes == ("a", "bc")
    told = message(arrays_in, path, "s.inner")
    assert "s.inner: expected an array of real numbers, got struct" in told
    told = message(arrays_in, path, "s.x")
    assert "holds s (1 x 1 struct), s.info (1 x 4 char), s.inner (1 x 1 struct), s.inner.x (12 x 5)" in told
    assert "s.inner.deeper.at.last (1 x 1 struct)" in told and "too deep" not in told and "many (1 x 2 cell)" in told


@pytest.mark.parametrize("kind", ["double", "logical"])
def test_a_sparse_matrix_of_matlab_7_3(tmp_path: Path, kind: str) -> None:
    cells = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 0]])
    matrix, path = sparse.csc_array(cells), tmp_path / "a.mat"

    def write_parts(parts: dict[str, object]) -> None:
        with h5py.File(path, "w", userblock_size=512) as file:
            group = file.create_group("x")
            group.attrs["MATLAB_sparse"], group.attrs["MATLAB_class"] = np.uint64(4), np.bytes_(kind)
            for name, part in parts.items():
                group[name] = part
        with_head(path)

    parts = {"data": matrix.data.astype("u1" if kind == "logical" else "f8"), "ir": matrix.indices, "jc": matrix.indptr}
    write_parts(parts)
    source = arrays_in(path)
    np.testing.assert_array_equal(source.x, cells)
    assert "a sparse matrix with 4 of 4 x 3 cells" in source.notes[0]
    write_parts(parts | {"ir": [0, 9, 1, 3]})
    assert "x: expected a sparse matrix of shape (4, 3), got" in message(arrays_in, path)
    write_parts({"jc": np.zeros(4, "u8")})
    np.testing.assert_array_equal(arrays_in(path).x, np.zeros((4, 3)))
    write_parts({"data": [1.0]})
    assert "x: expected an HDF5 file, got damaged data" in message(arrays_in, path)


# ---- where data lie


def test_a_file_of_the_whole_name_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    saved(Path("a.npz"), x=X, other=X)
    assert place_of("a.npz:other") == (Path("a.npz"), FORMATS[".npz"], "other")
    saved(Path("odd:a.npz"), x=X)
    saved(Path("a.npz:other.npz"), x=X)
    for whole in ("odd:a.npz", "a.npz:other.npz"):
        assert place_of(whole) == (Path(whole), FORMATS[".npz"], "")
    assert place_of("odd:a.npz:x") == (Path("odd:a.npz"), FORMATS[".npz"], "x")
    assert place_of(r"C:\a.mat:b") == (Path(r"C:\a.mat"), FORMATS[".mat"], "b")
    assert place_of("a.h5:/b/c.npy") == (Path("a.h5:/b/c.npy"), FORMATS[".npy"], "")  # neither is there
    saved(Path("a.h5"), b=X)
    assert place_of("a.h5:/b/c.npy") == (Path("a.h5"), FORMATS[".h5"], "/b/c.npy")
    assert [place_of(name) for name in ("mnist", "torchvision:MNIST", "a.csv:b", "a:b")] == [None] * 4
    assert "got 'absent.mat': no such file" in message(load_source, DataConfig(data="absent.mat:x"))


def test_h5py_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.h5", x=X)
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    assert "pip install 'stackae[hdf5]'" in message(arrays_in, path, error=SetupError)
    assert issubclass(DataError, ValueError)
