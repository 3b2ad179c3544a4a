"""The fused step: hand objectives on chains of dense layers to the extension (``stackae.ops``)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING

from torch import Tensor

from stackae.autoencoders.dense import Autoencoder
from stackae.config import TrainingConfig
from stackae.data.rows import ByteRows, Rows, inputs_of
from stackae.objectives.auxiliary import WEIGHT
from stackae.objectives.base import Objective
from stackae.ops.step import DenseLayer
from stackae.ranks import here
from stackae.training.feed import FedStep, Feed
from stackae.training.rates import MomentumRamp
from stackae.training.step import ReplicasStep

if TYPE_CHECKING:
    from stackae.ops.compiled import FusedReplicas, Training


def fused_replicas(trainings: Sequence[Training], precision: str, feeds: Sequence[Feed] = ()) -> ReplicasStep:
    """Make the step that trains the networks together, in place; it owns optimizer state and buffers.

    ``feeds`` hold the rows of networks whose trainings read them from there.
    """
    step: FusedReplicas = importlib.import_module("stackae.ops.compiled").train_together(trainings, precision, here())
    return FedStep(step, feeds) if feeds else step


def kernel_training(
    objective: Objective,
    config: TrainingConfig,
    weight_decay: float,
    layers: Sequence[DenseLayer] | None = None,
    ramp: MomentumRamp | None = None,
    feed: Feed | None = None,
) -> Training:
    """Convert the objective to the kernels' record.

    ``layers`` are its chain, with learning rates of their own; ``ramp`` gives the momentum of SGD by epoch. The rows
    are read from the ``feed``, where there is one.

    Raises:
        TypeError: its network is not a chain of dense layers.
    """
    chain, penalty = layers or objective.chain, objective.sparsity
    given = objective if feed is None else feed
    weights = objective.row_weights if feed is None else feed.weights
    if not chain:
        raise TypeError(f"objective: expected one on a chain of dense layers, got {type(objective).__name__}")
    (x, scaling), (targets, target_scaling) = _cells(given.x), _cells(given.targets)
    dropout, emphasis, network = objective.dropout, objective.emphasis, objective.network
    auxiliary = objective.auxiliary
    keeps, over_batch, share = network.kept_units if isinstance(network, Autoencoder) else (0, False, 0.0)
    return importlib.import_module("stackae.ops.compiled").training(
        layers=chain,
        x=x,
        scaling=scaling,
        labels=given.labels,
        targets=targets,
        target_scaling=target_scaling,
        weights=None if weights is None else weights.to(chain[0].bias),
        loss=objective.kernel_loss,
        corruption=astuple(objective.corruption),
        sparsity=("none", 0.5, 0.0) if penalty is None else penalty.kernel,
        contraction=objective.contraction,
        weight_l1=objective.weight_l1,
        max_norm=objective.max_norm,
        emphasis=(1.0, 1.0) if emphasis is None else astuple(emphasis),
        dropout=(0.0, 0.0, 0) if dropout is None else (*(each.level for each in dropout), objective.codes),
        keeps=keeps,
        over_batch=over_batch,
        share=share,
        auxiliary=(0, 1, 0.0) if auxiliary is None else (auxiliary.count, auxiliary.rows, WEIGHT),
        seed=objective.seed,
        layer=objective.layer,
        optimizer=config.optimizer,
        weight_decay=weight_decay,
        momentum=config.momentum,
        momentum_ramp=(0.0, 0, 1) if ramp is None else (ramp.last, ramp.epochs, ramp.steps_per_epoch),
    )


def _cells(x: Rows | None) -> tuple[Tensor | None, tuple[Tensor, Tensor] | None]:
    """The numbers of rows as they lie in memory, and the scaling of bytes."""
    x = None if x is None else inputs_of(x)
    if isinstance(x, ByteRows):
        return x.raw, (x.scaling.offset, x.scaling.scale)
    assert x is None or isinstance(x, Tensor), "rows that cannot be read in place have a feed"
    return None if x is None else x.contiguous(), None
