"""Train a head on encoders, whatever kind of head it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from stackae.config import FinetuneConfig
from stackae.data.rows import Rows
from stackae.errors import ConfigError
from stackae.models.heads import Finetuned
from stackae.models.heads.base import HEAD_NUMBER, FinetuneObjective
from stackae.models.stack import in_batches
from stackae.ops.engine import StepChoice
from stackae.training.callbacks import Callback, EpochRecord
from stackae.training.checkpointing import Checkpointer
from stackae.training.fused import fused_replicas, kernel_training
from stackae.training.optimizers import make_optimizer
from stackae.training.rates import LayerRates, gradual_begins
from stackae.training.replicas import alone
from stackae.training.stage import Replica, Stage, Validation, settled_epochs, settled_patience
from stackae.training.step import EagerStep, OneByOne, ReplicasStep
from stackae.training.trainer import Trainer

FEWEST_STEPS = 900  # where epochs are auto; measured by benchmarks/pretraining.py

ModelT = TypeVar("ModelT", bound=Finetuned)


@dataclass(frozen=True, kw_only=True)
class HeadReplica(Replica):
    """A head, with the encoders below it unless these stand still; ``loss`` is how it does on held-out rows."""

    loss: Callable[[Any, Rows], Validation]

    def validate(self) -> Validation | None:
        held_out = self.held_out
        return None if held_out is None or not len(held_out) else self.loss(self.network, held_out)


def fit_head(
    model: ModelT,
    x: Rows,
    held_out: Rows | None,
    config: FinetuneConfig,
    *,
    step: StepChoice,
    objective: Callable[[ModelT, Rows], FinetuneObjective],
    validate: Callable[[ModelT, Rows], Validation],
    callback: Callback,
    checkpointer: Checkpointer,
) -> list[EpochRecord]:
    """Trains the model in place, all of it or its head alone, and says what became of each epoch.

    Args:
        model: on the device that it is to be trained on, and ``x`` and ``held_out`` where they are read from there.
        step: what ``head_step`` chose.
        objective: of a network (the model, or its head alone) and the rows that it reads (x, or their codes).
        validate: how such a network does on the held-out rows, or on their codes.
    """
    trained, epochs = model, settled_epochs(config.max_epochs, len(x), config.batch_size, FEWEST_STEPS)
    if config.train == "head":  # the encoders stand still: their codes are computed once
        trained = model.head_alone()
        x = in_batches(model.encode, x, model.device)
        held_out = None if held_out is None else in_batches(model.encode, held_out, model.device)

    replica = HeadReplica(
        network=trained,
        x=x,
        held_out=held_out,
        seed=config.seed,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        loss=validate,
    )
    sizes = "-".join(map(str, model.layer_sizes))
    stage = Stage(
        name=config.head,
        title=f"{config.head} {sizes}",
        number=HEAD_NUMBER,
        replicas=[replica],
        step=make_step(objective(trained, x), config, step, epochs, math.ceil(len(x) / config.batch_size)),
        max_epochs=epochs,
        batch_size=config.batch_size,
        patience=settled_patience(config.patience, epochs),
        schedule=config.schedule,
    )
    return alone(Trainer(stage, callback, checkpointer).fit())


def make_step(
    objective: FinetuneObjective, config: FinetuneConfig, step: StepChoice, epochs: int, steps_per_epoch: int
) -> ReplicasStep:
    """The chosen step, which trains the objective's network in place."""
    model = objective.network
    if step.fused:
        return fused_replicas([kernel_training(objective, config, config.weight_decay)], config.precision)
    if config.precision != "fp32":
        raise ConfigError(
            f"precision {config.precision}: expected a chain of dense layers that keep all units, got others among "
            "them, which are trained by an eager step; use precision fp32"
        )
    layers = [part.trained for part in reversed(model.parts)]
    begins = gradual_begins(len(layers), epochs, steps_per_epoch) if config.train == "gradual" else [0] * len(layers)
    rates = LayerRates(config.layer_decay, begins)
    if rates.all_alike:
        optimizer = make_optimizer(model, config, config.learning_rate, config.weight_decay)
        return OneByOne([EagerStep(objective, optimizer)])
    optimizer = make_optimizer(model, config, config.learning_rate, config.weight_decay, layers)
    return OneByOne([EagerStep(objective, optimizer, rates)])
