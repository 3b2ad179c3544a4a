"""The fused step is the eager step: the same losses, gradients and weights, for everything that it serves."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from stackae.autoencoders.dense import Autoencoder, Dense
from stackae.classifier import Classifier
from stackae.config import TrainingConfig
from stackae.corruption import Corruption
from stackae.data.rows import ByteRows, Rows
from stackae.data.scaling import Scaling
from stackae.fields import ACTIVATIONS, CORRUPTIONS
from stackae.penalties import KlSparsity, L1Sparsity
from stackae.random import Purpose, uniform
from stackae.training.fused import fused_classification, fused_reconstruction
from stackae.training.optimizers import make_optimizer
from stackae.training.step import ClassificationObjective, EagerStep, ReconstructionObjective

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def rows_of(n: int, width: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return uniform((n, width), seed=9, purpose=Purpose.SPLIT).to(dtype)


def objective(x: Rows, n_hidden: int, dtype: torch.dtype = torch.float64, **given: Any) -> ReconstructionObjective:
    """An objective on a new autoencoder, whose weights depend on the shape alone."""
    autoencoder = Autoencoder(
        x.shape[1],
        n_hidden,
        activation=given.pop("activation", "sigmoid"),
        output_activation=given.pop("output_activation", "sigmoid"),
        tied=given.pop("tied", True),
        seed=5,
    )
    defaults = {"loss": "mse", "corruption": Corruption(), "sparsity": None, "seed": 3, "layer": 2}
    return ReconstructionObjective(autoencoder.to(dtype), x, **{**defaults, **given})


def both_steps(make: Any, build: Any, weight_decay: float = 0.0, **training: Any):
    """(module, step) for the fused and the eager step, each on a network of its own."""
    config = TrainingConfig(**training)
    fused, eager = make(), make()
    modules = [each.autoencoder if isinstance(each, ReconstructionObjective) else each.model for each in (fused, eager)]
    optimizer = make_optimizer(modules[1], config, 0.0, weight_decay)
    return (modules[0], build(fused, config, weight_decay)), (modules[1], EagerStep(eager, optimizer))


def orders(n: int, epochs: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randperm(n, generator=generator) for _ in range(epochs)]


def train(step: Any, n: int, batch_size: int, steps: int, rate: float = 0.01) -> list[float]:
    """The loss of each call; calls hold one epoch of batches, or what remains of the steps."""
    per_epoch, done, losses = -(-n // batch_size), 0, []
    for order in orders(n, -(-steps // per_epoch)):
        count = min(per_epoch, steps - done)
        rates = [rate / (1 + done + i) ** 0.5 for i in range(count)]
        losses.append(step.advance(order[: count * batch_size], batch_size, done, rates))
        done += count
    return losses


def assert_equal_training(pair: Any, n: int, batch_size: int, steps: int, tolerance: float) -> None:
    (fused, fused_step), (eager, eager_step) = pair
    fused_losses, eager_losses = (train(step, n, batch_size, steps) for step in (fused_step, eager_step))
    assert fused_losses == pytest.approx(eager_losses, rel=tolerance)
    for (name, a), b in zip(fused.named_parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}")


@st.composite
def cases(draw: Any) -> dict[str, Any]:
    """Everything that a dense layer may be asked to do, in any combination that the configuration allows."""
    activation = draw(st.sampled_from(ACTIVATIONS))
    loss = draw(st.sampled_from(["mse", "bce"]))
    penalties = [None, L1Sparsity(0.01)] + [KlSparsity(0.1, 0.3)] * (activation in ("sigmoid", "tanh"))
    kind = draw(st.sampled_from(CORRUPTIONS))
    return {
        "activation": activation,
        "output_activation": "sigmoid" if loss == "bce" else draw(st.sampled_from(ACTIVATIONS)),
        "loss": loss,
        "tied": draw(st.booleans()),
        "sparsity": draw(st.sampled_from(penalties)),
        "corruption": Corruption(kind, 0.3 if kind != "none" else 0.0, -0.5, 1.5),
    }


SHAPES = [(1, 1, 1, 1), (7, 3, 2, 7), (70, 65, 33, 64), (90, 20, 31, 17), (40, 300, 17, 40), (9, 17, 300, 4)]
TRAININGS = st.fixed_dictionaries(
    {"optimizer": st.sampled_from(["sgd", "adam", "adamw"]), "momentum": st.sampled_from([0.0, 0.9])}
)


@FEW
@given(
    case=cases(),
    shape=st.sampled_from(SHAPES),
    training=TRAININGS,
    decay=st.sampled_from([0.0, 1e-2]),
    steps=st.sampled_from([1, 10, 200]),
)
def test_fused_equals_eager_to_rounding(case, shape, training, decay, steps):
    n, width, n_hidden, batch_size = shape
    x = rows_of(n, width)
    pair = both_steps(lambda: objective(x, n_hidden, **case), fused_reconstruction, decay, **training)
    assert_equal_training(pair, n, batch_size, steps, 1e-9)
