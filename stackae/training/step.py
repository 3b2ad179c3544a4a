"""Training steps: the interfaces, and the eager step, which trains any objective by autograd over the ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from stackae.data.minibatches import in_order
from stackae.objectives.base import Objective
from stackae.ops.step import Batches, StepResult
from stackae.ranks import ALONE, Ranks
from stackae.training.guard import GuardedOptimizer
from stackae.training.rates import LayerRates, MomentumRamp

__all__ = [
    "Batches",
    "EagerStep",
    "OneByOne",
    "ReplicasStep",
    "StepResult",
    "TrainStep",
]


class TrainStep(Protocol):
    """A training step of one network: ``EagerStep``, or the fused step (``stackae.ops.train_step``)."""

    def advance(
        self, rows: Tensor, batch_size: int, step: int, learning_rates: Sequence[float], total: float = 0.0
    ) -> StepResult:
        """Take one step per learning rate: step number step + i on the i-th batch of the rows (k,) int64, on the CPU.

        Parameters are updated in place and stay finite, as does the optimizer state: the first step that would change
        that is refused, and ends the call. If its loss is not finite, it updates nothing; if its update is not, at
        least the affected parameters and their state keep their values.
        """
        ...

    def optimizer_state(self) -> list[Tensor]:
        """Return the optimizer state, layer by layer: two tensors for its weight, unless tied, and two for its bias.

        They are Adam's first and second moments, or SGD's velocity and zeros: the state itself, not a copy; what the
        objective keeps from step to step comes last. To resume bit-identically, load the same parameters, copy the
        state in, and give ``advance`` the number of the next step.
        """
        ...


class ReplicasStep(Protocol):
    """A step of several networks together: ``OneByOne``, or the fused one (``stackae.ops.train_together``)."""

    def advance(self, batches: Sequence[Batches], batch_size: int, step: int) -> list[StepResult]:
        """Advance each network on its own batches, as ``TrainStep.advance``; one without rows keeps its total."""
        ...

    def optimizer_state(self) -> list[list[Tensor]]:
        """Return ``TrainStep.optimizer_state`` of each network."""
        ...


class OneByOne:
    """A ``ReplicasStep`` that runs one step per network, one after the other."""

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
    """A ``TrainStep`` of any objective, by autograd over the ops; ``optimizer`` is a new SGD, Adam or AdamW.

    With ``rates``, the given learning rates are the head's, and the layers' are derived from them; with ``ramp``, the
    momentum of SGD changes by epoch. Where several ``ranks`` train together, each computes the loss and the gradients
    of its share of a batch; their sum is that of the whole batch, and every rank makes the same update by it.
    """

    def __init__(
        self,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        rates: LayerRates | None = None,
        ramp: MomentumRamp | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self._objective, self._ranks = objective, ranks
        self._optimizer = GuardedOptimizer(objective.parameters, optimizer, rates, ramp)

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
        return [*self._optimizer.moments, *self._objective.memory]

    def _one(self, rows: Tensor, step: int, learning_rate: float) -> Tensor:
        for parameter in self._objective.parameters:
            parameter.grad = None
        if self._ranks.several:
            with self._objective.batch_share.of(rows, self._ranks) as own:
                loss = self._objective(own, step) * self._objective.batch_share.weight
            torch.autograd.backward(loss, inputs=self._optimizer.moving)
            loss = self._add_up(loss)
        else:
            loss = self._objective(rows, step)
            torch.autograd.backward(loss, inputs=self._optimizer.moving)
        self._optimizer.step(loss.detach(), learning_rate)
        if not self._optimizer.stands_still:
            self._objective.moved(self._optimizer.refused)
        return loss.detach()

    @torch.no_grad()
    def _add_up(self, loss: Tensor) -> Tensor:
        """Make the gradients those of the whole batch, in one sum over the ranks; return its loss."""
        moving = [each for each in self._optimizer.moving if each.grad is not None]
        parts = [*(each.grad for each in moving if each.grad is not None), loss.to(moving[0].dtype)]
        bucket = torch.cat([each.reshape(-1) for each in parts])
        self._ranks.sum(bucket)
        begin = 0
        for parameter in moving:
            parameter.grad = bucket[begin : begin + parameter.numel()].view_as(parameter)
            begin += parameter.numel()
        return bucket[-1]
