"""Laws of bytes as rows: every read has the bits that scaling them first would give, at a byte a cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import TEST_DATA, laws, message, needs_data
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from stackae.config import DataConfig, FinetuneConfig, PretrainConfig
from stackae.data import ByteRows, Part, Scaling, Source, load_data, scaled_rows
from stackae.data.rows import subset
from stackae.finetuning import finetune_stack
from stackae.models.evaluation import evaluate_reconstruction
from stackae.models.stack import in_batches
from stackae.pretraining import pretrain_stack, settle

KINDS = ("none", "unit", "minmax", "standard", "auto")
byte_matrices = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))


def rows_of(x: np.ndarray, kind: str) -> tuple[ByteRows, Tensor]:
    """The rows as bytes, and as the tensor that they must read as."""
    scaling = Scaling.fit(kind, x)
    return ByteRows(torch.from_numpy(x), scaling), scaling.transform(x)


def images(count: int, shape: tuple[int, ...] = (4, 3), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three classes of small uint8 images, some rows without a label."""
    generator = np.random.default_rng(seed)
    y = np.arange(count) % 4 - 1
    centres = np.random.default_rng(42).integers(40, 216, (4, *shape))
    return (centres[y] + generator.integers(-40, 40, (count, *shape))).astype(np.uint8), y


def as_floats(part: Part) -> Part:
    return Part(part.x[:], part.y)


# ---- what is read


@laws
@given(byte_matrices, st.sampled_from(KINDS), st.data())
def test_every_read_has_the_bits_of_the_scaled_tensor(x: np.ndarray, kind: str, data: st.DataObject) -> None:
    rows, scaled = rows_of(x, kind)
    assert len(rows) == len(scaled) and rows.shape == scaled.shape and rows.device == scaled.device
    start, stop = data.draw(st.integers(0, len(x))), data.draw(st.integers(0, len(x) + 2))
    indices = torch.tensor(data.draw(st.lists(st.integers(0, len(x) - 1), max_size=20)), dtype=torch.int64)
    mask = torch.tensor(data.draw(st.lists(st.booleans(), min_size=len(x), max_size=len(x))))
    for index in (slice(None), slice(start, stop), indices, mask):
        assert rows[index].dtype == torch.float32 and torch.equal(rows[index], scaled[index])
    for index in (indices, mask):
        for taken in (rows.subset(index), rows.subset(index.numpy()), subset(rows, index)):
            assert isinstance(taken, ByteRows) and torch.equal(taken[:], scaled[index])
        assert torch.equal(subset(scaled, index)[:], scaled[index])


@laws
@given(byte_matrices, st.sampled_from(KINDS))
def test_the_extremes_are_those_of_the_scaled_tensor(x: np.ndarray, kind: str) -> None:
    rows, scaled = rows_of(x, kind)
    for found, expected in ((rows.min(), scaled.min()), (rows.max(), scaled.max())):
        assert found.shape == () and found.dtype == torch.float32 and torch.equal(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_selected_keeps_the_width(kind: str) -> None:
    rows, _ = rows_of(np.arange(12, dtype=np.uint8).reshape(4, 3), kind)
    nothing = rows.subset(torch.zeros(0, dtype=torch.int64))
    for read in (rows[:0], nothing[:], rows[torch.zeros(4, dtype=torch.bool)], in_batches(lambda x: x, nothing)):
        assert read.shape == (0, 3) and read.dtype == torch.float32
    assert len(nothing) == 0 and nothing.nbytes == 0


def test_a_read_is_a_new_tensor_and_other_rows_stand_still() -> None:
    rows, scaled = rows_of(np.arange(12, dtype=np.uint8).reshape(4, 3), "minmax")
    rows[:].zero_()
    rows[torch.arange(4)].zero_()
    assert torch.equal(rows[:], scaled)


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU; `make gpu-check` runs it"),
        ),
    ],
)
def test_a_device_takes_the_bytes_and_their_scaling(device: str) -> None:
    rows, scaled = rows_of(images(50)[0].reshape(50, -1), "standard")
    moved = rows.to(device)
    assert {moved.device.type, moved.scaling.offset.device.type, moved[:].device.type} == {device}
    for index in (slice(3, 9), torch.tensor([4, 0, 4]), torch.arange(50) % 2 == 0):
        torch.testing.assert_close(moved[index].cpu(), scaled[index])
    for found, expected in ((moved.min(), scaled.min()), (moved.max(), scaled.max())):
        torch.testing.assert_close(found.cpu(), expected)
    assert moved.subset(torch.tensor([1])).raw.dtype == torch.uint8


def test_byte_rows_refuse_what_they_cannot_hold() -> None:
    raw, scaling = torch.zeros(2, 3, dtype=torch.uint8), Scaling("unit", torch.zeros(3), torch.ones(3))
    assert "rows: expected contiguous uint8, got torch.float32; " in message(ByteRows, raw.float(), scaling)
    assert "expected contiguous uint8, got torch.uint8, not contiguous" in message(ByteRows, raw.T, scaling)
    assert "expected rows of 3 numbers, got shape (2, 2)" in message(ByteRows, raw[:, :2].contiguous(), scaling)


# ---- from a source to its parts


@pytest.mark.parametrize("own_test", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_bytes_stay_bytes_in_every_part(tmp_path: Path, kind: str, own_test: bool) -> None:
    x, y = images(60)
    arrays = {"x": x, "y": y} | ({"x_test": 255 - x[:20], "y_test": y[:20]} if own_test else {})
    np.savez(tmp_path / "bytes.npz", **arrays)
    floats = {name: array.astype(np.float32) if "x" in name else array for name, array in arrays.items()}
    np.savez(tmp_path / "floats.npz", **floats)
    held = load_data(DataConfig(data=str(tmp_path / "bytes.npz"), scale=kind))
    same = load_data(DataConfig(data=str(tmp_path / "floats.npz"), scale=kind), held.scaling)
    for part, other in zip(held[1:4], same[1:4], strict=True):
        assert isinstance(part.x, ByteRows) and part.x.raw.dtype == torch.uint8
        assert part.x.raw.untyped_storage().nbytes() == part.x.nbytes == len(part.x) * 12
        assert isinstance(other.x, Tensor) and torch.equal(part.x[:], other.x) and torch.equal(part.y, other.y)
    assert sum(len(part.x) for part in held[1:4]) == 60 + 20 * own_test


def test_all_rows_of_a_source_are_not_copied() -> None:
    x = np.arange(12, dtype=np.uint8).reshape(4, 3)
    scaling = Scaling.fit("unit", x)
    assert np.shares_memory(scaled_rows(Source("s", x), scaling).x.raw.numpy(), x)
    read_only = np.frombuffer(x.tobytes(), np.uint8).reshape(4, 3)
    for array in (read_only, np.asfortranarray(x), x[::-1]):
        assert torch.equal(scaled_rows(Source("s", array), scaling).x[:], scaling.transform(array))


def test_scaled_rows_keeps_the_order_of_bytes() -> None:
    x, y = np.arange(12, dtype=np.uint8).reshape(4, 3), np.array([0, -1, 0, 0])
    scaling = Scaling.fit("minmax", x)
    both = scaled_rows(Source("s", x, x_test=x[:2] + 20, y_test=y[:2], classes=("a",)), scaling)
    assert isinstance(both.x, ByteRows) and torch.equal(both.x[:], scaling.transform(np.concatenate([x, x[:2] + 20])))
    assert both.y is not None and both.y.tolist() == [-1, -1, -1, -1, 0, -1]
    halves = x.astype(np.float32) + 0.5  # a test part of another type: nothing is rounded to bytes
    mixed = scaled_rows(Source("s", x, x_test=halves), scaling)
    assert torch.equal(mixed.x, scaling.transform(np.concatenate([x, halves]))) and mixed.y is None


def test_a_source_may_hold_bytes_and_floats(tmp_path: Path) -> None:
    x, _ = images(20)
    np.savez(tmp_path / "a.npz", x=x, x_test=x + 0.5)
    dataset = load_data(DataConfig(data=str(tmp_path / "a.npz")))
    assert isinstance(dataset.train.x, ByteRows) and isinstance(dataset.test.x, Tensor)
    assert torch.equal(dataset.test.x, dataset.scaling.transform((x + 0.5).reshape(20, -1)))


# ---- what is learnt from them


@pytest.mark.parametrize("train", ["all", "head"])
@pytest.mark.parametrize("kind", ["unit", "standard"])
def test_training_and_evaluation_give_the_bits_of_the_float_tensor(tmp_path: Path, kind: str, train: str) -> None:
    x, y = images(90)
    np.savez(tmp_path / "a.npz", x=x, y=y)
    held = load_data(DataConfig(data=str(tmp_path / "a.npz"), scale=kind))
    same = held._replace(train=as_floats(held.train), validation=as_floats(held.validation), test=as_floats(held.test))
    options = {"max_epochs": 3, "batch_size": 16, "device": "cpu"}
    config = PretrainConfig.from_options(
        "12,8,5", corruption="salt-and-pepper:0.2,masking:0.1", init="random", **options
    )
    tuning = FinetuneConfig(train=train, **options)
    answers = []
    for dataset in (held, same):
        assert settle(config, dataset.train.x).layers[0].output_activation == (
            "sigmoid" if kind == "unit" else "linear"
        )
        stack = pretrain_stack(dataset.train.x, config, validation=dataset.validation.x).stack
        tuned = finetune_stack(
            stack, dataset.train, tuning, n_classes=len(dataset.classes), validation=dataset.validation
        )
        reports = tuned.model.report(*dataset.test), evaluate_reconstruction(stack, dataset.test.x)
        losses = [(record.loss, record.validation_loss, record.validation_error) for record in tuned.history]
        answers.append((stack.state_dict(), tuned.model.state_dict(), reports, losses))
    for ours, theirs in zip(answers[0][:2], answers[1][:2], strict=True):
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(answers[0][2][0].confusion, answers[1][2][0].confusion)
    assert answers[0][2][1] == answers[1][2][1] and answers[0][3] == answers[1][3]


def test_the_spread_of_equal_rows_is_nothing_and_batches_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, scaled = rows_of(images(70)[0].reshape(70, -1), "standard")
    stack = pretrain_stack(rows, PretrainConfig.from_options("12,4", init="random", max_epochs=1, device="cpu")).stack
    whole = evaluate_reconstruction(stack, rows)[0].explained
    exact = (scaled.double() - scaled.double().mean(0)).square().sum().item() / 70
    error = evaluate_reconstruction(stack, scaled)[0].squared_error
    assert whole == pytest.approx(1 - error / exact, rel=1e-9)
    monkeypatch.setattr("stackae.models.evaluation.ROWS_AT_ONCE", 16)
    assert evaluate_reconstruction(stack, rows)[0].explained == pytest.approx(whole, rel=1e-5)
    equal = rows.subset(torch.full((70,), 3))
    assert evaluate_reconstruction(stack, equal)[0].explained == 0  # imperfect, where the mean row is perfect


@needs_data
def test_mnist_costs_a_byte_a_pixel() -> None:
    dataset = load_data(DataConfig(data="mnist", data_root=str(TEST_DATA)))
    assert sum(part.x.raw.untyped_storage().nbytes() for part in dataset[1:4]) == 70_000 * 784
    assert (float(dataset.train.x.min()), float(dataset.train.x.max())) == (0.0, 1.0)
