"""The ladder fit -> run_epoch -> step, the same for every stage."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

from stackae.config import TrainingConfig
from stackae.data.minibatches import epoch_order
from stackae.errors import DivergedError
from stackae.training.history import EpochRecord, Listener
from stackae.training.optimizers import scheduled
from stackae.training.step import TrainStep
from stackae.training.stopping import BestWeights

FEWEST_EPOCHS, MOST_EPOCHS = 16, 300
REPORTED_EVERY = 0.1  # seconds, about: a step that takes microseconds is not to wait for the listener each time


def settled_epochs(wish: int | str, rows: int, batch_size: int, fewest_steps: int) -> int:
    """``auto`` is FEWEST_EPOCHS, and more where rows are few: ``fewest_steps`` steps, in at most MOST_EPOCHS."""
    if isinstance(wish, int):
        return wish
    per_epoch = max(1, math.ceil(rows / batch_size))
    return max(FEWEST_EPOCHS, min(MOST_EPOCHS, math.ceil(fewest_steps / per_epoch)))


class Validation(NamedTuple):
    """Loss per row, and the share misclassified where the stage classifies."""

    loss: float
    error: float | None = None

    @property
    def score(self) -> tuple[float, ...]:
        return (self.loss,) if self.error is None else (self.error, self.loss)


@dataclass(frozen=True)
class Stage:
    """One network trained by one objective on ``rows`` rows; ``number`` keeps its random streams apart from others'."""

    name: str
    title: str
    number: int
    rows: int
    module: nn.Module
    step: TrainStep
    validate: Callable[[], Validation | None]
    max_epochs: int
    learning_rate: float


def fit(stage: Stage, config: TrainingConfig, listener: Listener) -> list[EpochRecord]:
    """Trains the stage epoch by epoch and leaves its best weights in place.

    Raises:
        DivergedError: after an epoch the loss or a weight is not finite.
    """
    best = BestWeights(stage.module, config.patience)
    history: list[EpochRecord] = []
    listener.start_stage(stage.name, stage.title, stage.rows, stage.max_epochs)
    for epoch in range(1, stage.max_epochs + 1):
        started = time.perf_counter()
        loss, learning_rate = run_epoch(stage, config, epoch, listener)
        seconds = time.perf_counter() - started
        validation = stage.validate()
        _check_finite(stage, epoch, learning_rate, loss, validation)
        is_best = best.update(validation.score if validation else None)
        record = EpochRecord(
            stage=stage.name,
            epoch=epoch,
            loss=loss,
            validation_loss=validation.loss if validation else None,
            validation_error=validation.error if validation else None,
            learning_rate=learning_rate,
            seconds=seconds,
            rows_per_second=stage.rows / seconds,
            best=is_best,
        )
        history.append(record)
        listener.epoch(record)
        if best.exhausted:
            break
    best.restore()
    return history


def run_epoch(stage: Stage, config: TrainingConfig, epoch: int, listener: Listener) -> tuple[float, float]:
    """One pass over the rows in the order of (seed, stage, epoch): the mean loss a row, and the last learning rate.

    Batches are handed to the step several at a time, as many as take about REPORTED_EVERY seconds; how many does not
    change a bit of what they compute. Ends early where the loss is not finite.
    """
    per_epoch = math.ceil(stage.rows / config.batch_size)
    steps = per_epoch * stage.max_epochs
    order = epoch_order(stage.rows, seed=config.seed, layer=stage.number, epoch=epoch)
    total, seen, at_once, rates = 0.0, 0, 1, [stage.learning_rate]
    while seen < stage.rows and math.isfinite(total):
        rows = order[seen : seen + at_once * config.batch_size]
        step = (epoch - 1) * per_epoch + seen // config.batch_size
        batches = range(step, step + math.ceil(len(rows) / config.batch_size))
        rates = [scheduled(config.schedule, stage.learning_rate, each, steps) for each in batches]
        started = time.perf_counter()
        total += stage.step.advance(rows, config.batch_size, step, rates)
        spent = time.perf_counter() - started
        seen += len(rows)
        listener.batch(len(rows), total / seen)
        if spent < REPORTED_EVERY / 2:
            at_once *= 2
        elif spent > REPORTED_EVERY:
            at_once = max(1, at_once // 2)
    return total / max(1, seen), rates[-1]


def _check_finite(stage: Stage, epoch: int, learning_rate: float, loss: float, validation: Validation | None) -> None:
    weights_finite = all(bool(parameter.isfinite().all()) for parameter in stage.module.parameters())
    if math.isfinite(loss) and weights_finite and (validation is None or math.isfinite(validation.loss)):
        return
    raise DivergedError(
        f"{stage.title}: expected a finite loss and finite weights, got loss {loss:.4g}"
        f" in epoch {epoch} at learning rate {learning_rate:.3g}; "
        "lower --learning-rate, or scale the data (--scale minmax or standard)"
    )
