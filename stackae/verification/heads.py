"""Build small networks with every head, as fine-tuning trains them, for the checks of gradients and of the step."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from stackae.autoencoders.dense import Autoencoder, Dense
from stackae.config import FinetuneConfig
from stackae.models.heads import Finetuned
from stackae.models.heads.base import FinetuneObjective
from stackae.models.heads.classifier import ClassificationObjective, Classifier
from stackae.models.heads.multilabel import MultilabelClassifier, MultilabelObjective
from stackae.models.heads.reconstruction import DeepAutoencoder, UnrolledObjective
from stackae.models.heads.regressor import RegressionObjective, Regressor
from stackae.models.stack import StackedAutoencoder
from stackae.ops.engine import StepChoice, choose_step
from stackae.verification.subjects import SEED, normal, rows_of

ROWS, WIDTHS = 12, (6, 5, 4, 3)
ModelT = TypeVar("ModelT", bound=Finetuned)


def step_of(objective: FinetuneObjective, config: FinetuneConfig) -> StepChoice:
    """Choose the step as ``head_step`` does for a stack: fused where the network is a chain of dense layers."""
    return choose_step(config.engine, objective.network.device, lacks="" if objective.chain else "other layers")


def classifier(engine: str) -> FinetuneObjective:
    return ClassificationObjective(
        _model(Classifier, engine), rows_of(ROWS, WIDTHS[0]), torch.arange(ROWS) % WIDTHS[-1]
    )


def deep(loss: str, engine: str) -> FinetuneObjective:
    """Build the objective of an unrolled 6-5-3 stack, whose loss is that of the whole reconstruction."""
    stack = StackedAutoencoder(
        Autoencoder(n, m, activation="tanh", output_activation=g, tied=True, seed=SEED, layer=m, engine=engine)
        for n, m, g in ((6, 5, "sigmoid"), (5, 3, "linear"))
    )
    x = rows_of(ROWS, WIDTHS[0])
    return UnrolledObjective(DeepAutoencoder.unrolled(stack, engine).double(), x, x, loss=loss)


def regressor(engine: str) -> FinetuneObjective:
    return RegressionObjective(_model(Regressor, engine), rows_of(ROWS, WIDTHS[0]), targets())


def multilabel(engine: str) -> FinetuneObjective:
    y = targets()
    labels = torch.where(y.isnan(), y, (y > 0).double())
    return MultilabelObjective(_model(MultilabelClassifier, engine), rows_of(ROWS, WIDTHS[0]), labels)


def targets() -> Tensor:
    """Draw (12, 3) targets, of which every fifth is missing."""
    y = normal(ROWS, WIDTHS[-1], seed=7)
    y.view(-1)[::5] = torch.nan
    return y


def with_rows_that_lack_all_targets() -> dict[str, tuple[FinetuneObjective, FinetuneObjective]]:
    """Build, per head whose targets may be missing, two objectives that differ only in rows without any target."""
    unknown = torch.arange(ROWS) % 3 == 1
    found: dict[str, tuple[FinetuneObjective, FinetuneObjective]] = {}
    for name, make in (("regressor", regressor), ("several labels", multilabel)):
        pair = []
        for seed in (9, 10):
            one = make("eager")
            assert isinstance(one, RegressionObjective | MultilabelObjective)
            x, y = rows_of(ROWS, WIDTHS[0]), one.y.clone()
            x[unknown] = rows_of(ROWS, WIDTHS[0], seed)[unknown]
            y[unknown] = torch.nan
            pair.append(type(one)(one.network, x, y))
        found[name] = (pair[0], pair[1])
    return found


def _model(kind: Callable[[list[Dense], Dense], ModelT], engine: str) -> ModelT:
    pairs = list(itertools.pairwise(WIDTHS))
    layers = [
        Dense.initialised(a, b, "tanh" if i < len(pairs) else "linear", seed=SEED, layer=i, engine=engine)
        for i, (a, b) in enumerate(pairs, start=1)
    ]
    return kind(layers[:-1], layers[-1]).double()


HEADS: dict[str, Callable[[str], FinetuneObjective]] = {
    "classifier": classifier,
    "deep autoencoder, squared error": lambda engine: deep("mse", engine),
    "deep autoencoder, binary cross-entropy": lambda engine: deep("bce", engine),
    "regressor": regressor,
    "several labels": multilabel,
}
