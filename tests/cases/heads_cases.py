"""Stacks of every kind of layer, objectives of every head, a checkpointer that looks on: what tests of heads share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stackae.autoencoders.dense import Dense
from stackae.config import PretrainConfig
from stackae.data import Part
from stackae.models.heads import Classifier, DeepAutoencoder, MultilabelClassifier, Regressor
from stackae.models.heads.base import FinetuneObjective
from stackae.models.heads.classifier import ClassificationObjective
from stackae.models.heads.multilabel import MultilabelObjective
from stackae.models.heads.reconstruction import UnrolledObjective
from stackae.models.heads.regressor import RegressionObjective
from stackae.models.stack import StackedAutoencoder
from stackae.pretraining import pretrain_stack
from stackae.random import Purpose, uniform
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


def chain(*sizes: int, last: str = "linear") -> list[Dense]:
    """Dense layers of float64, tanh but for the last."""
    pairs = list(itertools.pairwise(sizes))
    return [
        Dense.initialised(a, b, "tanh" if i < len(pairs) - 1 else last, seed=3, layer=i, engine="eager").double()
        for i, (a, b) in enumerate(pairs)
    ]


def rows_of(n: int, width: int) -> Tensor:
    return uniform((n, width), seed=9, purpose=Purpose.SPLIT).double()


def classifier(**more: Any) -> FinetuneObjective:
    layers = chain(6, 5, 4, 3)
    return ClassificationObjective(Classifier(layers[:-1], layers[-1]), rows_of(20, 6), torch.arange(20) % 3, **more)


def deep(loss: str, **more: Any) -> UnrolledObjective:
    kinds = {"kind": "dense", "tied": "false", "output_activation": "sigmoid", "activation": "sigmoid"}
    config = PretrainConfig.from_options("6,5,3", max_epochs=1, device="cpu", **kinds)
    x = rows_of(20, 6)
    model = DeepAutoencoder.unrolled(pretrain_stack(x.float(), config).stack).double()
    return UnrolledObjective(model, x, x, loss=loss, **more)


def numbers(rows: int, count: int, binary: bool = False) -> Tensor:
    """(rows, count) targets of which some are missing."""
    y = torch.randn(rows, count, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    y = (y > 0).double() if binary else y
    y.view(-1)[::5] = torch.nan
    return y


def targets(kind: Any, model: Any, **more: Any) -> FinetuneObjective:
    layers = chain(6, 5, 4, 3)
    y = numbers(20, 3, binary=kind is MultilabelObjective)
    one: FinetuneObjective = kind(model(layers[:-1], layers[-1]).double(), rows_of(20, 6), y, **more)
    return one


OBJECTIVES: dict[str, Callable[..., FinetuneObjective]] = {
    "classifier": classifier,
    "deep, mse": lambda **more: deep("mse", **more),
    "deep, bce": lambda **more: deep("bce", **more),
    "regressor": lambda **more: targets(RegressionObjective, Regressor, **more),
    "multilabel": lambda **more: targets(MultilabelObjective, MultilabelClassifier, **more),
}


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
