"""The step that a summary shows is the step that trains: one decision, for every combination of settings."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from heads_cases import TRAIN, stack_of

from stackae.config import FinetuneConfig, PretrainConfig
from stackae.config.values import validated
from stackae.data import Part
from stackae.errors import ConfigError
from stackae.finetuning import finetune_stack
from stackae.ops.compiled import FusedReplicas
from stackae.ops.engine import choose_step
from stackae.pretraining import pretrain_stack, settle
from stackae.training import head
from stackae.training.choice import layer_steps, shown_head_step, shown_layer_steps
from stackae.training.layer import LayerReplica, Reads, make_step

X = torch.rand(24, 12, generator=torch.Generator().manual_seed(0))
LAYERS = {"dense": "12,6", "variational": "12,6", "convolutional": "2x3x2,conv2"}
CHOICES: dict[str, list[Any]] = {
    "activation": ["sigmoid", "relu"],
    "tied": [True, False],
    "loss": ["mse", "bce"],
    "corruption": ["none", "masking:0.3"],
    "sparsity": ["none", "kl:0.1:0.1", "l1:0.1", "top-k:2", "batch-top-k:2", "lifetime:0.1"],
    "contraction": [0.0, 0.1],
    "emphasis": ["none", "1:0.5"],
    "dropout": [0.0, 0.2],
    "weight_l1": [0.0, 0.1],
    "max_norm": [0.0, 1.0],
    "revive": ["none", "resample", "auxiliary:2:30"],
}


def pairs() -> list[dict[str, Any]]:
    """Every value of every setting beside every value of every other one."""
    found = [{}]
    for (one, ones), (other, others) in itertools.combinations(CHOICES.items(), 2):
        found += [{one: a, other: b} for a, b in itertools.product(ones, others)]
    return found


@pytest.mark.parametrize("engine", ["auto", "fused", "eager"])
@pytest.mark.parametrize("kind", LAYERS)
def test_the_step_that_is_shown_of_a_layer_trains_it(kind: str, engine: str) -> None:
    steps = set()
    for settings in pairs():
        given = {"kind": kind, "engine": engine, "device": "cpu", **settings}
        try:
            config = settle(PretrainConfig.from_options(LAYERS[kind], **given), X)
        except ConfigError:
            continue
        replica = LayerReplica.new(0, config, 1, Reads.of(X, None), torch.device("cpu"))
        trains = "fused" if isinstance(make_step([replica]), FusedReplicas) else "eager"
        assert shown_layer_steps(config).startswith(f"{trains} on cpu ("), settings
        steps.add(trains)
    assert steps == {"fused" if kind == "dense" and engine != "eager" else "eager"}


def test_a_layer_remembers_the_step_that_trained_it() -> None:
    options = {"kind": "dense,variational", "device": "cpu", "max_epochs": 1}
    config = PretrainConfig.from_options("12,6,4", **options)
    base = choose_step("auto", torch.device("cpu"))
    assert pretrain_stack(X, config).steps == {1: base, 2: (False, base.reason, "kind variational")}
    assert shown_layer_steps(config) == f"fused on cpu ({base.reason}; layer 2 eager: kind variational)"
    assert layer_steps(PretrainConfig.from_options("12,6", kind="pca", device="cpu")) == {}


@pytest.mark.parametrize("engine", ["auto", "eager"])
def test_the_step_that_is_shown_of_a_head_trains_it(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(head, "make_step", lambda *given, real=head.make_step: made.append(real(*given)) or made[-1])
    part = Part(TRAIN.x[:12], TRAIN.y[:12])
    kinds = ("tied", "convolutional", "variational", "marginalised", "pca", "top-k")
    stacks = {kind: stack_of(kind, max_epochs=1) for kind in kinds}
    settings = itertools.product(("head", "all", "gradual"), (1.0, 0.5), (0.0, 1.0), ("none", "balanced"))
    for kind, (train, decay, norm, weight) in itertools.product(kinds, settings):
        stack = stacks[kind]
        for name in ("classifier", "reconstruction"):
            given = {"head": name, "train": train, "layer_decay": decay, "max_norm": norm, "class_weight": weight}
            try:
                config = validated(FinetuneConfig, {**given, "engine": engine, "device": "cpu", "max_epochs": 1})
            except ConfigError:
                continue
            result = finetune_stack(stack, part, config, n_classes=3)
            trains = "fused" if isinstance(made[-1], FusedReplicas) else "eager"
            assert shown_head_step(stack, config).startswith(f"{trains} on cpu ("), (kind, given)
            assert result.step.fused == (trains == "fused")
