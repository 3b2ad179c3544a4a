"""Fine-tuning on labelled and unlabelled rows together: what it is worth, and when it is chosen."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stackae.config import FinetuneConfig, PretrainConfig
from stackae.data import Part
from stackae.errors import ConfigError
from stackae.finetuning import finetune_stack
from stackae.models.heads.base import HeadTask
from stackae.models.stack import StackedAutoencoder
from stackae.objectives.kinds import build
from stackae.semisupervised.training import settled_method
from stackae.training.candidates import USUAL_DECAY
from stackae.training.solved_head import prepared_on, solve

METHODS = ("pseudo-label", "adversarial", "ladder")


def stack_of(*sizes: int, **layer: Any) -> StackedAutoencoder:
    """An untrained stack of these widths."""
    options = {"activation": "tanh", "output_activation": "linear", **layer}
    config = PretrainConfig.from_options(",".join(map(str, sizes)), **options)
    return StackedAutoencoder(
        build(n, each, seed=0, number=number, engine="auto")
        for number, (n, each) in enumerate(zip(sizes, config.layers, strict=False), start=1)
    )


def rings(rows: int = 600) -> tuple[Tensor, Tensor]:
    """Two noisy rings in a plane of eight dimensions, and which ring a row lies on."""
    draws = np.random.default_rng(0)
    y = np.arange(rows) % 2
    angle = draws.uniform(0, 2 * np.pi, rows)
    plane = (1 + 1.5 * y)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = plane @ draws.standard_normal((2, 8)) + 0.05 * draws.standard_normal((rows, 8))
    return torch.from_numpy(x).float(), torch.from_numpy(y)


def few(y: Tensor, labels: int) -> Tensor:
    known = torch.full_like(y, -1)
    known[:labels] = y[:labels]
    return known


def error(method: str, labels: int, **settings: Any) -> float:
    x, y = rings()
    config = FinetuneConfig(unlabelled=method, train="all", max_epochs=40, batch_size=60, **settings)
    model = finetune_stack(stack_of(8, 40, 20), Part(x, few(y, labels)), config, n_classes=2).model
    return float((model.predict(x) != y).float().mean())


@pytest.mark.parametrize("method", METHODS)
def test_two_labels_per_ring_suffice(method: str) -> None:
    assert error(method, 4) < 0.02 < error("none", 4)


@pytest.mark.parametrize("method", METHODS)
def test_numbers_are_learned_too(method: str) -> None:
    x, y = rings()
    target = torch.where(few(y, 20) < 0, torch.nan, y.double())[:, None]
    config = FinetuneConfig(head="regressor", unlabelled=method, train="all", max_epochs=40, batch_size=60)
    model = finetune_stack(stack_of(8, 40, 20), Part(x, target), config).model
    with torch.no_grad():
        assert float((model.predict(x)[:, 0] - y).square().mean()) < 0.05 < float(y.double().var())


def test_all_rows_may_be_labelled() -> None:
    assert error("adversarial", 600) < 0.02


def test_the_best_epoch_is_that_of_the_validation_rows() -> None:
    x, y = rings()
    config = FinetuneConfig(unlabelled="adversarial", train="all", max_epochs=5, batch_size=60)
    held_out = Part(x[:100], y[:100])
    trained = finetune_stack(stack_of(8, 20), Part(x[100:], few(y[100:], 40)), config, n_classes=2, validation=held_out)
    kept = [record for record in trained.history if record.best][-1]
    wrong = float((trained.model.predict(x[:100]) != y[:100]).float().mean())
    assert kept.validation_error == pytest.approx(wrong)


def test_the_same_seed_gives_the_same_weights() -> None:
    x, y = rings(200)
    config = FinetuneConfig(unlabelled="adversarial", train="all", max_epochs=3, batch_size=50)
    one, two = (finetune_stack(stack_of(8, 20), Part(x, few(y, 10)), config, n_classes=2).model for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_it_starts_from_the_head_that_enough_labels_solve() -> None:
    x, y = rings()
    stack, still = stack_of(8, 40, 20), {"unlabelled": "pseudo-label", "max_epochs": 1, "learning_rate": 1e-30}
    task = HeadTask(stack, Part(x[:100], y[:100]), None, FinetuneConfig(train="head"), 2, "mse")
    head = prepared_on(task)
    solve(head, task.config, USUAL_DECAY)
    for labels, solved in ((100, True), (99, False)):
        config = FinetuneConfig(train="all", **still)
        start = finetune_stack(stack, Part(x, few(y, labels)), config, n_classes=2).model
        with torch.no_grad():
            assert torch.allclose(start(x), head.model(x), atol=1e-3) is solved


def test_auto_is_by_the_share_of_labels() -> None:
    stack, auto = stack_of(8, 20), FinetuneConfig(train="all")
    sentence = "100 of 600 training rows are labelled, if spreading finds withheld ones"
    assert settled_method(auto, stack, 100, 600) == ("adversarial", sentence)
    assert settled_method(auto, stack, 400, 600) == ("none", "400 of 600 training rows are labelled")
    assert settled_method(auto, stack, 10, 60).name == "none"
    assert settled_method(FinetuneConfig(train="head"), stack, 100, 600) == ("none", "train head")
    assert settled_method(FinetuneConfig(head="regressor"), stack, 100, 600).name == "none"
    sparse = settled_method(auto, stack_of(8, 20, sparsity="top-k:3", activation="relu"), 100, 600)
    assert sparse == ("none", "layer 1 of kind dense, sparsity top-k:3")


def test_a_method_needs_dense_layers() -> None:
    with pytest.raises(
        ConfigError, match="unlabelled ladder: expected dense layers that keep all units, got layer 1 of"
    ):
        settled_method(
            FinetuneConfig(unlabelled="ladder", train="all"),
            stack_of(8, 20, sparsity="top-k:3", activation="relu"),
            100,
            600,
        )


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"head": "multilabel"}, "head multilabel"),
        ({"train": "head"}, "train head"),
        ({"layer_decay": 0.5, "train": "all"}, "layer_decay 0.5"),
        ({"outputs": "sigmoid"}, "outputs sigmoid"),
        ({"corruption": "masking:0.2"}, "corruption masking:0.2"),
        ({"dropout": "0.2"}, "dropout 0.2"),
        ({"optimizer": "lbfgs"}, "optimizer lbfgs"),
    ],
)
def test_settings_that_need_labels(settings: dict[str, Any], found: str) -> None:
    expected = (
        f"unlabelled adversarial: expected all layers of a classifier or regressor to be trained alike, got {found}"
    )
    with pytest.raises(ConfigError, match=expected):
        FinetuneConfig(unlabelled="adversarial", **settings)


def test_a_comparison_that_nothing_is_spread_by_is_refused() -> None:
    sentence = "neighbours gradients: expected rows without labels that are learned from, got unlabelled none; leave"
    with pytest.raises(ConfigError, match=sentence):
        FinetuneConfig(neighbours="gradients", unlabelled="none")


@pytest.mark.parametrize(("labels", "method"), [("rings", "adversarial"), ("noisy", "pseudo-label")])
def test_auto_trusts_spreading_that_finds_withheld_labels(labels: str, method: str) -> None:
    x, y = rings()
    if labels == "noisy":  # a fifth of the labels
        y = torch.where(torch.from_numpy(np.random.default_rng(1).uniform(size=len(y)) < 0.2), 1 - y, y)
    config = FinetuneConfig(train="all", max_epochs=1)
    trained = finetune_stack(stack_of(8, 20), Part(x, few(y, 100)), config, n_classes=2)
    sentence = rf"{method}, as spreading finds \d+% of withheld labels by values, a head on the codes \d+%"
    assert re.fullmatch(sentence, trained.choice.why)


def test_auto_leaves_the_other_rows_out_where_a_head_finds_more_of_the_withheld_labels() -> None:
    x = torch.from_numpy(np.random.default_rng(3).standard_normal((600, 8))).float()
    y = (x[:, 0] > 0).long()
    stack, labels = stack_of(8, 20), Part(x, few(y, 100))
    trained = finetune_stack(stack, labels, FinetuneConfig(), n_classes=2)
    found, head = map(int, re.findall(r"(\d+)%", trained.choice.why))
    assert found < head and "; cross-validated error" in trained.choice.why
    alone = finetune_stack(stack, labels, FinetuneConfig(unlabelled="none"), n_classes=2)
    assert all(torch.equal(a, b) for a, b in zip(trained.model.parameters(), alone.model.parameters(), strict=True))
    asked = FinetuneConfig(max_epochs=1, unlabelled="adversarial")
    assert finetune_stack(stack, labels, asked, n_classes=2).choice.why.startswith("adversarial")


def test_images_of_gray_pixels_are_spread_over_by_gradients() -> None:
    draws = np.random.default_rng(2)
    y = torch.from_numpy(np.arange(300) % 2)
    phases = torch.from_numpy(draws.uniform(0, 2 * np.pi, (300, 1, 1))).float()
    waves = 0.5 + 0.3 * torch.sin(torch.arange(8.0).view(1, 1, 8) * torch.pi / 2 + phases).expand(-1, 8, -1)
    x = torch.where((y == 0)[:, None, None], waves, waves.transpose(1, 2)).flatten(1)
    config = FinetuneConfig(train="all", max_epochs=1)
    found = {
        shape: finetune_stack(stack_of(64, 20), Part(x, few(y, 10)), config, n_classes=2, image_shape=shape).choice.why
        for shape in ((8, 8), None)
    }
    assert found[8, 8].startswith("adversarial, as spreading finds 100% of withheld labels by gradients")
    assert " by values" in found[None]
