"""Who is trained in a stage: one network, or several together, each with a state of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from stackae.autoencoders.parameters import fill, forms
from stackae.data.rows import Rows
from stackae.errors import DivergedError
from stackae.training.callbacks import EpochRecord
from stackae.training.checkpointing import ReplicaSnapshot, StageResult, Tensors
from stackae.training.divergence import Magnitudes, unsound_validation
from stackae.training.early_stopping import BestWeights

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
    """Loss per row, and the share misclassified where the stage classifies.

    ``corrupted_loss`` is that on rows corrupted as in training, where training corrupts them: the epoch that does best
    what it was trained for is the best. By the loss on clean rows that would be an early one, since noise makes a
    network worse at copying what it is shown.
    """

    loss: float
    error: float | None = None
    corrupted_loss: float | None = None

    @property
    def trained_loss(self) -> float:
        """The loss that training lowers."""
        return self.loss if self.corrupted_loss is None else self.corrupted_loss

    @property
    def score(self) -> tuple[float, ...]:
        return (self.trained_loss,) if self.error is None else (self.error, self.trained_loss)


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


class Epoch(NamedTuple):
    """A pass over the rows: the first and the last learning rate, and what it took."""

    stage: str
    title: str
    number: int
    rows: int
    learning_rates: tuple[float, float]
    seconds: float


class ReplicaState:
    """How a replica fares through a stage: its records, its best weights, and whether it goes on."""

    def __init__(self, replica: Replica, patience: int) -> None:
        self.replica = replica
        self.total = 0.0  # loss of the epoch's rows so far
        self.diverged: DivergedError | None = None
        self.dead: Tensor | None = None  # units of the code, at the end of the last epoch
        self._best = BestWeights(replica.module, patience)
        self._history: list[EpochRecord] = []

    @property
    def goes_on(self) -> bool:
        """False once it has diverged, or has waited ``patience`` epochs for a better one."""
        return self.diverged is None and not self._best.exhausted

    def close(self, epoch: Epoch) -> EpochRecord | None:
        """Validates what the epoch made of the network; None where that is not finite, and then it goes no further."""
        self.dead = self.replica.dead_mask()
        validation = self.replica.validate()
        unsound = [] if validation is None else [each for each in _losses(validation) if not math.isfinite(each)]
        if unsound:
            rows = self.replica.held_out
            largest = None if rows is None else max(abs(float(rows.min())), abs(float(rows.max())))
            self.diverged = DivergedError(
                unsound_validation(epoch.title, unsound[0], epoch.number, epoch.learning_rates[0], largest),
                stage=epoch.stage,
                epoch=epoch.number,
                learning_rate=epoch.learning_rates[1],
                setting="learning_rate",
            )
            return None
        if validation is not None and validation.corrupted_loss is not None and self._best_of_clean_rows:
            self._best.forget()  # what an older version went by
        record = EpochRecord(
            stage=epoch.stage,
            epoch=epoch.number,
            loss=self.total / epoch.rows,
            validation_loss=validation.loss if validation else None,
            validation_error=validation.error if validation else None,
            learning_rate=epoch.learning_rates[1],
            seconds=epoch.seconds,
            rows_per_second=epoch.rows / epoch.seconds,
            best=self._best.update(validation.score if validation else None),
            dead=None if self.dead is None else float(self.dead.float().mean()),
            corrupted_validation_loss=validation.corrupted_loss if validation else None,
        )
        self.total = 0.0
        self._history.append(record)
        return record

    @property
    def _best_of_clean_rows(self) -> bool:
        best = [record for record in self._history if record.best][-1:]
        return bool(best) and best[0].corrupted_validation_loss is None

    def finish(self) -> list[EpochRecord] | DivergedError:
        """Its records, with the best weights back in the network; or what ended it."""
        if self.diverged is not None:
            return self.diverged
        self._best.restore()
        return self._history

    def result(self) -> StageResult:
        """What ``finish`` left."""
        return StageResult(self.replica.module.state_dict(), tuple(self._history), _message(self.diverged))

    def snapshot(self, moments: Sequence[Tensor]) -> tuple[ReplicaSnapshot, Tensors]:
        """All that it takes to go on from here: the tensors are those in use, not copies."""
        best = self._best
        standing = ReplicaSnapshot(self.total, best.score, best.waited, tuple(self._history), _message(self.diverged))
        return standing, Tensors(self.replica.module.state_dict(), best.weights, moments)

    @torch.no_grad()
    def restore(self, standing: ReplicaSnapshot, tensors: Tensors, moments: Sequence[Tensor]) -> None:
        """Takes up what ``snapshot`` gave: parameters and moments are filled in place.

        Raises:
            ValueError: the tensors are not those of this network.
        """
        if _forms(moments) != _forms(tensors.moments):
            raise ValueError(f"moments {_forms(tensors.moments)} instead of {_forms(moments)}")
        weights = self.replica.module.state_dict()
        if forms(tensors.best) != (forms(weights) if standing.history else {}):
            raise ValueError(f"best tensors {forms(tensors.best)}")
        fill(self.replica.module, tensors.weights)
        for own, kept in zip(moments, tensors.moments, strict=True):
            own.copy_(kept)
        self.total, self._history = standing.total, list(standing.history)
        self.diverged = None if standing.diverged is None else DivergedError(standing.diverged)
        self._best.score, self._best.waited = standing.score, standing.waited
        device = next(self.replica.module.parameters()).device
        self._best.weights = {name: tensor.to(device) for name, tensor in tensors.best.items()}

    def restore_result(self, ended: StageResult) -> list[EpochRecord] | DivergedError:
        """``finish`` of a stage that ended in an earlier process."""
        if ended.diverged is not None:
            return DivergedError(ended.diverged)
        fill(self.replica.module, ended.weights)
        return list(ended.history)


def _forms(moments: Sequence[Tensor]) -> list[tuple[str, tuple[int, ...]]]:
    return list(forms(dict(zip(map(str, range(len(moments))), moments, strict=True))).values())


def _losses(validation: Validation) -> list[float]:
    return [each for each in (validation.loss, validation.corrupted_loss) if each is not None]


def _message(error: DivergedError | None) -> str | None:
    return None if error is None else str(error)
