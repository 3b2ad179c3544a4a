"""The fused step: an objective on dense layers, handed whole to the extension (``stackae.ops.train_together``)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import Module

from stackae.autoencoders.dense import Autoencoder, Dense
from stackae.config import TrainingConfig
from stackae.data.rows import ByteRows, Rows
from stackae.objectives.base import FinetuneObjective, Objective
from stackae.objectives.heads import ClassificationObjective, UnrolledObjective
from stackae.objectives.penalties import KlSparsity, L1Sparsity
from stackae.objectives.reconstruction import ReconstructionObjective

if TYPE_CHECKING:
    from stackae.ops.compiled import DenseLayer, FusedReplicas, Training


def fused_replicas(trainings: Sequence[Training], precision: str) -> FusedReplicas:
    """Trains the networks in place, together; moments and buffers live as long as the step does."""
    ops = importlib.import_module("stackae.ops.compiled")
    step: FusedReplicas = ops.train_together(trainings, precision)
    return step


def reconstruction(objective: Objective, config: TrainingConfig, weight_decay: float) -> Training:
    """The objective as the extension wants it told."""
    ops = importlib.import_module("stackae.ops.compiled")
    if not isinstance(objective, ReconstructionObjective) or not isinstance(objective.autoencoder, Autoencoder):
        raise TypeError(f"objective: expected that of a dense autoencoder, got {type(objective).__name__}")
    autoencoder, noise, penalty = objective.autoencoder, objective.corruption, objective.sparsity
    encoder = autoencoder.encoder
    output = "linear" if objective.loss == "bce" else autoencoder.output_activation
    decoder = ops.DenseLayer(
        autoencoder.decoder_weight, autoencoder.decoder_bias, output, tied_to=0 if autoencoder.tied else -1
    )
    x, scaling = _raw(objective.x)
    training: Training = ops.Training(
        layers=[ops.DenseLayer(encoder.weight, encoder.bias, encoder.activation), decoder],
        x=x,
        loss=objective.loss,
        scaling=scaling,
        corruption=(noise.kind, noise.level, noise.low, noise.high),
        sparsity=(penalty.target, penalty.weight) if isinstance(penalty, KlSparsity) else (0.5, 0.0),
        l1=penalty.weight if isinstance(penalty, L1Sparsity) else 0.0,
        contraction=objective.contraction,
        optimizer=config.optimizer,
        weight_decay=weight_decay,
        momentum=config.momentum,
        seed=objective.seed,
        layer=objective.layer,
    )
    return training


def finetuning(objective: FinetuneObjective, config: TrainingConfig, weight_decay: float) -> Training | None:
    """The objective as the extension wants it told; None where it has no such objective, or not of such layers."""
    if isinstance(objective, ClassificationObjective):
        fits = objective.weight is None and _are_dense(objective.model.parts)
        return classification(objective, config, weight_decay) if fits else None
    if isinstance(objective, UnrolledObjective) and objective.x is objective.target:
        chain = [*objective.model.encoders, *objective.model.head.each]
        return unrolled(objective, config, weight_decay) if _are_dense(chain) else None
    return None


def _are_dense(chain: Sequence[Module]) -> bool:
    return all(type(part) is Dense for part in chain)


def classification(objective: ClassificationObjective, config: TrainingConfig, weight_decay: float) -> Training:
    """Of a classifier of dense layers, as the extension wants it told."""
    ops = importlib.import_module("stackae.ops.compiled")
    x, scaling = _raw(objective.x)
    training: Training = ops.Training(
        layers=_links(objective.model.parts),
        x=x,
        loss="cross_entropy",
        scaling=scaling,
        labels=objective.y.contiguous(),
        optimizer=config.optimizer,
        weight_decay=weight_decay,
        momentum=config.momentum,
    )
    return training


def unrolled(objective: UnrolledObjective, config: TrainingConfig, weight_decay: float) -> Training:
    """Of an unrolled stack of dense layers, as the extension wants it told."""
    ops = importlib.import_module("stackae.ops.compiled")
    links = _links([*objective.model.encoders, *objective.model.head.each])
    if objective.loss == "bce":
        links[-1] = links[-1]._replace(activation="linear")
    x, scaling = _raw(objective.x)
    training: Training = ops.Training(
        layers=links,
        x=x,
        loss=objective.loss,
        scaling=scaling,
        optimizer=config.optimizer,
        weight_decay=weight_decay,
        momentum=config.momentum,
    )
    return training


def _links(chain: Sequence[Module]) -> list[DenseLayer]:
    ops = importlib.import_module("stackae.ops.compiled")
    return [ops.DenseLayer(one.weight, one.bias, one.activation) for one in chain if isinstance(one, Dense)]


def _raw(x: Rows) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
    """The numbers in memory, and how bytes among them are scaled."""
    if isinstance(x, ByteRows):
        return x.raw, (x.scaling.offset, x.scaling.scale)
    return x.contiguous(), None
