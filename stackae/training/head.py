"""Train a head of any kind on encoders."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Self

from stackae.autoencoders.corruption import Corruption, Dropout
from stackae.config import FinetuneConfig
from stackae.errors import ConfigError
from stackae.models.heads.base import HEAD_NUMBER, FinetuneObjective, Prepared
from stackae.models.stack import in_batches
from stackae.ops.engine import StepChoice
from stackae.ranks import here
from stackae.training.callbacks import Callback, EpochRecord
from stackae.training.checkpointing import Checkpointer
from stackae.training.early_stopping import Patience
from stackae.training.feed import feeds_of
from stackae.training.fused import fused_replicas, kernel_training
from stackae.training.lbfgs import LbfgsStep
from stackae.training.optimizers import make_optimizer
from stackae.training.rates import LayerRates, gradual_begins, ramp_of
from stackae.training.replicas import alone
from stackae.training.stage import Replica, Stage, Validation, settled_epochs
from stackae.training.step import EagerStep, OneByOne, ReplicasStep
from stackae.training.trainer import Trainer

FEWEST_STEPS = 900  # minimum number of steps for automatic epochs; measured by benchmarks/pretraining.py


@dataclass(frozen=True, kw_only=True)
class HeadReplica(Replica):
    """A head with the encoders below it, or a head alone, which reads their codes, computed once."""

    head: Prepared[Any]
    corruption: Corruption = Corruption()
    dropout: tuple[Dropout, Dropout] | None = None

    @classmethod
    def new(cls, head: Prepared[Any], config: FinetuneConfig) -> Self:
        network, x, held_out = head.model, head.x, head.held_out
        if config.train == "head":
            network, encode, device = network.head_alone(), network.encode, network.device
            x = in_batches(encode, x, device)
            held_out = None if held_out is None else in_batches(encode, held_out, device)
        noise, dropped = config.corruption, config.dropout
        extremes = (float(x.min()), float(x.max())) if noise.level else (0.0, 1.0)
        return cls(
            network=network,
            x=x,
            held_out=held_out,
            seed=config.seed,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            head=head,
            corruption=Corruption(noise.kind, noise.level, *extremes),
            dropout=(Dropout(dropped.encoder, 1), Dropout(dropped.decoder, 2)) if dropped else None,
        )

    @property
    def objective(self) -> FinetuneObjective:
        found = self.head.objective(self.network, self.x, self.head.x)
        return replace(found, corruption=self.corruption, dropout=self.dropout, seed=self.seed)

    def validate(self) -> Validation | None:
        if self.held_out is None or self.head.held_out is None:
            return None
        return Validation(*self.head.validate(self.network, self.held_out, self.head.held_out))


def fit_head(
    head: Prepared[Any], config: FinetuneConfig, step: StepChoice, callback: Callback, checkpointer: Checkpointer
) -> list[EpochRecord]:
    """Train the model in place, all of it or its head alone. Returns one record per epoch.

    Args:
        head: its model lies on the training device, and its rows where ``placed`` put them.
        step: the choice of ``head_step``.
    """
    replica = HeadReplica.new(head, config)
    rows, sizes = len(replica.x), "-".join(map(str, head.model.layer_sizes))
    epochs = settled_epochs(config.max_epochs, rows, config.batch_size, FEWEST_STEPS)
    stage = Stage(
        name=config.head,
        title=f"{config.head} {sizes}",
        number=HEAD_NUMBER,
        replicas=[replica],
        step=make_step(replica.objective, config, step, epochs, math.ceil(rows / config.batch_size)),
        max_epochs=epochs,
        batch_size=rows if config.optimizer == "lbfgs" else config.batch_size,
        patience=Patience.of(config.patience, epochs),
        schedule=config.schedule,
        rate_decay=config.rate_decay,
        block=config.block,
    )
    return alone(Trainer(stage, callback, checkpointer).fit())


def make_step(
    objective: FinetuneObjective, config: FinetuneConfig, step: StepChoice, epochs: int, steps_per_epoch: int
) -> ReplicasStep:
    """Make the chosen step, which trains the objective's network in place."""
    model = objective.network
    layers = [part.trained for part in reversed(model.parts)]
    begins = gradual_begins(len(layers), epochs, steps_per_epoch) if config.train == "gradual" else [0] * len(layers)
    rates, ramp = LayerRates(config.layer_decay, begins), ramp_of(config, len(objective.x), config.batch_size)
    if step.fused:
        depths = [max(0, len(layers) - 1 - place) for place in range(len(objective.chain))]
        chain = [
            each._replace(rate=rates.decay**depth, begins=begins[depth], decays=depth == 0 or config.decaying == "all")
            for each, depth in zip(objective.chain, depths, strict=True)
        ]
        feeds = feeds_of([objective], config.batch_size)
        feed = feeds[0] if feeds else None
        training = kernel_training(objective, config, config.weight_decay, chain, ramp, feed)
        return fused_replicas([training], config.precision, feeds)
    if config.precision != "fp32":
        raise ConfigError(
            f"precision {config.precision}: expected a training that the fused step has, got {step.lacks}, which is "
            "trained by an eager step; use precision fp32"
        )
    if config.optimizer == "lbfgs":
        decays = objective.weights if config.decaying == "all" else [each for each in layers[0] if each.dim() > 1]
        return OneByOne([LbfgsStep(objective, decays, config.weight_decay, here())])
    if rates.all_alike and config.decaying == "all":
        optimizer = make_optimizer(model, config, config.learning_rate, config.weight_decay)
        return OneByOne([EagerStep(objective, optimizer, ramp=ramp, ranks=here())])
    optimizer = make_optimizer(model, config, config.learning_rate, config.weight_decay, layers, config.decaying)
    return OneByOne([EagerStep(objective, optimizer, rates, ramp, here())])
