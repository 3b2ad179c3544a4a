"""Stacks of every kind of layer, and a checkpointer that looks on: what tests of heads share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stackae.config import PretrainConfig
from stackae.data import Part
from stackae.models.stack import StackedAutoencoder
from stackae.pretraining import pretrain_stack
from stackae.training.checkpointing import Snapshot

KINDS: dict[str, dict[str, Any]] = {
    "tied": {"layers": "12,8,5"},
    "untied": {"layers": "12,8,5", "tied": "false", "loss": "bce"},
    "top-k": {"layers": "12,8,5", "sparsity": "top-k:3,none", "activation": "relu"},
    "batch-top-k": {"layers": "12,8,5", "sparsity": "batch-top-k:3,none", "activation": "relu"},
    "convolutional": {"layers": "3x4x1,conv3,pool,5", "loss": "bce,mse"},
    "variational": {"layers": "12,8,5", "kind": "dense,variational", "corruption": "none"},
    "variational, hidden": {
        "layers": "12,5",
        "kind": "variational",
        "hidden": "7",
        "loss": "bce",
        "corruption": "none",
    },
    "marginalised": {"layers": "12,8,5", "kind": "marginalized"},
    "pca": {"layers": "12,8,5", "kind": "pca"},
}


def blobs(rows: int, seed: int = 0) -> Part:
    """Three noisy classes of 12 features in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(3, 12, generator=torch.Generator().manual_seed(42))
    y = torch.arange(rows) % 3
    noise = 0.1 * torch.randn(rows, 12, generator=generator)
    return Part((centres[y] + noise).clamp(0, 1), y)


TRAIN, HELD_OUT = blobs(90), blobs(30, seed=1)


def stack_of(kind: str, **options: Any) -> StackedAutoencoder:
    given = {"max_epochs": 8, "batch_size": 16, "device": "cpu", **KINDS[kind], **options}
    return pretrain_stack(TRAIN.x, PretrainConfig.from_options(given.pop("layers"), **given)).stack


class Watching:
    """A checkpointer that remembers the weights at the end of each epoch."""

    def __init__(self) -> None:
        self.epochs: list[Mapping[str, Tensor]] = []

    def begin(self, stage: str, networks: Mapping[int, nn.Module]) -> None:
        return None

    def ready(self) -> None:
        pass

    def pause(self, stage: str, snapshot: Callable[[], Snapshot], epoch_ended: bool) -> None:
        if epoch_ended:
            weights = snapshot().replicas[0].weights
            self.epochs.append({name: tensor.clone() for name, tensor in weights.items()})

    def end(self, stage: str, results: Mapping[int, Any]) -> None:
        pass
