"""Small objectives, and both steps to train them by: what the tests of the step share."""

from __future__ import annotations

import itertools
import os
from typing import Any

import pytest
import torch
from torch import Tensor

from stackae.autoencoders.dense import Autoencoder, Dense
from stackae.config import TrainingConfig
from stackae.data.rows import ByteRows, Rows
from stackae.data.scaling import Scaling
from stackae.models.heads.classifier import ClassificationObjective, Classifier
from stackae.objectives.auxiliary import Auxiliary
from stackae.objectives.reconstruction import ReconstructionObjective
from stackae.ops.compiled import FusedStep, products, train_step
from stackae.random import Purpose, uniform
from stackae.training.fused import kernel_training
from stackae.training.optimizers import make_optimizer
from stackae.training.step import EagerStep

DEVICE = os.environ.get("STACKAE_TEST_DEVICE", "cpu")  # `make gpu-check` says cuda
DEVICE_STEP = products(DEVICE, "tf32") is not None  # the step of CUDA's sources: on a GPU, or emulated on the host
HALF = pytest.mark.skipif(products(DEVICE, "bf16") is None, reason="this device has no bfloat16 products")


def rows_of(n: int, width: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return uniform((n, width), seed=9, purpose=Purpose.SPLIT).to(DEVICE, dtype)


def objective(x: Rows, n_hidden: int, dtype: torch.dtype = torch.float64, **given: Any) -> ReconstructionObjective:
    """An objective on a new autoencoder, whose weights depend on the shape alone."""
    autoencoder = Autoencoder(
        x.shape[1],
        n_hidden,
        activation=given.pop("activation", "sigmoid"),
        output_activation=given.pop("output_activation", "sigmoid"),
        tied=given.pop("tied", True),
        keeps=given.pop("keeps", 0),
        over_batch=given.pop("over_batch", False),
        share=given.pop("share", 0.0),
        seed=5,
    )
    autoencoder.to(x.device, dtype)
    if "auxiliary" in given:  # the units and rows of an auxiliary loss of its own
        given["auxiliary"] = Auxiliary(*given["auxiliary"], autoencoder.encoder.bias)
    return ReconstructionObjective(autoencoder, x, **{"seed": 3, "layer": 2, **given})


def both_steps(make: Any, weight_decay: float = 0.0, **training: Any):
    """(network, step) for the fused and the eager step, each on a network of its own."""
    config = TrainingConfig(**training)
    return [(one.network, build(one, config, weight_decay)) for build in BUILD.values() for one in [make()]]


def parameters(one: Any) -> list[Tensor]:
    """Copies of those of its network."""
    return [parameter.detach().clone() for parameter in one.network.parameters()]


def bits(one: Any) -> list[bytes]:
    """Of the parameters of its network."""
    return [parameter.detach().cpu().numpy().tobytes() for parameter in one.network.parameters()]


def eager_step(one: Any, config: TrainingConfig, weight_decay: float) -> EagerStep:
    """Trains the objective's network in place."""
    return EagerStep(one, make_optimizer(one.network, config, 0.0, weight_decay))


def fused_step(one: Any, config: TrainingConfig, weight_decay: float) -> FusedStep:
    """Trains the objective's network in place."""
    return train_step(kernel_training(one, config, weight_decay), config.precision)


BUILD = {"fused": fused_step, "eager": eager_step}
ENGINES = pytest.mark.parametrize("engine", list(BUILD))


def orders(n: int, epochs: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randperm(n, generator=generator) for _ in range(epochs)]


def train(step: Any, n: int, batch_size: int, steps: int, rate: float = 0.01) -> list[float]:
    """The loss of each call; calls hold one epoch of batches, or what remains of the steps."""
    per_epoch, done, losses = -(-n // batch_size), 0, []
    for order in orders(n, -(-steps // per_epoch)):
        count = min(per_epoch, steps - done)
        rates = [rate / (1 + done + i) ** 0.5 for i in range(count)]
        progress = step.advance(order[: count * batch_size], batch_size, done, rates)
        assert progress.steps == count
        losses.append(progress.total)
        done += count
    return losses


def assert_equal_training(pair: Any, n: int, batch_size: int, steps: int, tolerance: float, rate: float = 0.01) -> None:
    (fused, fused_step), (eager, eager_step) = pair
    fused_losses, eager_losses = (train(step, n, batch_size, steps, rate) for step in (fused_step, eager_step))
    assert fused_losses == pytest.approx(eager_losses, rel=tolerance)
    for (name, a), b in zip(fused.named_parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}")


def classification(x: Rows, y: Tensor, sizes: tuple[int, ...], dtype: torch.dtype, activation: str):
    widths = list(itertools.pairwise(sizes))
    layers = [
        Dense.initialised(n_in, n_out, activation if number < len(widths) else "linear", seed=4, layer=number)
        for number, (n_in, n_out) in enumerate(widths, start=1)
    ]
    return ClassificationObjective(Classifier(layers[:-1], layers[-1]).to(x.device, dtype), x, y.to(x.device))


def byte_rows(n: int, width: int, kind: str = "unit") -> ByteRows:
    raw = (rows_of(n, width) * 255).to("cpu", torch.uint8)
    return ByteRows(raw, Scaling.fit(kind, raw)).to(DEVICE)
