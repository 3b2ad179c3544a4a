"""Laws of rows that stay in their file: every read has the bits that the same rows in memory have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import laws, message
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stackae.config import DataConfig
from stackae.data import Dataset, Scaling, load_data
from stackae.data.division import row_sums
from stackae.data.fingerprint import fingerprint
from stackae.data.outliers import outliers
from stackae.data.rows import is_fed, subset
from stackae.data.source import in_fewest_bytes, pixels
from stackae.data.stored import array as stored
from stackae.data.stored.array import StoredArray, column_extremes, column_means, pieces, rows_at, stays_on_disk
from stackae.data.stored.rows import StoredRows
from stackae.errors import ConfigError, DataError

KINDS = ("none", "unit", "minmax", "standard", "robust", "auto")
TYPES = ("u1", "i1", "<i2", ">i4", "<f2", "<f4", ">f4", "<f8", "?")


def stored_array(path: Path, x: np.ndarray) -> StoredArray:
    np.save(path, x)
    return StoredArray(np.load(path, mmap_mode="r")).read_as(np.dtype(np.float32))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.npy"


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_reads_are_those_of_the_array(file: Path, dtype: str, order: str) -> None:
    x = np.random.default_rng(0).integers(0, 2, (50, 7)).astype(dtype, order=order)
    found, wanted = stored_array(file, x), x.astype(np.float32)
    rows, mask = np.array([3, 3, 49, 0]), np.arange(50) % 3 == 0
    assert (len(found), found.shape, found.size, found.dtype) == (50, (50, 7), 350, np.float32)
    for index in (slice(None), slice(4, 60), slice(9, 9), rows, mask):
        read = found[index]
        assert read.flags["C_CONTIGUOUS"] and type(read) is np.ndarray and np.array_equal(read, wanted[index])
        assert read.flags["WRITEABLE"] and not np.shares_memory(read, found.raw)
    assert np.array_equal(found.columns(2, 9), wanted[:, 2:])
    some = found.at(np.flatnonzero(mask))
    assert np.array_equal(some[:], wanted[mask]) and np.array_equal(some.at(np.array([1, 4]))[:], wanted[mask][[1, 4]])
    assert np.array_equal(some[np.array([2, 0])], wanted[mask][[2, 0]]) and rows_at(some, np.arange(len(some))) is some


@pytest.mark.parametrize("rows", [3, 5000])
def test_a_part_of_a_map_is_read_from_where_it_lies(file: Path, rows: int) -> None:
    x = np.random.default_rng(0).integers(0, 256, (rows, 40)).astype(np.uint8)
    np.save(file, x)
    raw = np.load(file, mmap_mode="r")
    for start, stop in ((0, rows), (1, rows), (rows - 2, rows - 1)):
        found, wanted = StoredArray(raw[start:stop]), x[start:stop]
        assert np.array_equal(found[:], wanted) and np.array_equal(found[np.array([0])], wanted[:1])
    assert np.array_equal(StoredArray(raw.reshape(-1, 20)[1:])[:], x.reshape(-1, 20)[1:])


def test_infinite_cells_may_be_read_as_missing(file: Path) -> None:
    x = np.array([[1, np.inf], [-np.inf, 2]], dtype=np.float32)
    found = stored_array(file, x)
    assert np.isinf(found[:]).sum() == 2
    assert np.array_equal(found.without_infinite()[:], [[1, np.nan], [np.nan, 2]], equal_nan=True)


@laws
@given(hnp.arrays(np.float32, (13, 5), elements=st.floats(-9, 9, width=32)), st.sampled_from([1, 7, 64, 1 << 20]))
def test_statistics_do_not_depend_on_where_rows_are(x: np.ndarray, cells: int) -> None:
    assert np.array_equal(np.concatenate([piece for _, piece in pieces(x, cells)]), x)
    low, high = column_extremes(x)
    assert np.array_equal(low, x.min(axis=0)) and np.array_equal(high, x.max(axis=0))
    assert np.allclose(column_means(x), x.mean(axis=0, dtype=np.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["bytes", "numbers", "gaps"])
def test_a_scaling_has_the_same_bits(file: Path, kind: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "STRIP_BYTES", 4 * 300 * 3)  # three columns of the file at once
    generator = np.random.default_rng(1)
    x = generator.integers(0, 256, (300, 8)).astype(np.uint8)
    x = x if what == "bytes" else (generator.normal(3, 40, (300, 8))).astype(np.float32)
    if what == "gaps":
        x[generator.random(x.shape) < 0.2] = np.nan
        x[:, 4] = np.nan
    np.save(file, x)
    from_file = StoredArray(np.load(file, mmap_mode="r"))
    one, other = Scaling.fit(kind, x, gaps=what == "gaps"), Scaling.fit(kind, from_file, gaps=what == "gaps")
    assert (one.kind, one.clip, one.offset.dtype) == (other.kind, other.clip, other.offset.dtype)
    assert torch.equal(one.offset, other.offset) and torch.equal(one.scale, other.scale)
    assert (one.fill is None) == (other.fill is None)
    assert one.fill is None or other.fill is None or torch.equal(one.fill, other.fill)


def test_a_column_beyond_the_numbers_is_refused_in_a_file_too(file: Path) -> None:
    found = stored_array(file, np.array([[3e38, 1], [-3e38, 2]], dtype=np.float32))
    assert "expected features whose range is a 32-bit number" in message(Scaling.fit, "minmax", found)


def test_rows_read_as_the_scaled_tensor(file: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    raw = stored_array(file, x)
    scaling = Scaling.fit("standard", x)
    rows, scaled = StoredRows(raw, scaling), scaling.transform(x)
    index, mask = torch.tensor([5, 0, 5]), torch.arange(40) > 30
    assert len(rows) == 40 and rows.shape == (40, 3) and rows.device.type == "cpu" and rows.nbytes == 0
    for each in (slice(3, 9), index, mask):
        assert torch.equal(rows[each], scaled[each])
    for each in (index, mask):
        some = subset(rows, each)
        assert isinstance(some, StoredRows) and torch.equal(some[:], scaled[each]) and some.nbytes > 0
    assert torch.equal(rows.min(), scaled.min()) and torch.equal(rows.max(), scaled.max())
    assert rows.to("cpu") is rows and is_fed(rows) and not is_fed(scaled)
    with pytest.raises(DataError, match="expected rows of 3 numbers"):
        StoredRows(stored_array(file.with_name("wide.npy"), np.ones((2, 4))), scaling)


def test_rows_that_are_not_scaled_are_read_as_they_are(file: Path) -> None:
    x = np.array([[-0.0, 1e-42, -3], [0.0, np.nan, 1e38]], dtype=np.float32)
    scaling = Scaling("none", torch.zeros(3), torch.ones(3))
    rows = StoredRows(stored_array(file, x), scaling)
    assert np.array_equal(rows[:].numpy().view(np.int32), x.view(np.int32))
    assert np.array_equal(rows[:].numpy().view(np.int32), scaling.transform(x).numpy().view(np.int32))
    rows[:][0] = 5  # of the reader's own
    assert rows[:][0, 2] == -3


def test_what_is_asked_of_all_rows_has_the_same_answer(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "CHUNK_CELLS", 64)
    generator = np.random.default_rng(0)
    x = np.floor(generator.random((200, 64)) * 256)
    np.save(file, x)
    from_file = StoredArray(np.load(file, mmap_mode="r"))
    assert pixels(from_file) and in_fewest_bytes(from_file).dtype == np.uint8
    assert np.array_equal(row_sums(from_file), row_sums(x))
    x[7, 3] = 1e9
    for numbers in (x, 0.3 + x):
        np.save(file, numbers)
        from_file, chosen = StoredArray(np.load(file, mmap_mode="r")), np.arange(0, 200, 2) + 1
        assert outliers(from_file, chosen) == outliers(numbers, chosen) != ()
        assert in_fewest_bytes(from_file).dtype == in_fewest_bytes(numbers).dtype


def test_where_rows_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "free_memory", lambda: 1000)
    assert not stays_on_disk("auto", 500) and stays_on_disk("auto", 501)
    assert stays_on_disk("disk", 1) and not stays_on_disk("memory", 10**9)
    monkeypatch.setattr(stored, "free_memory", lambda: None)
    assert not stays_on_disk("auto", 10**15)


# ---- files


def datasets(x: np.ndarray, folder: Path, **settings: object) -> tuple[Dataset, Dataset]:
    path = folder / "x.npy"
    np.save(path, x)
    return (
        load_data(DataConfig(data=str(path), storage="memory", **settings)),
        load_data(DataConfig(data=str(path), storage="disk", **settings)),
    )


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">f4", "<f8"])
def test_a_file_is_divided_scaled_and_known_as_in_memory(tmp_path: Path, dtype: str) -> None:
    x = np.random.default_rng(0).integers(0, 100, (90, 6)).astype(dtype)
    one, other = datasets(x, tmp_path)
    assert isinstance(other.train.x, StoredRows) and isinstance(other.test.x, StoredRows)
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(one, part).x[:], getattr(other, part).x[:])
    assert one.division is not None and other.division is not None
    assert np.array_equal(one.division.sums, other.division.sums)
    assert fingerprint(one) == fingerprint(other) and one.config.scale == other.config.scale


@pytest.mark.parametrize("missing", ["mean", "drop"])
def test_missing_cells_in_a_file_are_filled_or_left_out(tmp_path: Path, missing: str) -> None:
    x = np.random.default_rng(0).normal(size=(90, 6))
    x[3, 2], x[50, 1] = np.nan, np.inf
    one, other = datasets(x, tmp_path, missing=missing)
    assert torch.equal(one.train.x[:], other.train.x[:]) and one.notes == other.notes


@pytest.mark.parametrize("missing", ["indicator", "mask"])
def test_what_needs_all_rows_in_memory_is_refused(tmp_path: Path, missing: str) -> None:
    x = np.random.default_rng(0).normal(size=(90, 6))
    x[3, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    config = DataConfig(data=str(tmp_path / "x.npy"), storage="disk", missing=missing)
    with pytest.raises(ConfigError, match=f"storage: expected memory for .*{missing}.*, got .*; use .*memory"):
        load_data(config)
    with pytest.raises(ConfigError, match=r"storage: expected memory for .*window"):
        load_data(DataConfig(data=str(tmp_path / "x.npy"), storage="disk", window=3))


def test_a_bad_cell_is_named_as_in_memory(tmp_path: Path) -> None:
    x = np.ones((90, 6))
    x[70, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    config = DataConfig(data=str(tmp_path / "x.npy"), missing="refuse")
    told = {message(load_data, config.model_copy(update={"storage": where})) for where in ("memory", "disk")}
    assert len(told) == 1 and "got nan at row 70, column 2" in told.pop()


def test_what_was_read_is_not_kept(file: Path) -> None:
    x = np.zeros((4096, 4096), dtype=np.uint8)  # 16 MB
    np.save(file, x)
    found = StoredArray(np.load(file, mmap_mode="r"))
    before = resident_of_files()
    for _, piece in pieces(found, 1 << 16):
        assert not piece.any()
    rows = np.random.default_rng(0).permutation(4096)
    for begin in range(0, 4096, 16):
        assert not found[rows[begin : begin + 16]].any()
    assert resident_of_files() - before < 1 << 20


def test_a_file_that_becomes_shorter_is_an_error(file: Path) -> None:
    found = stored_array(file, np.ones((1000, 100), dtype=np.float32))
    file.write_bytes(file.read_bytes()[:200_128])
    assert found[np.array([3, 499])].all() and found[:500].all()
    for index in (slice(400, 600), np.array([3, 900])):
        assert "expected a file that stays as it is, got one that ends at byte 200,128" in message(
            found.__getitem__, index
        )


def resident_of_files() -> int:
    """Bytes of mapped files that are in the memory of this process."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssFile"))
    return int(line.split()[1]) * 1024
