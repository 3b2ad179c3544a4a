"""The fused step: hand objectives on chains of dense layers to the extension (``stackae.ops``)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING

from torch import Tensor

from stackae.autoencoders.dense import Autoencoder
from stackae.config import TrainingConfig
from stackae.data.rows import ByteRows, inputs_of
from stackae.objectives.auxiliary import WEIGHT
from stackae.objectives.base import Objective
from stackae.ops.step import DenseLayer
from stackae.ranks import here
from stackae.training.rates import MomentumRamp

if TYPE_CHECKING:
    from stackae.ops.compiled import FusedReplicas, Training


def fused_replicas(trainings: Sequence[Training], precision: str) -> FusedReplicas:
    """Make the step that trains the networks together, in place; it owns optimizer state and buffers."""
    step: FusedReplicas = importlib.import_module("stackae.ops.compiled").train_together(trainings, precision, here())
    return step


def kernel_training(
    objective: Objective,
    config: TrainingConfig,
    weight_decay: float,
    layers: Sequence[DenseLayer] | None = None,
    ramp: MomentumRamp | None = None,
) -> Training:
    """Convert the objective to the kernels' record.

    ``layers`` are its chain, with learning rates of their own; ``ramp`` gives the momentum of SGD by epoch.

    Raises:
        TypeError: its network is not a chain of dense layers.
    """
    chain, penalty, weights = layers or objective.chain, objective.sparsity, objective.row_weights
    if not chain:
        raise TypeError(f"objective: expected one on a chain of dense layers, got {type(objective).__name__}")
    (x, scaling), (targets, target_scaling) = _cells(inputs_of(objective.x)), _cells(objective.targets)
    dropout, emphasis, network = objective.dropout, objective.emphasis, objective.network
    auxiliary = objective.auxiliary
    keeps, over_batch, share = network.kept_units if isinstance(network, Autoencoder) else (0, False, 0.0)
    return importlib.import_module("stackae.ops.compiled").training(
        layers=chain,
        x=x,
        scaling=scaling,
        labels=objective.labels,
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


def _cells(x: Tensor | ByteRows | None) -> tuple[Tensor | None, tuple[Tensor, Tensor] | None]:
    """The numbers of rows as they lie in memory, and the scaling of bytes."""
    if isinstance(x, ByteRows):
        return x.raw, (x.scaling.offset, x.scaling.scale)
    return None if x is None else x.contiguous(), None
