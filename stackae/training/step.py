"""Steps of training: rows in, loss out, parameters moved. EagerStep serves any objective, by autograd over the ops."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from stackae.autoencoders.dense import Autoencoder
from stackae.batches import Batches, Progress
from stackae.classifier import Classifier
from stackae.corruption import Corruption
from stackae.data.minibatches import in_order
from stackae.data.rows import Rows
from stackae.losses import LOSSES
from stackae.penalties import KlSparsity, L1Sparsity
from stackae.training.optimizers import set_learning_rate

__all__ = [
    "Batches",
    "ClassificationObjective",
    "EagerStep",
    "OneByOne",
    "PopulationStep",
    "Progress",
    "ReconstructionObjective",
    "TrainStep",
]


class TrainStep(Protocol):
    """What trains a network: ``EagerStep`` and the fused step (``stackae.ops.train_step``)."""

    def advance(
        self, rows: Tensor, batch_size: int, step: int, learning_rates: Sequence[float], total: float = 0.0
    ) -> Progress:
        """One step for each learning rate: step + i on the i-th ``batch_size`` of the rows (k,) int64, on the CPU.

        Moves the parameters in place, until a batch is refused because its loss is not finite: that one moves nothing.
        """
        ...


class PopulationStep(Protocol):
    """What trains several networks together; ``OneByOne``, and the fused one (``stackae.ops.train_together``)."""

    def advance(self, batches: Sequence[Batches], batch_size: int, step: int) -> list[Progress]:
        """``TrainStep.advance`` for each network on its own batches; one without rows stands still, at its total."""
        ...


class OneByOne:
    """A ``PopulationStep`` of any steps, one after the other."""

    def __init__(self, steps: Sequence[TrainStep]) -> None:
        self._steps = steps

    def advance(self, batches: Sequence[Batches], batch_size: int, step: int) -> list[Progress]:
        return [
            one.advance(each.rows, batch_size, step, each.learning_rates, each.total)
            for one, each in zip(self._steps, batches, strict=True)
        ]


class EagerStep:
    """A ``TrainStep`` of any objective, by autograd over the ops."""

    def __init__(self, objective: Callable[[Tensor, int], Tensor], optimizer: torch.optim.Optimizer) -> None:
        self._objective = objective
        self._optimizer = optimizer

    def advance(
        self, rows: Tensor, batch_size: int, step: int, learning_rates: Sequence[float], total: float = 0.0
    ) -> Progress:
        if not len(rows):
            return Progress(total, 0)
        batches = [rows[piece] for piece in in_order(len(rows), batch_size)]
        losses = [
            self._one(batch, step + i, rate) * len(batch)
            for i, (batch, rate) in enumerate(zip(batches, learning_rates, strict=True))
        ]
        for taken, loss in enumerate(torch.stack(losses).tolist()):
            total += loss
            if not math.isfinite(loss):  # what follows says nothing, and depends on how long the call is
                return Progress(total, taken)
        return Progress(total, len(losses))

    def _one(self, rows: Tensor, step: int, learning_rate: float) -> Tensor:
        set_learning_rate(self._optimizer, learning_rate)
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._objective(rows, step)
        torch.autograd.backward(loss)
        self._optimizer.step()
        return loss.detach()


@dataclass(frozen=True)
class ReconstructionObjective:
    """Corrupt, encode, decode: the loss against the clean input, plus the sparsity penalty of the code."""

    autoencoder: Autoencoder
    x: Rows
    loss: str
    corruption: Corruption
    sparsity: KlSparsity | L1Sparsity | None
    seed: int
    layer: int

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        encoder = self.autoencoder.encoder
        clean = self.x[rows].to(self.autoencoder.device)
        noisy = self.corruption(clean, encoder.engine, seed=self.seed, layer=self.layer, step=step)
        code = self.autoencoder.encode(noisy)
        total = LOSSES[self.loss](self.autoencoder, code, clean)
        if self.sparsity is not None:
            total = total + self.sparsity(code, encoder.activation, encoder.engine)
        return total


@dataclass(frozen=True)
class ClassificationObjective:
    """Softmax cross-entropy, mean over the batch, in nats."""

    model: Classifier
    x: Rows
    y: Tensor

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        return F.cross_entropy(self.model(self.x[rows].to(self.model.device)), self.y[rows].to(self.model.device))
