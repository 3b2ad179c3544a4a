"""Numbers keep their own precision until they are scaled: what 32 bits alone would make one stays apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import laws, message, npy_bytes, write
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stackae.config import DataConfig
from stackae.data import ByteRows, Scaling, Source, load_data, load_source, scaled_rows
from stackae.data.fingerprint import fingerprint
from stackae.data.loading import Dataset
from stackae.data.source import bytes_held, checked, row_type
from stackae.errors import DataError

PER_FEATURE = ("minmax", "standard", "robust")
STEPS = np.random.default_rng(0).permutation(np.arange(4000) % 301)
COLUMNS = {
    "northing, centimetres": 4492557 + STEPS / 100,
    "seconds since 1970": 1.7e9 + STEPS % 60,
    "windows on 1e4": 1e4 + STEPS / 1000,
    "nanoseconds since 1970": 1.7e18 + 1024.0 * STEPS,
}


def all_rows(dataset: Dataset) -> torch.Tensor:
    return torch.cat([part.x[:] for part in (dataset.train, dataset.validation, dataset.test)])


@pytest.mark.parametrize("kind", PER_FEATURE)
@pytest.mark.parametrize("suffix", ["npy", "npz", "csv"])
@pytest.mark.parametrize("name", COLUMNS)
def test_every_distinct_value_is_kept(tmp_path: Path, name: str, suffix: str, kind: str) -> None:
    column, path = COLUMNS[name], tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, column[:, None])
    elif suffix == "npz":
        np.savez(path, x=column[:, None])
    else:
        write(path, "time\n" + "\n".join(map(repr, column.tolist())))
    dataset = load_data(DataConfig(data=str(path), scale=kind))
    scaled = all_rows(dataset)
    distinct = np.unique(column)
    assert len(distinct) == (60 if "seconds" in name and "nano" not in name else 301)
    assert scaled.dtype == torch.float32 and len(torch.unique(scaled)) == len(distinct)
    back = dataset.scaling.inverse_transform(scaled)
    assert back.dtype == torch.float64
    np.testing.assert_allclose(np.unique(back.numpy()), distinct, rtol=0, atol=2e-6 * np.ptp(distinct))


def test_integers_of_64_bits(tmp_path: Path) -> None:
    seconds = 1_700_000_000 + np.arange(300)
    for dtype in ("<i8", ">i8", "u4", "i4"):
        write(tmp_path / "a.npy", npy_bytes(seconds[:, None].astype(dtype)))
        scaled = all_rows(load_data(DataConfig(data=str(tmp_path / "a.npy"))))
        assert len(torch.unique(scaled)) == 300 and scaled.min() >= -0.1 and scaled.max() <= 1.1


@pytest.mark.parametrize("kind", ["minmax", "standard"])
def test_a_mean_of_1e9_and_a_deviation_of_1e_minus_2(kind: str) -> None:
    noise = np.random.default_rng(0).normal(0, 1e-2, (20_000, 2))
    x = 1e9 + noise
    there = x - 1e9  # what 64 bits hold of the noise, exactly
    scaling = Scaling.fit(kind, x)
    if kind == "standard":
        np.testing.assert_allclose(scaling.offset.numpy() - 1e9, there.mean(axis=0), rtol=0, atol=2e-7)
        np.testing.assert_allclose(scaling.scale.numpy(), there.std(axis=0), rtol=1e-6)
    wanted = (there - (scaling.offset.numpy() - 1e9)) / scaling.scale.numpy()
    np.testing.assert_allclose(scaling.transform(x).numpy(), wanted, rtol=1e-6, atol=1e-6)


@laws
@given(hnp.arrays(np.float64, (7, 3), elements=st.floats(-1e30, 1e30)), st.sampled_from(PER_FEATURE))
def test_scaling_in_64_bits_is_that_of_numpy(x: np.ndarray, kind: str) -> None:
    scaling = Scaling.fit(kind, x)
    scaled = scaling.transform(x)
    constant = x.min(axis=0) == x.max(axis=0)
    assert scaled.dtype == torch.float32 and bool(torch.isfinite(scaled).all())
    assert scaling.offset.dtype == scaling.scale.dtype == torch.float64 and (scaled[:, constant] == 0).all()
    with np.errstate(under="ignore", over="ignore"):
        wanted = (x - scaling.offset.numpy()) / scaling.scale.numpy()
    if scaling.clip is not None:
        wanted = wanted.clip(-scaling.clip, scaling.clip)
    np.testing.assert_array_equal(scaled.numpy(), wanted.astype(np.float32))
    if kind == "minmax":
        assert (scaled.min(dim=0).values == 0).all() and scaled.max() <= 1


def test_rows_of_32_bits_and_bytes_are_scaled_as_ever(tmp_path: Path) -> None:
    """The bits of 32-bit arithmetic, so that a run of before is the same run, and no more memory."""
    x = np.random.default_rng(0).normal(3, 5, (50, 4)).astype(np.float32)
    for kind, offset, scale in (
        ("minmax", x.min(axis=0), x.max(axis=0) - x.min(axis=0)),
        ("standard", x.mean(axis=0, dtype=np.float64).astype(np.float32), x.astype(np.float64).std(axis=0)),
        ("unit", np.zeros(4, np.float32), np.full(4, np.abs(x).max())),
    ):
        scaling = Scaling.fit(kind, x)
        assert scaling.offset.dtype == scaling.scale.dtype == torch.float32
        np.testing.assert_array_equal(scaling.offset.numpy(), offset)
        np.testing.assert_array_equal(scaling.transform(x).numpy(), (x - offset) / scale.astype(np.float32))
    for dtype in (np.float32, np.uint8):
        source = checked(Source("s", x.astype(dtype)))
        assert source.x.dtype == dtype and np.shares_memory(source.x, checked(source).x)
    bytes_ = np.arange(40, dtype=np.uint8).reshape(10, 4)
    assert isinstance(scaled_rows(Source("s", bytes_), Scaling.fit("minmax", bytes_)).x, ByteRows)


def test_a_scaling_of_32_bits_scales_wide_rows_as_it_always_did() -> None:
    """A run of before, whose rows were rounded first, sees the same rows again."""
    x = np.random.default_rng(0).normal(3, 5, (50, 4))
    scaling = Scaling.fit("minmax", x.astype(np.float32))
    assert torch.equal(scaling.transform(x), scaling.transform(x.astype(np.float32)))
    assert scaling.transform(x).min() == 0 and scaling.transform(x).max() == 1


def test_a_checkpoint_of_before_knows_its_data_again(tmp_path: Path) -> None:
    """Its scaling has 32 bits, and with it the rows are those that it was trained on, whose digest it keeps."""
    x = np.random.default_rng(0).normal(3, 5, (50, 4))
    np.save(tmp_path / "wide.npy", x)
    np.save(tmp_path / "rounded.npy", x.astype(np.float32))  # what was read of wide.npy then
    for kind in ("minmax", "standard", "unit", "none"):
        before = load_data(DataConfig(data=str(tmp_path / "rounded.npy"), scale=kind))
        now = load_data(DataConfig(data=str(tmp_path / "wide.npy"), scale=kind), before.scaling)
        assert fingerprint(now) == fingerprint(before)


def test_bytes_under_a_scaling_that_kernels_cannot_apply(tmp_path: Path) -> None:
    raw = np.arange(40, dtype=np.uint8).reshape(10, 4)
    for scaling in (Scaling.fit("minmax", raw.astype(np.float64)), Scaling.fit("robust", raw)):
        assert not scaling.of_bytes
        rows = scaled_rows(Source("s", raw), scaling).x
        assert isinstance(rows, torch.Tensor) and torch.equal(rows, scaling.transform(raw))
        assert "expected a scaling of 32 bits that clips nothing for bytes, got torch.float" in message(
            ByteRows, torch.from_numpy(raw), scaling
        )
    np.save(tmp_path / "a.npy", raw)
    assert isinstance(load_data(DataConfig(data=str(tmp_path / "a.npy"), scale="robust")).train.x, torch.Tensor)


def test_memory_is_counted_as_it_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for dtype, held in (("u1", 1), ("<f4", 4), ("<f8", 8), (">f8", 8), ("f2", 6), ("i4", 12), ("i8", 16), ("?", 5)):
        assert bytes_held(np.dtype(dtype), 10) == 10 * held
        assert row_type(np.dtype(dtype)).itemsize in (1, 4, 8)
    np.save(tmp_path / "a.npy", np.ones((4, 2), np.uint8))
    np.save(tmp_path / "b.npy", np.random.default_rng(0).random((4, 2)))
    monkeypatch.setattr("stackae.data.memory.UNASKED", 0)
    for name, kind, needed in (("a", "auto", 8), ("a", "robust", 32), ("b", "auto", 64)):
        config = DataConfig(data=str(tmp_path / f"{name}.npy"), scale=kind)
        free = iter([1 << 40])  # for the reading; then there is less
        with monkeypatch.context() as patch, pytest.raises(DataError, match=f"got {needed} bytes to be held and"):
            patch.setattr("stackae.data.memory.free_memory", lambda free=free: next(free, 7))
            load_data(config)


# ---- robust


@laws
@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.floats(-100, 100)))
def test_robust_is_median_and_quartiles(x: np.ndarray) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stackae.data.scaling.CHUNK_CELLS", 40)  # a column or a few at a time
        scaling = Scaling.fit("robust", x)
    first, middle, third = np.quantile(x, (0.25, 0.5, 0.75), axis=0)
    for column in range(x.shape[1]):
        away = np.abs(x[:, column] - middle[column])
        apart = third[column] - first[column] or (np.median(away[away > 0]) if away.any() else 1.0)
        if x[:, column].min() < x[:, column].max():
            assert (scaling.offset[column], scaling.scale[column]) == (middle[column], apart)
    assert scaling.clip == 10 and bool((scaling.transform(x).abs() <= 10).all())


def test_robust_with_an_outlier() -> None:
    x = np.random.default_rng(0).normal(5, 2, (2000, 3))
    x[1234, 1] = 1e6
    scaled = Scaling.fit("robust", x).transform(x)
    assert scaled[1234, 1] == 10 and bool((scaled.std(dim=0) < 1).all()) and bool((scaled.std(dim=0) > 0.6).all())
    flat = Scaling.fit("minmax", x).transform(x)
    assert flat[:, 1].sort().values[-2] < 1e-4
    rare = np.zeros((2000, 1))
    rare[::100, 0] = 3.0  # quartiles are one number, the column is none
    assert torch.unique(Scaling.fit("robust", rare).transform(rare)).tolist() == [0, 1]
    assert load_source(DataConfig()).x.dtype == np.uint8
