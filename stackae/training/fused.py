"""The fused step: hand objectives on chains of dense layers to the extension (``stackae.ops``)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING

from stackae.config import TrainingConfig
from stackae.data.rows import ByteRows, inputs_of
from stackae.objectives.base import Objective

if TYPE_CHECKING:
    from stackae.ops.compiled import FusedReplicas, Training


def fused_replicas(trainings: Sequence[Training], precision: str) -> FusedReplicas:
    """Make the step that trains the networks together, in place; it owns optimizer state and buffers."""
    step: FusedReplicas = importlib.import_module("stackae.ops.compiled").train_together(trainings, precision)
    return step


def kernel_training(objective: Objective, config: TrainingConfig, weight_decay: float) -> Training:
    """Convert the objective to the kernels' record.

    Raises:
        TypeError: its network is not a chain of dense layers.
    """
    x, penalty = inputs_of(objective.x), objective.sparsity
    if not objective.chain:
        raise TypeError(f"objective: expected one on a chain of dense layers, got {type(objective).__name__}")
    return importlib.import_module("stackae.ops.compiled").training(
        layers=objective.chain,
        x=x.raw if isinstance(x, ByteRows) else x.contiguous(),
        scaling=(x.scaling.offset, x.scaling.scale) if isinstance(x, ByteRows) else None,
        labels=objective.labels,
        loss=objective.loss,
        corruption=astuple(objective.corruption),
        sparsity=("none", 0.5, 0.0) if penalty is None else penalty.kernel,
        contraction=objective.contraction,
        weight_l1=objective.weight_l1,
        seed=objective.seed,
        layer=objective.layer,
        optimizer=config.optimizer,
        weight_decay=weight_decay,
        momentum=config.momentum,
    )
