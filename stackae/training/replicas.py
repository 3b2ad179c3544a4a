"""The training state of each network, which the Trainer keeps between steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from stackae.autoencoders.parameters import fill, forms
from stackae.data.minibatches import Order
from stackae.errors import DivergedError
from stackae.ranks import here
from stackae.training.callbacks import EpochRecord
from stackae.training.checkpointing import ReplicaSnapshot, StageResult
from stackae.training.divergence import Failure, failed_step, failed_validation
from stackae.training.early_stopping import BestWeights
from stackae.training.stage import Replica, Stage, Validation
from stackae.training.step import Batches, StepResult

T = TypeVar("T")
NO_ROWS = torch.empty(0, dtype=torch.int64)


def alone(outcomes: Sequence[T | DivergedError]) -> T:
    """Return the outcome of the only network.

    Raises:
        DivergedError: the outcome is one.
    """
    (outcome,) = outcomes
    if isinstance(outcome, DivergedError):
        raise outcome
    return outcome


class ReplicaState:
    """The training state of one network: its records, its best weights, and whether it is still trained.

    Attributes:
        total: the summed loss of the epoch's rows so far.
        dead: (n_hidden,) bool, the dead-unit mask at the end of the last epoch; None where it is not computed.
        diverged: the error, if its training diverged.
    """

    def __init__(self, replica: Replica, stage: Stage) -> None:
        self.replica = replica
        self.total = 0.0
        self.dead: Tensor | None = None
        self.diverged: DivergedError | None = None
        self._stage = stage
        self._best = BestWeights(replica.network)
        self._history: list[EpochRecord] = []

    @property
    def active(self) -> bool:
        """False once it has diverged, or has waited for a better epoch as long as the stage's patience says."""
        return self.diverged is None and not self._stage.patience.is_over(self._best.waited, self._history)

    def batches(self, order: Mapping[int, Order], rows: slice, steps: range) -> Batches:
        """Make the batches of the next call of the step; none where the network is no longer active."""
        if not self.active:
            return Batches(NO_ROWS, [])
        rates = [self._stage.learning_rate(self.replica, step) for step in steps]
        return Batches(order[self.replica.seed][rows], rates, self.total)

    @torch.no_grad()
    def stepped(self, result: StepResult, order: Mapping[int, Order], epoch: int, steps: range) -> None:
        """Record the result of those steps; a refused step ends the training of this network."""
        if not self.active:
            return
        if result.steps == len(steps):
            self.total = result.total
            return
        stage, step = self._stage, steps.start + result.steps
        start = (step - stage.first_step(epoch)) * stage.batch_size
        rows = order[self.replica.seed][start : start + stage.batch_size]
        failure = Failure(stage.name, stage.title, epoch, stage.learning_rate(self.replica, step))
        largest_weight = max(float(each.abs().max()) for each in self.replica.network.parameters())
        self.diverged = failed_step(failure, step, rows.tolist(), self.replica.magnitudes(rows, step), largest_weight)

    def end_epoch(self, epoch: int, seconds: float) -> EpochRecord | None:
        """Validate and record the epoch; return None where the validation loss is not finite, which ends training."""
        stage, replica = self._stage, self.replica
        self.dead = replica.dead_mask()
        validation: Validation | None = here().agreed(replica.validate() if here().leads else None)
        first, last = stage.first_step(epoch), stage.first_step(epoch + 1) - 1
        learning_rate = stage.learning_rate(replica, last)
        if validation is not None and not all(map(math.isfinite, validation.losses)):
            loss = next(each for each in validation.losses if not math.isfinite(each))
            failure = Failure(stage.name, stage.title, epoch, stage.learning_rate(replica, first))
            self.diverged = failed_validation(failure, loss, learning_rate, replica.held_out)
            return None
        if validation is not None and validation.corrupted_loss is not None and self._best_of_clean_rows:
            self._best.forget()  # a score by the clean loss, which an older version compared
        record = EpochRecord(
            stage=stage.name,
            epoch=epoch,
            loss=self.total / stage.rows,
            validation_loss=validation.loss if validation else None,
            validation_error=validation.error if validation else None,
            learning_rate=learning_rate,
            seconds=seconds,
            rows_per_second=stage.rows / seconds,
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
        """Restore the best weights; return the records, or the error if training diverged."""
        if self.diverged is not None:
            return self.diverged
        self._best.restore()
        return self._history

    def result(self) -> StageResult:
        """Return the stage result, after ``finish``."""
        return StageResult(self.replica.network.state_dict(), tuple(self._history), _message(self.diverged))

    def restore_result(self, result: StageResult) -> list[EpochRecord] | DivergedError:
        """Restore a stage that ended in an earlier process; return what ``finish`` returned there."""
        if result.diverged is not None:
            return DivergedError(result.diverged)
        fill(self.replica.network, result.weights)
        return list(result.history)

    def snapshot(self, optimizer_state: Sequence[Tensor]) -> ReplicaSnapshot:
        """Return the state to resume from; its tensors are the live ones, not copies."""
        best, weights = self._best, self.replica.network.state_dict()
        history, message = tuple(self._history), _message(self.diverged)
        return ReplicaSnapshot(
            self.total, best.score, best.waited, history, message, weights, best.weights, optimizer_state
        )

    @torch.no_grad()
    def restore(self, snapshot: ReplicaSnapshot, optimizer_state: Sequence[Tensor]) -> None:
        """Resume from a snapshot: fill parameters and optimizer state in place.

        Raises:
            ValueError: the tensors do not fit this network.
        """
        network, best = self.replica.network, self._best
        if _forms(optimizer_state) != _forms(snapshot.optimizer_state):
            raise ValueError(f"moments {_forms(snapshot.optimizer_state)} instead of {_forms(optimizer_state)}")
        if forms(snapshot.best_weights) != (forms(network.state_dict()) if snapshot.history else {}):
            raise ValueError(f"best tensors {forms(snapshot.best_weights)}")
        fill(network, snapshot.weights)
        for own, kept in zip(optimizer_state, snapshot.optimizer_state, strict=True):
            own.copy_(kept)
        self.total, self._history = snapshot.total, list(snapshot.history)
        self.diverged = None if snapshot.diverged is None else DivergedError(snapshot.diverged)
        best.score, best.waited = snapshot.score, snapshot.waited
        device = next(network.parameters()).device
        best.weights = {name: tensor.to(device) for name, tensor in snapshot.best_weights.items()}


def _forms(tensors: Sequence[Tensor]) -> list[tuple[str, tuple[int, ...]]]:
    return list(forms(dict(zip(map(str, range(len(tensors))), tensors, strict=True))).values())


def _message(error: DivergedError | None) -> str | None:
    return None if error is None else str(error)
