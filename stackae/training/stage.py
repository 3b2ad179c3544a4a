"""What a Trainer trains: a stage (one layer, or a head) of one network, or the same stage of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from stackae.data.rows import Rows
from stackae.training.divergence import Magnitudes
from stackae.training.optimizers import scheduled
from stackae.training.step import ReplicasStep

FEWEST_EPOCHS, MOST_EPOCHS = 16, 300
LEAST_PATIENCE, PATIENCE_SHARE = 10, 3


def settled_epochs(requested: int | str, rows: int, batch_size: int, fewest_steps: int) -> int:
    """``auto`` is FEWEST_EPOCHS, and more where rows are few: ``fewest_steps`` steps, in at most MOST_EPOCHS."""
    if isinstance(requested, int):
        return requested
    per_epoch = max(1, math.ceil(rows / batch_size))
    return max(FEWEST_EPOCHS, min(MOST_EPOCHS, math.ceil(fewest_steps / per_epoch)))


def settled_patience(requested: int | str, epochs: int) -> int:
    """``auto`` is a third of the epochs, at least LEAST_PATIENCE.

    Learning rates that fall to 0 bring a late gain, and errors of few validation rows stand still for long: on the
    embedded digits the best epoch comes up to a quarter of the epochs after the best one before it.
    """
    return requested if isinstance(requested, int) else max(LEAST_PATIENCE, math.ceil(epochs / PATIENCE_SHARE))


class Validation(NamedTuple):
    """Loss per row, and the share misclassified where the stage classifies.

    ``corrupted_loss`` is that on rows corrupted as in training, where training corrupts them: the epoch that does best
    what it was trained for is the best. By the loss on clean rows that would be an early one, since noise makes a
    network worse at copying what it is shown.
    """

    loss: float
    error: float | None = None
    corrupted_loss: float | None = None

    @property
    def losses(self) -> list[float]:
        """The one or two that there are, the one that training lowers last."""
        return [self.loss] if self.corrupted_loss is None else [self.loss, self.corrupted_loss]

    @property
    def score(self) -> tuple[float, ...]:
        """What epochs are compared by; lower is better."""
        return (self.losses[-1],) if self.error is None else (self.error, self.losses[-1])


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One network of a stage: what it learns, and what a Trainer asks of it.

    Attributes:
        network: what is trained, in place.
        x: (n, n_in) the rows that it learns.
        held_out: the rows that choose its best epoch, if there are any.
        seed: orders x.
        learning_rate: what the schedule begins with.
        index: where it stands among the caller's networks.
    """

    network: nn.Module
    x: Rows
    held_out: Rows | None
    seed: int
    learning_rate: float
    weight_decay: float
    index: int = 0

    def prepare(self) -> None:
        """Put the network where its training begins; not called where that resumes."""

    def validate(self) -> Validation | None:
        """How the network does on the held-out rows, after each epoch."""
        raise NotImplementedError

    def dead_mask(self) -> Tensor | None:
        """(n_hidden,) of bool, the dead units of its code after an epoch; None where they are not looked for."""
        return None

    def resample(self, dead: Tensor, epoch: int, optimizer_state: Sequence[Tensor]) -> None:
        """Give those units something to do, after that epoch."""

    def magnitudes(self, rows: Tensor, step: int) -> Magnitudes:
        """How large the parts of step ``step`` are, on these rows (k,) int64, with the present weights."""
        largest = float(self.x[rows.to(self.x.device)].abs().max())
        return Magnitudes(largest, largest, math.nan, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class Stage:
    """One layer, or a head, of each replica; ``step`` trains them together, in their order.

    ``number`` keeps the stage's random streams apart from others'.
    """

    name: str
    title: str
    number: int
    replicas: Sequence[Replica]
    step: ReplicasStep
    max_epochs: int
    batch_size: int
    patience: int
    schedule: str

    @property
    def rows(self) -> int:
        """How many each replica learns."""
        return len(self.replicas[0].x)

    def first_step(self, epoch: int) -> int:
        """Steps are counted from 0 through all epochs, which are counted from 1."""
        return (epoch - 1) * math.ceil(self.rows / self.batch_size)

    def learning_rate(self, replica: Replica, step: int) -> float:
        """That of step ``step``, by the schedule."""
        return scheduled(self.schedule, replica.learning_rate, step, self.first_step(self.max_epochs + 1))
