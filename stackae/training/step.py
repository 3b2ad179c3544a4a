"""Steps of training: rows in, loss out, parameters moved. EagerStep serves any objective, by autograd over the ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from stackae.data.minibatches import in_order
from stackae.objectives.base import Objective
from stackae.ops.step import Batches, StepResult
from stackae.training.guard import GuardedOptimizer
from stackae.training.rates import LayerRates

__all__ = [
    "Batches",
    "EagerStep",
    "OneByOne",
    "ReplicasStep",
    "StepResult",
    "TrainStep",
]


class TrainStep(Protocol):
    """What trains a network: ``EagerStep`` and the fused step (``stackae.ops.train_step``)."""

    def advance(
        self, rows: Tensor, batch_size: int, step: int, learning_rates: Sequence[float], total: float = 0.0
    ) -> StepResult:
        """One step for each learning rate: step + i on the i-th ``batch_size`` of the rows (k,) int64, on the CPU.

        Moves the parameters in place. What is not finite never gets into parameters or moments: the first step that
        would bring it there is refused, and ends the call. Where the loss is not finite, it moves nothing; where the
        update is not, at least what would not be finite stays as it is.
        """
        ...

    def optimizer_state(self) -> list[Tensor]:
        """The optimizer state, layer by layer: first and second moments of its weight, unless tied, and of its bias.

        Adam's two; for SGD its velocity, and zeros. They are the state itself. To resume where another step stopped,
        bit-identical: the same parameters, the moments copied in, and the number of the next step given to ``advance``.
        """
        ...


class ReplicasStep(Protocol):
    """What trains several networks together; ``OneByOne``, and the fused one (``stackae.ops.train_together``)."""

    def advance(self, batches: Sequence[Batches], batch_size: int, step: int) -> list[StepResult]:
        """``TrainStep.advance`` for each network on its own batches; one without rows stands still, at its total."""
        ...

    def optimizer_state(self) -> list[list[Tensor]]:
        """``TrainStep.optimizer_state`` of each network."""
        ...


class OneByOne:
    """A ``ReplicasStep`` of any steps, one after the other."""

    def __init__(self, steps: Sequence[TrainStep]) -> None:
        self._steps = steps

    def advance(self, batches: Sequence[Batches], batch_size: int, step: int) -> list[StepResult]:
        return [
            one.advance(each.rows, batch_size, step, each.learning_rates, each.total)
            for one, each in zip(self._steps, batches, strict=True)
        ]

    def optimizer_state(self) -> list[list[Tensor]]:
        return [step.optimizer_state() for step in self._steps]


class EagerStep:
    """A ``TrainStep`` of any objective, by autograd over the ops; ``optimizer`` is SGD, Adam or AdamW, and new.

    With ``rates`` the learning rates are those of the head, and layers have their own.
    """

    def __init__(self, objective: Objective, optimizer: torch.optim.Optimizer, rates: LayerRates | None = None) -> None:
        self._objective = objective
        self._optimizer = GuardedOptimizer(objective.parameters, optimizer, rates)

    def advance(
        self, rows: Tensor, batch_size: int, step: int, learning_rates: Sequence[float], total: float = 0.0
    ) -> StepResult:
        if not len(rows):
            return StepResult(total, 0)
        batches = [rows[piece] for piece in in_order(len(rows), batch_size)]
        losses, refusals = [], []
        self._optimizer.begin(step)
        for i, (batch, rate) in enumerate(zip(batches, learning_rates, strict=True)):
            losses.append(self._one(batch, step + i, rate))
            refusals.append(self._optimizer.refused.clone())
            if self._optimizer.stands_still:
                break
        refused = torch.stack(refusals).tolist()
        steps = refused.index(1.0) if 1.0 in refused else len(batches)
        for batch, loss in list(zip(batches, torch.stack(losses).tolist(), strict=False))[: steps + 1]:
            total += loss * len(batch)
        return StepResult(total, steps)

    def optimizer_state(self) -> list[Tensor]:
        return list(self._optimizer.moments)

    def _one(self, rows: Tensor, step: int, learning_rate: float) -> Tensor:
        for parameter in self._objective.parameters:
            parameter.grad = None
        loss = self._objective(rows, step)
        torch.autograd.backward(loss, inputs=self._optimizer.moving)
        self._optimizer.step(loss.detach(), learning_rate)
        self._objective.constrain()
        return loss.detach()
