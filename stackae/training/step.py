"""One step of training: rows in, loss out, parameters moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from stackae.autoencoders.dense import Autoencoder
from stackae.classifier import Classifier
from stackae.corruption import Corruption
from stackae.losses import LOSSES
from stackae.penalties import KlSparsity
from stackae.training.optimizers import set_learning_rate


class TrainStep(Protocol):
    """Moves the parameters by one step on the given rows and returns their loss (0-dim, not synchronised)."""

    def __call__(self, rows: Tensor, step: int, learning_rate: float) -> Tensor: ...


class EagerStep:
    """Any objective, by autograd over the ops."""

    def __init__(self, objective: Callable[[Tensor, int], Tensor], optimizer: torch.optim.Optimizer) -> None:
        self._objective = objective
        self._optimizer = optimizer

    def __call__(self, rows: Tensor, step: int, learning_rate: float) -> Tensor:
        set_learning_rate(self._optimizer, learning_rate)
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._objective(rows, step)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return loss.detach()


@dataclass(frozen=True)
class ReconstructionObjective:
    """Corrupt, encode, decode: the loss against the clean input, plus the sparsity penalty of the code."""

    autoencoder: Autoencoder
    x: Tensor
    loss: str
    corruption: Corruption
    sparsity: KlSparsity | None
    seed: int
    layer: int

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        clean = self.x[rows]
        code = self.autoencoder.encode(self.corruption(clean, seed=self.seed, layer=self.layer, step=step))
        total = LOSSES[self.loss](self.autoencoder, code, clean)
        if self.sparsity is not None:
            encoder = self.autoencoder.encoder
            total = total + self.sparsity(code, encoder.activation, encoder.engine)
        return total


@dataclass(frozen=True)
class ClassificationObjective:
    """Softmax cross-entropy, mean over the batch, in nats."""

    model: Classifier
    x: Tensor
    y: Tensor

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        return F.cross_entropy(self.model(self.x[rows]), self.y[rows])
