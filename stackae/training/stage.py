"""What a Trainer trains: a stage (one layer, or a head) of one network, or the same stage of several."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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


@dataclass(frozen=True)
class Replica:
    """One network of a stage. ``seed`` orders its rows x; ``index`` is where it stands among the caller's.

    At the end of an epoch ``dead_mask`` says which units of its code are dead, and ``resample`` gives them something
    to do before the next one: it takes the mask, the epoch's number, and the optimizer state.

    ``held_out`` are the rows of ``validate``; ``parts`` says of a layer how large the parts of a step on rows (k,) are.
    """

    module: nn.Module
    x: Rows
    seed: int
    learning_rate: float
    validate: Callable[[], Validation | None]
    index: int = 0
    dead_mask: Callable[[], Tensor | None] = lambda: None
    resample: Callable[[Tensor, int, Sequence[Tensor]], None] | None = None
    held_out: Rows | None = None
    weight_decay: float = 0.0
    parts: Callable[[Tensor, int], Magnitudes] | None = None

    def magnitudes(self, rows: Tensor, step: int) -> Magnitudes:
        """Of the parts of step ``step``, which was on these rows."""
        if self.parts is not None:
            return self.parts(rows, step)
        largest = float(self.x[rows.to(self.x.device)].abs().max())
        return Magnitudes(largest, largest, math.nan, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class Stage:
    """Networks trained by one kind of objective on ``rows`` rows each; ``step`` has them in the order of ``replicas``.

    ``number`` keeps the stage's random streams apart from others'; ``prepare`` is called where it begins anew.
    """

    name: str
    title: str
    number: int
    rows: int
    replicas: Sequence[Replica]
    step: ReplicasStep
    max_epochs: int
    batch_size: int
    patience: int
    schedule: str
    prepare: Sequence[Callable[[], None]] = ()

    def first_step(self, epoch: int) -> int:
        """Steps are counted from 0 through all epochs, which are counted from 1."""
        return (epoch - 1) * math.ceil(self.rows / self.batch_size)

    def learning_rate(self, replica: Replica, step: int) -> float:
        """That of step ``step``, by the schedule."""
        return scheduled(self.schedule, replica.learning_rate, step, self.first_step(self.max_epochs + 1))
