"""A stage of training: one layer, or a head, of one network or of several that train together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from torch import Tensor, nn

from stackae.data.rows import Rows
from stackae.training.divergence import Magnitudes
from stackae.training.early_stopping import Patience
from stackae.training.optimizers import scheduled
from stackae.training.step import ReplicasStep

FEWEST_EPOCHS, MOST_EPOCHS = 16, 300


def settled_epochs(requested: int | str, rows: int, batch_size: int, fewest_steps: int) -> int:
    """Settle ``auto`` to enough epochs for ``fewest_steps`` steps, from FEWEST_EPOCHS to MOST_EPOCHS."""
    if isinstance(requested, int):
        return requested
    per_epoch = max(1, math.ceil(rows / batch_size))
    return max(FEWEST_EPOCHS, min(MOST_EPOCHS, math.ceil(fewest_steps / per_epoch)))


class Validation(NamedTuple):
    """Validation losses per row, and the error rate where the stage classifies.

    ``corrupted_loss`` is on rows corrupted as in training, where training corrupts them, and chooses the best epoch
    then. The clean loss would choose an early one, since training on noise makes a network worse at copying its input.
    """

    loss: float
    error: float | None = None
    corrupted_loss: float | None = None

    @property
    def losses(self) -> list[float]:
        """The clean loss and, where given, the corrupted one; training minimizes the last."""
        return [self.loss] if self.corrupted_loss is None else [self.loss, self.corrupted_loss]

    @property
    def score(self) -> tuple[float, ...]:
        """The score by which epochs are compared; lower is better."""
        return (self.losses[-1],) if self.error is None else (self.error, self.losses[-1])


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One network of a stage: its rows, its settings, and the methods that the Trainer calls.

    Attributes:
        network: the network, trained in place.
        x: (n, n_in) the training rows.
        held_out: the validation rows, which choose the best epoch, if there are any.
        seed: seed of the order of x.
        learning_rate: initial learning rate of the schedule.
        weight_decay: of the weights, not the biases.
        index: its index among the caller's networks.
    """

    network: nn.Module
    x: Rows
    held_out: Rows | None
    seed: int
    learning_rate: float
    weight_decay: float
    index: int = 0

    def prepare(self) -> None:
        """Initialize the network before its first step; not called when training resumes."""

    def validate(self) -> Validation | None:
        """Compute the losses on the validation rows, after each epoch; None without such rows."""
        raise NotImplementedError

    def dead_mask(self) -> Tensor | None:
        """Return the dead-unit mask (n_hidden,) bool after an epoch; None where dead units are not counted."""
        return None

    def resample(self, dead: Tensor, epoch: int, optimizer_state: Sequence[Tensor]) -> None:
        """Resample the dead units after an epoch, where the settings request it."""

    def magnitudes(self, rows: Tensor, step: int) -> Magnitudes:
        """Measure the parts of step ``step`` on these rows (k,) int64, with the current weights."""
        largest = float(self.x[rows.to(self.x.device)].abs().max())
        return Magnitudes(largest, largest, math.nan, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class Stage:
    """One layer, or a head, of each replica; ``step`` trains them together, in their order.

    ``number`` keeps the stage's random streams apart from others'; with ``block``, rows are shuffled in blocks.
    """

    name: str
    title: str
    number: int
    replicas: Sequence[Replica]
    step: ReplicasStep
    max_epochs: int
    batch_size: int
    patience: Patience
    schedule: str
    rate_decay: float = 1.0
    block: int = 0

    @cached_property
    def rows(self) -> int:
        """The number of training rows of each replica."""
        return len(self.replicas[0].x)

    @cached_property
    def steps_per_epoch(self) -> int:
        """The number of batches of the rows."""
        return math.ceil(self.rows / self.batch_size)

    def first_step(self, epoch: int) -> int:
        """Number of the first step of an epoch: steps are counted from 0 through all epochs, epochs from 1."""
        return (epoch - 1) * self.steps_per_epoch

    def learning_rate(self, replica: Replica, step: int) -> float:
        """The learning rate of step ``step``: by the schedule, over ``rate_decay`` to the power of the step."""
        steps = self.first_step(self.max_epochs + 1)
        return scheduled(self.schedule, replica.learning_rate, step, steps) * self.rate_decay**-step
