"""Configurations that may train together, and what their results are compared by."""

from __future__ import annotations

from typing import Any

import torch

from stackae.config import PretrainConfig
from stackae.errors import DivergedError
from stackae.pretraining import PretrainResult, pretrain_together
from stackae.random import Purpose, uniform

ROWS, HELD_OUT = (uniform((n, 20), seed=n, purpose=Purpose.SPLIT) for n in (150, 40))


def config(layers: str = "20,12,6", **options: Any) -> PretrainConfig:
    given = {"max_epochs": 5, "batch_size": 32, "device": "cpu", "activation": "tanh", "sparsity": "kl:0.1:0.1"}
    return PretrainConfig.from_options(layers, **given | options)


NUMBERS = ({"learning_rate": 0.03}, {"seed": 4, "corruption": "masking:0.5,masking:0.1"}, {"weight_decay": 0.01})
LINEAR = {"activation": "linear", "output_activation": "linear", "optimizer": "sgd", "schedule": "constant"}
NOISES = ({"corruption": "none"}, {"corruption": "masking:0,gaussian:0.2"}, {"sparsity": "l1:0.01,kl:0.1:0"})
UNLIKE = [config(), *(config(**each) for each in (*NUMBERS, *NOISES)), config(sparsity="kl:0.3:0.5", seed=1)]


def together(configs: list[PretrainConfig], x: Any = ROWS, **named: Any) -> list[PretrainResult]:
    results = pretrain_together(x, configs, validation=HELD_OUT, **named)
    assert not any(isinstance(result, DivergedError) for result in results)
    return results


def assert_same(one: PretrainResult, other: PretrainResult) -> None:
    """Weights, and all that was recorded but time."""
    assert all(torch.equal(a, b) for a, b in zip(one.stack.parameters(), other.stack.parameters(), strict=True))
    assert one.config == other.config
    for a, b in zip(one.history, other.history, strict=True):
        for name in ("stage", "epoch", "loss", "validation_loss", "corrupted_validation_loss", "learning_rate", "best"):
            assert getattr(a, name) == getattr(b, name)
