"""The ladder fit -> run_epoch -> step, the same for every stage."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from stackae.config import TrainingConfig
from stackae.data.minibatches import minibatches
from stackae.errors import DivergedError
from stackae.training.history import EpochRecord, Listener
from stackae.training.optimizers import scheduled
from stackae.training.step import TrainStep
from stackae.training.stopping import BestWeights

FEWEST_EPOCHS, MOST_EPOCHS = 16, 300
LISTENED_EVERY = 20  # batches between two reports of the running loss, which cost a synchronisation on a GPU


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
    """One pass over the rows in the order of (seed, stage, epoch): the mean loss a row, and the last learning rate."""
    per_epoch = math.ceil(stage.rows / config.batch_size)
    total = torch.zeros((), dtype=torch.float64, device=next(stage.module.parameters()).device)
    learning_rate = stage.learning_rate
    seen = 0
    batches = minibatches(stage.rows, config.batch_size, seed=config.seed, layer=stage.number, epoch=epoch)
    for index, rows in enumerate(batches):
        step = (epoch - 1) * per_epoch + index
        learning_rate = scheduled(config.schedule, stage.learning_rate, step, per_epoch * stage.max_epochs)
        total += stage.step(rows, step, learning_rate) * len(rows)
        seen += len(rows)
        report = index % LISTENED_EVERY == 0
        listener.batch(len(rows), total.item() / seen if report else None)
    return total.item() / max(1, seen), learning_rate


def _check_finite(stage: Stage, epoch: int, learning_rate: float, loss: float, validation: Validation | None) -> None:
    weights_finite = all(bool(parameter.isfinite().all()) for parameter in stage.module.parameters())
    if math.isfinite(loss) and weights_finite and (validation is None or math.isfinite(validation.loss)):
        return
    raise DivergedError(
        f"{stage.title}: expected a finite loss and finite weights, got loss {loss:.4g}"
        f" in epoch {epoch} at learning rate {learning_rate:.3g}; "
        "lower --learning-rate, or scale the data (--scale minmax or standard)"
    )
