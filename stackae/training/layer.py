"""Train one layer of a stack, or the same layer of several stacks together, on the codes of the layer below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import NamedTuple, Self

import torch
from torch import Tensor

from stackae.autoencoders.base import LayerAutoencoder
from stackae.autoencoders.corruption import Corruption
from stackae.autoencoders.dense import Autoencoder
from stackae.autoencoders.parameters import fill
from stackae.config import LayerConfig, PretrainConfig
from stackae.config.activations import ACTIVATIONS
from stackae.data.paired import PairedRows
from stackae.data.rows import Rows
from stackae.errors import ConfigError, DivergedError
from stackae.objectives.kinds import KINDS, LayerObjective, build
from stackae.ops.engine import StepChoice
from stackae.ranks import here
from stackae.training.callbacks import Callback, EpochRecord
from stackae.training.checkpointing import Checkpointer
from stackae.training.choice import layer_steps
from stackae.training.closed_form import put_closed_form
from stackae.training.divergence import Magnitudes
from stackae.training.early_stopping import Patience
from stackae.training.feed import feeds_of
from stackae.training.fused import fused_replicas, kernel_training
from stackae.training.lbfgs import LbfgsStep
from stackae.training.optimizers import make_optimizer
from stackae.training.rates import ramp_of
from stackae.training.resampling import SAMPLE, dead_units, resample_units
from stackae.training.settling import FEWEST_STEPS
from stackae.training.stage import Replica, Stage, Validation, settled_epochs
from stackae.training.step import EagerStep, OneByOne, ReplicasStep
from stackae.training.trainer import Trainer


class TrainedLayer(NamedTuple):
    """One trained layer of a stack; ``number`` counts from 1 at the bottom; a closed form has no ``step``."""

    number: int
    autoencoder: LayerAutoencoder
    history: list[EpochRecord]
    step: StepChoice | None = None


class Reads(NamedTuple):
    """A layer's training rows (n, n_in), its validation rows, and the range of the training rows."""

    x: Rows
    held_out: Rows | None
    low: float
    high: float

    @classmethod
    def of(cls, x: Rows, held_out: Rows | None) -> Reads:
        return cls(x, held_out, float(x.min()), float(x.max()))

    def through(self, autoencoder: LayerAutoencoder, keep: Callable[[LayerAutoencoder, Rows], Rows]) -> Reads:
        """The codes of both: the input of the layer above, where ``keep`` has them."""
        x = keep(autoencoder, self.x)
        return Reads.of(x, None if self.held_out is None else keep(autoencoder, self.held_out))


@dataclass(frozen=True, kw_only=True)
class LayerReplica(Replica):
    """Layer ``number`` of one stack, ready to be trained on its inputs."""

    network: LayerAutoencoder
    config: PretrainConfig
    number: int
    reads: Reads
    continues: bool = False
    """Its network has been trained before: no closed form takes the place of what it learned."""

    @classmethod
    def new(
        cls,
        index: int,
        config: PretrainConfig,
        number: int,
        reads: Reads,
        device: torch.device,
        start: LayerAutoencoder | None = None,
    ) -> Self:
        """Layer ``number`` with new weights, or with a copy of those of ``start``, which has its shape.

        Raises ConfigError for a start whose tensors do not fit.
        """
        size, layer = config.layer_sizes[number - 1], config.layers[number - 1]
        network = build(size, layer, seed=config.seed, number=number, engine=config.engine)
        if start is not None:
            _continue(network, start, number)
        return cls(
            network=network.to(device),
            continues=start is not None,
            x=reads.x,
            held_out=reads.held_out,
            seed=config.seed,
            learning_rate=float(layer.learning_rate),
            weight_decay=layer.weight_decay,
            index=index,
            config=config,
            number=number,
            reads=reads,
        )

    @property
    def layer(self) -> LayerConfig:
        return self.config.layers[self.number - 1]

    @property
    def step(self) -> StepChoice:
        return layer_steps(self.config, self.number == 1 and isinstance(self.x, PairedRows))[self.number]

    @property
    def corruption(self) -> Corruption:
        noise = self.layer.corruption
        return Corruption(noise.kind, noise.level, self.reads.low, self.reads.high)

    @cached_property
    def objective(self) -> LayerObjective:
        kind = KINDS[self.layer.kind].objective
        return kind.of(self.network, self.x, self.layer, self.corruption, seed=self.seed, number=self.number)

    def validate(self) -> Validation | None:
        """Compute the loss on the validation rows; where training corrupts its rows, on corrupted ones too."""
        held_out, objective = self.held_out, self.objective
        if held_out is None:
            return None
        corrupted = objective.corrupted_loss(held_out) if objective.noisy else None
        return Validation(objective.clean_loss(held_out), corrupted_loss=corrupted)

    def prepare(self) -> None:
        """Initialize the network with its closed form, where the settings request one."""
        if not self.continues:
            put_closed_form(self.network, self.layer, self.x, self.corruption)

    @property
    def sample(self) -> Tensor:
        """The rows on which dead units are counted."""
        return self.x[: min(SAMPLE, len(self.x))].to(self.network.device)

    @torch.no_grad()
    def magnitudes(self, rows: Tensor, step: int) -> Magnitudes:
        objective = self.objective
        aim = objective.aim(rows.to(self.x.device))
        seen, reconstruction, penalties = objective.parts(aim, step)
        return Magnitudes(
            inputs=float(aim.x.abs().max()),
            seen=float(seen.abs().max()),
            reconstruction=float(reconstruction),
            penalties={name: float(each) for name, each in penalties.items()},
            weight_decay=self.weight_decay,
            layer=self.number,
            init=self.layer.init,
        )

    def dead_mask(self) -> Tensor | None:
        """Find the dead units, after fitting the threshold; None for codes whose units are always alive."""
        one, layer = self.network, self.layer
        always_alive = layer.sparsity.kind == "none" and ACTIVATIONS[layer.activation].saturates
        if always_alive or not isinstance(one, Autoencoder):
            return None
        sample = self.sample
        one.calibrate(sample)
        return dead_units(one, sample)

    def resample(self, dead: Tensor, epoch: int, optimizer_state: Sequence[Tensor]) -> None:
        if self.layer.revive.kind == "resample" and isinstance(self.network, Autoencoder):
            stream = {"seed": self.seed, "layer": self.number, "epoch": epoch}
            resample_units(self.network, self.sample, dead, optimizer_state, **stream)


def _continue(network: LayerAutoencoder, start: LayerAutoencoder, number: int) -> None:
    try:
        fill(network, start.state_dict())
    except ValueError as error:
        raise ConfigError(
            f"start: expected a stack whose layer {number} has the shape of these settings, got {error}; train anew, "
            "or leave kinds, widths and tied weights as they were"
        ) from None


def train_layer(
    replicas: Sequence[LayerReplica], callback: Callback, checkpointer: Checkpointer
) -> dict[int, TrainedLayer | DivergedError]:
    """Train the layer of each replica, together; return the trained layers, or why they diverged, by index."""
    first = replicas[0]
    config, rows, n, m = first.config, len(first.x), first.network.n_visible, first.network.n_hidden
    epochs = settled_epochs(first.layer.max_epochs, rows, first.layer.batch_size, FEWEST_STEPS)
    stage = Stage(
        name=f"layer{first.number}",
        title=f"layer {first.number}/{len(config.layers)} {n}-{m}-{n}",
        number=first.number,
        replicas=replicas,
        step=make_step(replicas),
        max_epochs=epochs,
        batch_size=rows if config.optimizer == "lbfgs" else first.layer.batch_size,
        patience=Patience.of(first.layer.patience, epochs),
        schedule=config.schedule,
        rate_decay=config.rate_decay,
        block=config.block,
    )
    return {
        each.index: outcome
        if isinstance(outcome, DivergedError)
        else TrainedLayer(each.number, each.network, outcome, each.step)
        for each, outcome in zip(replicas, Trainer(stage, callback, checkpointer).fit(), strict=True)
    }


def make_step(replicas: Sequence[LayerReplica]) -> ReplicasStep:
    """Make the step that trains these layers together, in place: the choice of ``layer_steps``, the same for all."""
    ramp = ramp_of(replicas[0].config, len(replicas[0].x), replicas[0].layer.batch_size)
    if replicas[0].step.fused:
        feeds = feeds_of([each.objective for each in replicas], replicas[0].layer.batch_size)
        trainings = [
            kernel_training(each.objective, each.config, each.weight_decay, ramp=ramp, feed=feed)
            for each, feed in zip_longest(replicas, feeds)
        ]
        return fused_replicas(trainings, replicas[0].config.precision, feeds)
    if replicas[0].config.optimizer == "lbfgs":
        return OneByOne(
            [LbfgsStep(each.objective, each.objective.weights, each.weight_decay, here()) for each in replicas]
        )
    optimizers = [make_optimizer(each.network, each.config, each.learning_rate, each.weight_decay) for each in replicas]
    objectives = [each.objective for each in replicas]
    return OneByOne([EagerStep(*pair, ramp=ramp, ranks=here()) for pair in zip(objectives, optimizers, strict=True)])
