"""Laws of heads for numbers and for several labels: how they are read, learned and scored, and what is missing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from heads_cases import HELD_OUT, TRAIN, stack_of
from sklearn.metrics import average_precision_score, r2_score
from torch import Tensor

from stackae.config import DataConfig, FinetuneConfig, PretrainConfig
from stackae.data import Part, load_data, load_source, scaled_rows
from stackae.data.fingerprint import fingerprint
from stackae.data.inspect.check import check_data
from stackae.errors import DataError
from stackae.finetuning import finetune_stack
from stackae.metrics import auroc, average_precision, r_squared
from stackae.models.heads.files import pack_head, read_head
from stackae.verification.heads import HEADS, ROWS

STACK = stack_of("tied", max_epochs=30)
SETTINGS = FinetuneConfig(max_epochs=40, batch_size=16, learning_rate=0.02, device="cpu", weight_decay=0.0)


def numbers_of(part: Part) -> Part:
    """Two targets of very different sizes, linear in x."""
    x = part.x[:]
    return Part(x, torch.stack([1000 + 50 * x[:, 0] - 30 * x[:, 3], 1e-3 * x[:, 5]], dim=1))


def labels_of(part: Part) -> Part:
    return Part(part.x, torch.stack([part.y == 0, part.y > 0, part.y == 2], dim=1).float())


def tune(part: Part, head: str = "regressor", validation: Part | None = None, **given: Any) -> Any:
    settings = SETTINGS.model_copy(update={"head": head, **given})
    return finetune_stack(STACK, part, settings, validation=validation)


# ---- learning


@pytest.mark.parametrize("train", ["head", "all", "gradual"])
def test_a_regressor_learns_targets_of_any_size_in_their_units(train):
    part = numbers_of(TRAIN)
    settings = SETTINGS.model_copy(update={"head": "regressor", "train": train})
    result = finetune_stack(STACK, part, settings, validation=numbers_of(HELD_OUT))
    assert result.history[-1].loss < result.history[0].loss
    assert result.history[-1].validation_loss < result.history[0].validation_loss
    for report in result.model.report(*numbers_of(HELD_OUT)):
        assert report.rows == 30 and (train != "all" or report.r2 > 0.5)


@pytest.mark.parametrize("train", ["head", "all", "gradual"])
def test_a_multilabel_head_learns_every_label(train):
    settings = SETTINGS.model_copy(update={"head": "multilabel", "train": train, "learning_rate": 0.05})
    result = finetune_stack(STACK, labels_of(TRAIN), settings, validation=labels_of(HELD_OUT))
    report = result.model.report(*labels_of(HELD_OUT))
    assert result.history[-1].validation_loss < result.history[0].validation_loss
    if train != "head":
        assert report.subset_accuracy > 0.8 and all(
            label.accuracy > 0.8 and label.auroc > 0.9 for label in report.labels
        )
        assert result.history[-1].validation_error < 0.2
    chances = result.model.predict_proba(HELD_OUT.x)
    assert torch.equal(result.model.predict(HELD_OUT.x), (chances > 0.5).long())


def test_predictions_follow_the_units_of_the_targets():
    """y → a y + b does the same to predictions: inside, the targets are the same."""
    plain, other = numbers_of(TRAIN), numbers_of(TRAIN)
    models = [tune(plain).model, tune(Part(other.x, 8 * other.y - 64)).model]
    first, second = (model.predict(HELD_OUT.x) for model in models)
    torch.testing.assert_close(second, 8 * first - 64, rtol=1e-3, atol=1e-3)


def test_a_target_that_never_changes_is_predicted():
    part = numbers_of(TRAIN)
    y = torch.stack([part.y[:, 0], torch.full((90,), 7.0)], dim=1)
    model = tune(Part(part.x, y)).model
    assert float((model.predict(part.x)[:, 1] - 7).detach().abs().max()) < 0.5
    assert model.report(part.x, y)[1].r2 is None


def test_targets_that_32_bits_do_not_hold(tmp_path):
    """Seconds since 1970: within the minute that they lie in, also from the file of the head."""
    x = TRAIN.x[:]
    y = 1.7e9 + 60 * x[:, :1].double()
    assert len(y.float().unique()) <= 2
    model = tune(Part(x, y), max_epochs=120).model
    assert model.predict(x).dtype == torch.float64
    report = model.report(x, y)[0]
    assert report.rmse < 10 and report.r2 > 0.5
    path, settings = tmp_path / "regressor.safetensors", PretrainConfig.from_options("12,8,5", activation="sigmoid")
    again, names = read_head(path, pack_head(model, ("t",)), "regressor", settings, "eager")
    assert names == ("t",) and torch.equal(again.offset, model.offset) and again.offset.dtype == torch.float64
    narrow = tune(Part(x, 60 * x[:, :1])).model
    again, _ = read_head(path, pack_head(narrow, ("t",)), "regressor", settings, "eager")
    assert again.offset.dtype == torch.float32 and again.predict(x).dtype == torch.float32


# ---- what is missing


@pytest.mark.parametrize("name", ["regressor", "several labels"])
def test_a_missing_target_has_neither_loss_nor_gradient(name):
    one, rows = HEADS[name]("eager"), torch.arange(ROWS)
    z = one.network(one.x).detach()
    missing = one.y.isnan()
    grad = torch.autograd.functional.jacobian(lambda z: _loss(one, z), z)
    assert bool((grad[missing] == 0).all()) and bool((grad[~missing] != 0).all())
    assert one(rows, 0).item() == pytest.approx(_loss(one, z).item() / ROWS)


def _loss(one: Any, z: Tensor) -> Tensor:
    from stackae.models.heads.multilabel import MultilabelObjective, cross_entropy
    from stackae.models.heads.regressor import squared_error

    return (cross_entropy if isinstance(one, MultilabelObjective) else squared_error)(z, one.y)


@pytest.mark.parametrize("head", ["regressor", "multilabel"])
def test_what_is_learned_of_one_target_is_the_same_to_the_bit_whatever_a_missing_one_would_be(head):
    """NaN has no value: what stands for it in files has no influence, and rows without any target are passed over."""
    part = numbers_of(TRAIN) if head == "regressor" else labels_of(TRAIN)
    y = part.y.clone()
    y[::3, 0] = torch.nan
    y[::4] = torch.nan
    known = ~y.isnan().all(dim=1)
    other = y.clone()
    other[other.isnan()] = -torch.tensor(torch.nan)  # other bits of the same nothing
    models = [
        tune(part._replace(y=y), head, max_epochs=3).model,
        tune(part._replace(y=other), head, max_epochs=3).model,
        tune(Part(part.x[known], y[known]), head, max_epochs=3).model,
    ]
    for model in models[1:]:
        assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), model.parameters(), strict=True))


def test_missing_targets_are_not_scored():
    part = numbers_of(TRAIN)
    model = tune(part, max_epochs=2).model
    y = part.y.clone()
    y[:60, 0] = torch.nan
    y[:, 1] = torch.nan
    first, second = model.report(part.x, y)
    assert second is None and first.rows == 30
    assert first == model.report(part.x[60:], part.y[60:])[0]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "expected numbers to train a regressor, got none; use data"),
        (torch.full((90, 2), torch.nan), "expected numbers to train a regressor, got none; use data"),
        (torch.tensor([[1.0, torch.nan]]).expand(90, 2), "got none for target 2 of 2"),
        (
            TRAIN.y,
            "got classes; read them with target_kind='numbers', or use head='classifier'",
        ),
    ],
)
def test_targets_that_cannot_be_learned_are_refused(y, message):
    with pytest.raises(DataError, match=message):
        tune(Part(TRAIN.x, y))


def test_targets_of_another_head_are_refused():
    with pytest.raises(DataError, match="expected labels that are 0 or 1, or missing, got 2"):
        tune(Part(TRAIN.x, TRAIN.y.float()), "multilabel")
    with pytest.raises(DataError, match="expected the class of each row to train a classifier, got numbers"):
        finetune_stack(STACK, numbers_of(TRAIN), SETTINGS, n_classes=3)
    model = tune(numbers_of(TRAIN), max_epochs=1).model
    for y in (None, TRAIN.y, torch.full((90, 2), torch.nan)):
        with pytest.raises(DataError, match="expected rows with targets to evaluate on, got none"):
            model.report(TRAIN.x, y)
    with pytest.raises(DataError, match="expected 2 per row, as it was trained on, got 3"):
        model.report(TRAIN.x, torch.zeros(90, 3))
    held_out = Part(HELD_OUT.x, torch.zeros(30, 3))
    with pytest.raises(DataError, match="expected 2 per row for validation as for training, got 3"):
        tune(numbers_of(TRAIN), validation=held_out)


# ---- scores


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_scores_are_what_they_are_said_to_be_with_ties_too(levels):
    generator = np.random.default_rng(levels)
    scores, positive = generator.integers(0, levels, 200) / levels, generator.random(200) < 0.3
    mine, true = torch.from_numpy(scores), torch.from_numpy(positive)
    pairs = scores[positive][:, None] - scores[~positive]
    assert auroc(mine, true) == pytest.approx(((pairs > 0) + (pairs == 0) / 2).mean(), rel=1e-12)
    assert average_precision(mine, true) == pytest.approx(average_precision_score(positive, scores), rel=1e-12)
    assert r_squared(mine, mine.flip(0)) == pytest.approx(r2_score(scores[::-1], scores), rel=1e-12)


@pytest.mark.parametrize("beyond", [math.inf, math.nan])
def test_scores_beyond_all_numbers_are_the_highest(beyond):
    scores, positive = torch.tensor([-math.inf, 0.0, 1.0, beyond, beyond]), torch.tensor([0, 0, 1, 1, 0]).bool()
    assert auroc(scores, positive) == pytest.approx((2 + 2.5) / 6)
    assert average_precision(scores, positive) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_scores_of_one_kind_alone_are_none():
    some = torch.rand(5)
    assert auroc(some, torch.ones(5).bool()) is None and auroc(some, torch.zeros(5).bool()) is None
    assert average_precision(some, torch.zeros(5).bool()) is None
    assert auroc(some[:0], some[:0].bool()) is None and average_precision(some[:0], some[:0].bool()) is None
    assert r_squared(some, torch.ones(5)) is None


# ---- reading


def config(path: Path, **given: Any) -> DataConfig:
    return DataConfig(data=str(path), **{"target_kind": "numbers", **given})


def table(folder: Path, *lines: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "table.csv"
    path.write_text("\n".join(["f,a,g,b", *lines]) + "\n")
    return path


def test_columns_of_a_table_are_targets_in_the_order_in_which_they_are_named(tmp_path):
    path = table(tmp_path, "1,2,3,4", "5,,6,nan", "7, 8e-1 ,9,-1")
    source = load_source(config(path, target="b,a"))
    assert source.targets == ("b", "a") and source.column_names == ("f", "g") and source.classes == ()
    np.testing.assert_array_equal(source.x, [[1, 3], [5, 6], [7, 9]])
    np.testing.assert_array_equal(source.y, [[4, 2], [np.nan, np.nan], [-1, 0.8]])
    assert source.y.dtype == np.float64  # 0.8 is no 32-bit number
    whole = table(tmp_path / "whole", "1,2,3,4", "7, 8e-1 ,9,-1")
    assert load_source(config(whole, target="a")).y.shape == (2, 1)
    assert load_source(DataConfig(data=str(whole), target="a")).classes == ("0.8", "2")
    assert check_data(config(path, target="b,a"), lambda share: None).refusal == ""


@pytest.mark.parametrize(
    ("target", "row", "message"),
    [
        ("a,c", "1,2,3,4", "expected a column named 'c' for the target"),
        ("a,a", "1,2,3,4", "expected each target once, got 'a' twice; name it once"),
        ("a,b", "1,x,3,4", ":2: column 'a' (2): 'x' is not a number"),
        ("a,b", "1,1e39,3,4", ":2: column 'a' (2): '1e+39' is too large for a 32-bit number"),
        ("a,b", "1,1_0,3,4", ":2: column 'a' (2): '1_0' is not a number"),
        ("a,b,f,g", "1,2,3,4", "expected a column for a feature besides the target, got none of f, a, g, b"),
    ],
)
def test_tables_without_such_targets_are_refused(tmp_path, target, row, message):
    with pytest.raises(DataError) as caught:
        load_source(config(table(tmp_path, row), target=target))
    assert message in str(caught.value)
    assert message in check_data(config(table(tmp_path, row), target=target), lambda share: None).refusal


def test_arrays_are_targets_of_one_column_or_of_several(tmp_path):
    x = np.arange(12.0).reshape(6, 2)
    for y, names in ((np.arange(6), ("y",)), (x[:, :1], ("y",)), (x / 7, ("y0", "y1")), (x > 4, ("y0", "y1"))):
        np.savez(tmp_path / "some.npz", x=x, y=y, x_test=x[:2], y_test=y[:2])
        source = load_source(config(tmp_path / "some.npz"))
        assert source.targets == names
        np.testing.assert_array_equal(source.y, y.reshape(6, -1))
        assert source.y.dtype == (np.float64 if names == ("y0", "y1") and y.dtype.kind == "f" else np.float32)
        assert scaled_rows(source, load_data(config(tmp_path / "some.npz")).scaling).y.shape == (8, len(names))
    np.savez(tmp_path / "half.npz", x=x, y=x, x_test=x[:2])
    rows = scaled_rows(load_source(config(tmp_path / "half.npz")), load_data(config(tmp_path / "half.npz")).scaling)
    assert bool(rows.y[6:].isnan().all()) and not bool(rows.y[:6].isnan().any())


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.zeros((3, 2, 2))}, "expected targets y of shape (n,) or (n, targets), at most 65,536 of them"),
        ({"y": np.array(["a", "b", "c"])}, "expected an array of real numbers"),
        ({"y": np.array([1.0, np.inf, 2.0])}, "or NaN where one is missing, got inf for row 1, target 0"),
        ({"y": np.array([1.0, 1e39, 2.0])}, "or NaN where one is missing, got 1e+39 for row 1, target 0"),
        ({"y": np.zeros(2)}, "expected 1 targets per row, 3 rows in all, got shape (2, 1)"),
        ({"y": np.zeros((3, 2)), "x_test": np.zeros((1, 2)), "y_test": np.zeros(1)}, "in y_test as in y, got 1 and 2"),
    ],
)
def test_arrays_that_are_no_targets_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", x=np.zeros((3, 2)), **arrays)
    with pytest.raises(DataError) as caught:
        load_source(config(tmp_path / "bad.npz"))
    assert message in str(caught.value)


def test_classes_are_refused_as_before(tmp_path):
    np.savez(tmp_path / "floats.npz", x=np.zeros((3, 2)), y=np.full((3, 2), 0.5))
    with pytest.raises(DataError, match="expected labels y of shape"):
        load_source(config(tmp_path / "floats.npz", target_kind="classes"))
    with pytest.raises(DataError, match="expected a column named 'a,b' for the target"):
        load_source(config(table(tmp_path, "1,2,3,4"), target="a,b", target_kind="classes"))


def test_named_sets_have_no_numbers_to_be_learned_and_the_same_rows():
    plain, numbers = load_data(DataConfig()), load_data(DataConfig(target_kind="numbers"))
    assert numbers.train.y is None and numbers.classes == ()
    assert sum(len(part.x) for part in numbers[1:4]) == sum(len(part.x) for part in plain[1:4])


def test_parts_share_out_rows_with_targets_and_rows_without(tmp_path):
    y = np.where(np.arange(100) % 2 == 0, np.nan, np.arange(100.0))
    np.savez(tmp_path / "half.npz", x=np.random.default_rng(0).random((100, 3)), y=y)
    data = load_data(config(tmp_path / "half.npz"))
    for part, count in ((data.test, 20), (data.validation, 8), (data.train, 72)):
        assert len(part.x) == count and int(part.y.isnan().sum()) == count // 2
    other = data._replace(targets=("z",))
    assert fingerprint(other) != fingerprint(data)
