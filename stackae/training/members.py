"""Who is trained in a stage: one network, or several together, each with a course of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from torch import nn

from stackae.errors import DivergedError
from stackae.training.history import EpochRecord
from stackae.training.stopping import BestWeights

T = TypeVar("T")


def alone(outcomes: Sequence[T | DivergedError]) -> T:
    """The outcome of a population of one.

    Raises:
        DivergedError: that is its outcome.
    """
    (outcome,) = outcomes
    if isinstance(outcome, DivergedError):
        raise outcome
    return outcome


class Validation(NamedTuple):
    """Loss per row, and the share misclassified where the stage classifies."""

    loss: float
    error: float | None = None

    @property
    def score(self) -> tuple[float, ...]:
        return (self.loss,) if self.error is None else (self.error, self.loss)


@dataclass(frozen=True)
class Member:
    """One network of a stage. ``seed`` orders its rows; ``place`` is where it stands in what the caller began with."""

    module: nn.Module
    seed: int
    learning_rate: float
    validate: Callable[[], Validation | None]
    place: int = 0


class Epoch(NamedTuple):
    """A pass over the rows: mean loss a row, the first and the last learning rate, and what it took."""

    stage: str
    title: str
    number: int
    rows: int
    loss: float
    learning_rates: tuple[float, float]
    seconds: float


class Course:
    """How a member fares through a stage: its records, its best weights, and whether it goes on."""

    def __init__(self, member: Member, patience: int) -> None:
        self.member = member
        self._best = BestWeights(member.module, patience)
        self._history: list[EpochRecord] = []
        self._diverged: DivergedError | None = None

    @property
    def goes_on(self) -> bool:
        """False once it has diverged, or has waited ``patience`` epochs for a better one."""
        return self._diverged is None and not self._best.exhausted

    def close(self, epoch: Epoch) -> EpochRecord | None:
        """Validates what the epoch made of the network; None where that is not finite, and then it goes no further."""
        validation = self.member.validate()
        losses = (epoch.loss,) if validation is None else (epoch.loss, validation.loss)
        weights = self.member.module.parameters()
        if not all(map(math.isfinite, losses)) or not all(bool(weight.isfinite().all()) for weight in weights):
            self._diverged = DivergedError(
                f"{epoch.title}: expected a finite loss and finite weights, got loss {epoch.loss:.4g}"
                f" in epoch {epoch.number} at learning rate {epoch.learning_rates[0]:.3g}; "
                "lower --learning-rate, or scale the data (--scale minmax or standard)"
            )
            return None
        record = EpochRecord(
            stage=epoch.stage,
            epoch=epoch.number,
            loss=epoch.loss,
            validation_loss=validation.loss if validation else None,
            validation_error=validation.error if validation else None,
            learning_rate=epoch.learning_rates[1],
            seconds=epoch.seconds,
            rows_per_second=epoch.rows / epoch.seconds,
            best=self._best.update(validation.score if validation else None),
        )
        self._history.append(record)
        return record

    def finish(self) -> list[EpochRecord] | DivergedError:
        """Its records, with the best weights back in the network; or what ended it."""
        if self._diverged is not None:
            return self._diverged
        self._best.restore()
        return self._history
