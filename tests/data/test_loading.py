"""Laws of stackae.data: scaling inverts, every row is used once, nothing of the test part leaks."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import (
    laws,
    matrices,
    message,
    write,
)
from hypothesis import given
from hypothesis import strategies as st

from stackae.config import DataConfig
from stackae.data import Part, Scaling, Source, epoch_order, in_order, load_data, load_source, scaled_rows
from stackae.data import loading as loading_module
from stackae.data.formats import FORMATS, listed
from stackae.data.loading import part_of_rows
from stackae.data.order.held_out import hold_out
from stackae.data.source import checked
from stackae.data.stored.array import rows_at
from stackae.errors import ConfigError, DataError

# ---- source


def test_checked_settles_dtypes() -> None:
    for dtype, expected in (
        ("u1", "u1"),
        ("i8", "f4"),
        (">f8", "f4"),
        ("f2", "f4"),
        ("?", "f4"),
        ("i2", "f4"),
        ("u4", "f4"),
        ("<f4", "f4"),
        ("f8 tenths", "f8"),
        ("i8 large", "f8"),
    ):
        kind, _, numbers = dtype.partition(" ")
        x = np.asfortranarray(np.eye(3, 2).astype(kind))
        if numbers:
            x[0, 0] = 0.1 if numbers == "tenths" else 2**24 + 1
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
    assert "one label per row, 3 in all, got labels of shape (2,)" in message(checked, Source("s", x, y[:2], ("a",)))
    assert "expected labels from 0 to 0, or -1 for none, got 4" in message(checked, Source("s", x, y + 4, ("a",)))
    assert "or -1 for none, got -2" in message(checked, Source("s", x, y - 2, ("a",)))
    assert "expected rows of 2 numbers as in the training part, got 5" in message(
        checked, Source("s", x, x_test=np.zeros((3, 5)))
    )
    short = Source("s", x, y, ("a",), np.zeros((4, 2)), y)
    assert "s (test part): expected one label per row, 4 in all" in message(checked, short)


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
    x = np.arange(256, dtype=np.uint8).reshape(4, 64)
    scaling = Scaling.fit("auto", x)
    scaled = scaling.transform(x)
    assert scaling.kind == "unit" and scaled[-1, -1] == 1.0 and scaled[0, 0] == 0.0
    assert Scaling.fit("unit", np.minimum(x, 200)).transform(x)[-1, -1] == 1.0
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
    for kind, rows in itertools.product(("none", "unit", "minmax", "standard", "robust"), (x, x.astype(np.float64))):
        scaling = Scaling.fit(kind, rows)
        again = Scaling.from_tensors(scaling.kind, scaling.to_tensors())
        torch.testing.assert_close(again.transform(rows), scaling.transform(rows), rtol=0, atol=0)
    one, two = torch.ones(1), torch.ones(2)
    bad: list[tuple[str, dict[str, torch.Tensor]]] = [
        ("auto", {"offset": one, "scale": one}), ("unit", {"offset": one}),
        ("minmax", {"offset": two, "scale": one}), ("minmax", {"offset": two, "scale": two * 0}),
        ("minmax", {"offset": two.double(), "scale": two}), ("minmax", {"offset": two / 0, "scale": two}),
        ("minmax", {"offset": two.half(), "scale": two.half()}), ("robust", {"offset": two, "scale": two}),
        ("robust", {"offset": two, "scale": two, "clip": one}), ("minmax", {"offset": two, "scale": two, "clip": one}),
        ("robust", {"offset": two, "scale": two, "clip": -one.double()}),
        ("robust", {"offset": two, "scale": two, "clip": two.double()}),
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
def test_an_epoch_uses_every_row_once(count: int, batch_size: int, seed: int, epoch: int) -> None:
    order = epoch_order(count, seed=seed, layer=1, epoch=epoch)
    assert order.dtype == torch.int64 and sorted(order.tolist()) == list(range(count))
    assert torch.equal(order, epoch_order(count, seed=seed, layer=1, epoch=epoch))
    assert [row for piece in in_order(count, batch_size) for row in range(count)[piece]] == list(range(count))


def test_orders_differ_by_epoch_layer_and_seed() -> None:
    choices = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    orders = {tuple(epoch_order(50, seed=seed, layer=layer, epoch=epoch).tolist()) for seed, layer, epoch in choices}
    assert len(orders) == 4


# ---- load_source and load_data


def test_load_source_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def of(data: str, error: type[Exception] = DataError, **options: str) -> str:
        return message(load_source, DataConfig(data=data, **options), error=error)

    assert of("mnits") == (
        "data: expected digits, mnist, fashion-mnist, torchvision:NAME, a folder of pictures, or a path ending in "
        f"{listed(FORMATS)}, got 'mnits'; did you mean 'mnist'?"
    )
    assert f"got '{tmp_path}/no.csv': no such file" in of(f"{tmp_path}/no.csv")
    assert f"{tmp_path}: expected a folder of pictures" in of(str(tmp_path))
    (tmp_path / "folder.npy").mkdir()
    assert "folder.npy' (a directory)" in of(str(tmp_path / "folder.npy"))
    for name in ("a.xlsx", "a.arff", "a.npy.gz"):
        config = DataConfig(data=str(write(tmp_path / name, "a\tb\n1\t2\n")), target="b")
        told = "(a file of another kind); save a table as .csv, with commas between its cells"
        assert f"{name}' {told}" in message(load_source, config)
    assert "target: expected none for digits, got 'age'" in of("digits", ConfigError, target="age")

    def fail(error: Exception) -> None:
        def read(_: DataConfig) -> None:
            raise error

        monkeypatch.setattr(loading_module, "read_named", read)

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
    np.savez(path, **arrays)
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


@pytest.mark.parametrize("kind", ["minmax", "standard", "robust", "unit", "auto"])
def test_scaling_is_fitted_on_the_training_part_alone(tmp_path: Path, kind: str) -> None:
    config = DataConfig(data=numbered(tmp_path / "a.npz", 50, False), scale=kind)
    raw = load_data(config.model_copy(update={"scale": "none"}))
    width = raw.train.x.shape[1]
    scaled = load_data(config)
    alone = Scaling.fit(kind, raw.train.x[:])
    assert scaled.config == config.model_copy(update={"scale": alone.kind}) and scaled.scaling.kind == alone.kind
    for before, after in zip(raw[1:4], scaled[1:4], strict=True):
        torch.testing.assert_close(after.x, alone.transform(before.x[:]), rtol=0, atol=0)
    given_scaling = load_data(config, scaling=Scaling("unit", torch.zeros(width), torch.full((width,), 2.0)))
    torch.testing.assert_close(given_scaling.test.x, raw.test.x / 2, rtol=0, atol=0)
    assert given_scaling.config.scale == "unit"
    other = Scaling("minmax", torch.zeros(width + 1), torch.ones(width + 1))
    assert f"expected rows of {width + 1} numbers, got shape" in message(load_data, config, other)


def test_the_test_part_does_not_depend_on_the_validation_fraction() -> None:
    few, many = (load_data(DataConfig(validation_fraction=fraction)) for fraction in (0.0, 0.5))
    assert torch.equal(few.test.x[:], many.test.x[:]) and few.validation.x.shape == (0, 784)
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


@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_all_rows_are_taken_as_they_lie(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a copy before they are scaled, to the same numbers as rows that are picked; floats are not shared."""
    monkeypatch.setattr(loading_module, "CHUNK_CELLS", 4)
    x, every = np.arange(10).reshape(5, 2).astype(dtype), np.arange(5)
    assert rows_at(x, every) is x and rows_at(x, every[::2]).tolist() == x[::2].tolist()
    scaling = Scaling.fit("unit", x)
    whole, picked = part_of_rows(x, None, every, scaling), part_of_rows(np.vstack([x, x]), None, every, scaling)
    assert torch.equal(whole.x[every], picked.x[every])
    if dtype == "f4":
        whole.x[:] = -1
        assert x.min() == 0
