"""Greedy layer-wise pretraining: train n->m->n, keep the encoder n->m, go on with its codes.

Bengio, Lamblin, Popovici & Larochelle (2006), Greedy layer-wise training of deep networks; Vincent et al. (2010).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from stackae.autoencoders.dense import Autoencoder
from stackae.config import LayerConfig, PretrainConfig, SparsityConfig
from stackae.corruption import Corruption
from stackae.data.minibatches import in_order
from stackae.data.rows import Rows
from stackae.engine import choose_device, choose_step
from stackae.errors import ConfigError, DataError
from stackae.losses import LOSSES
from stackae.penalties import KlSparsity, L1Sparsity
from stackae.stack import ROWS_AT_ONCE, StackedAutoencoder, in_batches
from stackae.training.fused import fused_reconstruction
from stackae.training.history import EpochRecord, Listener, Silent
from stackae.training.loop import Stage, Validation, fit, settled_epochs
from stackae.training.optimizers import make_optimizer
from stackae.training.step import EagerStep, ReconstructionObjective, TrainStep

FEWEST_STEPS = 2000  # a layer's, where epochs are auto; measured by benchmarks/pretraining.py


class TrainedLayer(NamedTuple):
    """One trained autoencoder of the stack; ``number`` counts from 1 at the bottom."""

    number: int
    autoencoder: Autoencoder
    history: list[EpochRecord]


class PretrainResult(NamedTuple):
    """The trained stack, the record of every epoch, and the configuration with every ``auto`` settled."""

    stack: StackedAutoencoder
    history: list[EpochRecord]
    config: PretrainConfig


def settle(config: PretrainConfig, x: Rows) -> PretrainConfig:
    """The configuration with its ``auto`` values decided from the training rows x (n, n_visible).

    An output activation is sigmoid where its targets lie in [0, 1], and linear elsewhere.

    Raises:
        ConfigError: the first width is not that of x, or a decoder cannot reach its targets.
    """
    if len(x.shape) != 2 or x.shape[1] != config.n_visible:
        found = x.shape[-1]
        sizes = ",".join(str(size) for size in (found, *config.layer_sizes[1:]))
        raise ConfigError(
            f"--layers: expected {found} as the first width, that of the data, got {config.n_visible}; "
            f"use --layers {sizes}"
        )
    in_unit = len(x) > 0 and float(x.min()) >= 0.0 and float(x.max()) <= 1.0
    layers = []
    for number, layer in enumerate(config.layers, start=1):
        settled = _settle_layer(layer, in_unit, "the data" if number == 1 else f"the codes of layer {number - 1}")
        epochs = settled_epochs(layer.max_epochs, len(x), config.batch_size, FEWEST_STEPS)
        layers.append(settled.model_copy(update={"max_epochs": epochs}))
        in_unit = layer.activation == "sigmoid"
    return config.model_copy(update={"layers": tuple(layers)})


def _settle_layer(layer: LayerConfig, in_unit: bool, targets: str) -> LayerConfig:
    output = layer.output_activation
    if output == "auto":
        output = "sigmoid" if in_unit or layer.loss == "bce" else "linear"
    if output == "sigmoid" and not in_unit:
        raise ConfigError(
            f"output_activation sigmoid{' (loss bce)' if layer.loss == 'bce' else ''}: expected targets in [0, 1], got "
            f"values beyond in {targets}; use --output-activation linear with --loss mse, or --scale minmax"
        )
    return layer.model_copy(update={"output_activation": output})


def pretrain_stack(
    x: Rows, config: PretrainConfig, *, validation: Rows | None = None, listener: Listener | None = None
) -> PretrainResult:
    """Trains every layer of the configuration on x, bottom first.

    Args:
        x: (n, n_visible) training rows, scaled float32 or bytes that read as such.
        config: the layers and how to train them.
        validation: (n_validation, n_visible) rows that choose each layer's best epoch; without them the last one stays.
        listener: told of every batch and epoch.
    """
    config = settle(config, x)
    layers, history = [], []
    for trained in pretrain_layers(x, config, validation=validation, listener=listener):
        layers.append(trained.autoencoder)
        history += trained.history
    return PretrainResult(StackedAutoencoder(layers), history, config)


def pretrain_layers(
    x: Rows, config: PretrainConfig, *, validation: Rows | None = None, listener: Listener | None = None
) -> Iterator[TrainedLayer]:
    """The layers of ``pretrain_stack`` one by one, each as soon as it is trained."""
    if len(x) == 0:
        raise DataError("data: expected at least one training row, got none")
    device = choose_device(config.device)
    x = x.to(device)
    held_out = validation.to(device) if validation is not None and len(validation) else None
    for number, layer in enumerate(config.layers, start=1):
        autoencoder = Autoencoder(
            config.layer_sizes[number - 1],
            layer.n_hidden,
            activation=layer.activation,
            output_activation=layer.output_activation,
            tied=layer.tied,
            seed=config.seed,
            layer=number,
            engine=config.engine,
        ).to(device)
        history = _train_layer(autoencoder, layer, number, x, held_out, config, listener or Silent())
        yield TrainedLayer(number, autoencoder, history)
        if number < len(config.layers):
            x = in_batches(autoencoder.encode, x)
            held_out = in_batches(autoencoder.encode, held_out) if held_out is not None else None


def _train_layer(
    autoencoder: Autoencoder,
    layer: LayerConfig,
    number: int,
    x: Rows,
    held_out: Rows | None,
    config: PretrainConfig,
    listener: Listener,
) -> list[EpochRecord]:
    objective = ReconstructionObjective(
        autoencoder=autoencoder,
        x=x,
        loss=layer.loss,
        corruption=Corruption(layer.corruption.kind, layer.corruption.level, float(x.min()), float(x.max())),
        sparsity=_penalty(layer.sparsity),
        seed=config.seed,
        layer=number,
    )
    step: TrainStep
    if choose_step(config.engine, x.device, config.precision).fused:
        step = fused_reconstruction(objective, config, layer.weight_decay)
    else:
        step = EagerStep(objective, make_optimizer(autoencoder, config, layer.learning_rate, layer.weight_decay))
    n, m = autoencoder.n_visible, autoencoder.n_hidden
    stage = Stage(
        name=f"layer{number}",
        title=f"layer {number}/{len(config.layers)} {n}-{m}-{n}",
        number=number,
        rows=len(x),
        module=autoencoder,
        step=step,
        validate=lambda: reconstruction_loss(autoencoder, held_out, layer.loss) if held_out is not None else None,
        max_epochs=settled_epochs(layer.max_epochs, len(x), config.batch_size, FEWEST_STEPS),
        learning_rate=layer.learning_rate,
    )
    return fit(stage, config, listener)


def _penalty(sparsity: SparsityConfig) -> KlSparsity | L1Sparsity | None:
    if sparsity.kind == "none":
        return None
    return KlSparsity(sparsity.target, sparsity.weight) if sparsity.kind == "kl" else L1Sparsity(sparsity.weight)


@torch.no_grad()
def reconstruction_loss(autoencoder: Autoencoder, x: Rows, loss: str) -> Validation:
    """The loss per row of reconstructing x (n, n_visible) uncorrupted."""
    total = 0.0
    for part in in_order(len(x), ROWS_AT_ONCE):
        rows = x[part]
        total += LOSSES[loss](autoencoder, autoencoder.encode(rows), rows).item() * len(rows)
    return Validation(total / len(x))
