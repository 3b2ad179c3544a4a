"""Greedy layer-wise pretraining: train n->m->n, keep the encoder n->m, go on with its codes.

Bengio, Lamblin, Popovici & Larochelle (2006), Greedy layer-wise training of deep networks; Vincent et al. (2010).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from stackae.autoencoders.statistics import check_room
from stackae.config import LayerConfig, PretrainConfig
from stackae.config.activations import ACTIVATIONS
from stackae.config.together import check_together
from stackae.data.placement import home, placed
from stackae.data.rows import Rows
from stackae.errors import ConfigError, DataError, DivergedError, argument
from stackae.models.stack import StackedAutoencoder
from stackae.ops.engine import StepChoice, choose_device
from stackae.training.callbacks import Callback, EpochRecord, NoCallback
from stackae.training.checkpointing import Checkpointer, NoCheckpoints
from stackae.training.layer import FEWEST_STEPS, LayerReplica, Reads, TrainedLayer, train_layer
from stackae.training.replicas import alone
from stackae.training.solving import solve_layer
from stackae.training.stage import settled_epochs, settled_patience


class PretrainResult(NamedTuple):
    """The trained stack, the record of every epoch, and the configuration with every ``auto`` settled.

    ``steps`` are those that trained the layers, by number; a layer that is solved in closed form has none.
    """

    stack: StackedAutoencoder
    history: list[EpochRecord]
    config: PretrainConfig
    steps: dict[int, StepChoice]


def settle(config: PretrainConfig, x: Rows, row_shape: tuple[int, ...] = ()) -> PretrainConfig:
    """The configuration with its ``auto`` values decided from the training rows x (n, n_visible).

    An output activation is sigmoid where its targets lie in [0, 1], and linear elsewhere. row_shape is named in errors:
    how the numbers of a row lay in the array that they come from.

    Raises:
        ConfigError: the first width is not that of x, or a decoder cannot reach its targets.
        DataError: a layer that is solved in closed form, or begins there, has more inputs than the memory holds
            moments of.
    """
    if len(x.shape) != 2 or x.shape[1] != config.n_visible:
        found = x.shape[-1]
        sizes = ",".join(str(size) for size in (found, *config.layer_sizes[1:]))
        row = f" ({' x '.join(map(str, row_shape))} numbers per row)" if row_shape else ""
        other = ", or reshape an array whose first axis does not count the rows" if row_shape else ""
        raise ConfigError(
            f"{argument('layers')}: expected {found} as the first width, that of the data{row}, got "
            f"{config.n_visible}; "
            f"use {argument('layers', sizes)}{other}"
        )
    in_unit = len(x) > 0 and float(x.min()) >= 0.0 and float(x.max()) <= 1.0
    layers = []
    for number, layer in enumerate(config.layers, start=1):
        _check_closed_form(config, number)
        settled = _settle_layer(layer, in_unit, "the data" if number == 1 else f"the codes of layer {number - 1}")
        epochs = 1 if layer.row.solved else settled_epochs(layer.max_epochs, len(x), layer.batch_size, FEWEST_STEPS)
        patience = settled_patience(layer.patience, epochs)
        layers.append(settled.model_copy(update={"max_epochs": epochs, "patience": patience}))
        in_unit = ACTIVATIONS[layer.activation].in_unit and layer.row.activated
    return config.model_copy(update={"layers": tuple(layers)})


def _check_closed_form(config: PretrainConfig, number: int) -> None:
    layer, width = config.layers[number - 1], config.layer_sizes[number - 1]
    if not layer.closed_form:
        return
    other = f"kind dense instead of {layer.kind}" if layer.row.solved else f"init random instead of {layer.init}"
    remedy = f"use {other} for layer {number}, or give it fewer inputs"
    check_room(width, choose_device(config.device), remedy)


def _settle_layer(layer: LayerConfig, in_unit: bool, targets: str) -> LayerConfig:
    output = layer.output_activation
    if output == "auto":
        output = "sigmoid" if in_unit or layer.loss == "bce" else "linear"
    if output == "sigmoid" and not in_unit:
        raise ConfigError(
            f"output_activation sigmoid{' (loss bce)' if layer.loss == 'bce' else ''}: expected targets in [0, 1], got "
            f"values beyond in {targets}; use {argument('output_activation', 'linear')} with "
            f"{argument('loss', 'mse')}, or {argument('scale', 'minmax')}"
        )
    return layer.model_copy(update={"output_activation": output})


def pretrain_stack(
    x: Rows,
    config: PretrainConfig,
    *,
    validation: Rows | None = None,
    callback: Callback | None = None,
    checkpointer: Checkpointer | None = None,
) -> PretrainResult:
    """Trains every layer of the configuration on x, bottom first.

    Args:
        x: (n, n_visible) training rows, scaled float32 or bytes that read as such.
        config: the layers and how to train them.
        validation: (n_validation, n_visible) rows that choose each layer's best epoch; without them the last one stays.
        callback: called after every batch and epoch.
        checkpointer: saves where training is, and resumes from there; on the disk: ``stackae.runs.DiskCheckpointer``.

    Raises:
        DivergedError: a step would have made a loss or a weight infinite or NaN; it was not taken.
    """
    return alone(pretrain_together(x, [config], validation=validation, callback=callback, checkpointer=checkpointer))


def pretrain_together(
    x: Rows,
    configs: Sequence[PretrainConfig],
    *,
    validation: Rows | None = None,
    callback: Callback | None = None,
    checkpointer: Checkpointer | None = None,
) -> list[PretrainResult | DivergedError]:
    """``pretrain_stack`` for several configurations, trained together.

    On the CPU each has a thread of its own, where there are at least as many networks as threads. Each is trained to
    the bits that it gets alone, wherever those do not depend on the number of threads. One that diverges costs the
    others nothing: a DivergedError stands in the place of its result.

    Args:
        x, validation, callback, checkpointer: as ``pretrain_stack`` has them; all networks read the same rows.
        configs: at least one; they may differ in seeds, learning rates, weight decays, noise and penalties, but not
            in anything else.

    Raises:
        ConfigError: configurations that cannot train together; it names the first setting that differs.
    """
    settled = [settle(config, x) for config in configs]
    layers = layers_together(x, settled, validation=validation, callback=callback, checkpointer=checkpointer)
    return results_together(settled, layers)


def results_together(
    configs: Sequence[PretrainConfig], layers: Iterable[Sequence[TrainedLayer | DivergedError]]
) -> list[PretrainResult | DivergedError]:
    """What ``pretrain_together`` returns, from what ``layers_together`` gave for these configurations."""
    results: list[PretrainResult | DivergedError] = []
    for config, *outcomes in zip(configs, *layers, strict=True):
        if isinstance(outcomes[-1], DivergedError):
            results.append(outcomes[-1])
            continue
        trained = [outcome for outcome in outcomes if isinstance(outcome, TrainedLayer)]
        stack = StackedAutoencoder(layer.autoencoder for layer in trained)
        history = [record for layer in trained for record in layer.history]
        steps = {layer.number: layer.step for layer in trained if layer.step is not None}
        results.append(PretrainResult(stack, history, config, steps))
    return results


def layers_together(
    x: Rows,
    configs: Sequence[PretrainConfig],
    *,
    validation: Rows | None = None,
    callback: Callback | None = None,
    checkpointer: Checkpointer | None = None,
) -> Iterator[list[TrainedLayer | DivergedError]]:
    """The layers of ``pretrain_together``: lists with an entry a configuration, as soon as all have trained a layer.

    Where one has diverged, it and every later list hold its DivergedError; none follows when all have. What the
    checkpointer has from an earlier process is not trained again.
    """
    check_together(configs)
    if len(x) == 0:
        raise DataError("data: expected at least one training row, got none")
    device = choose_device(configs[0].device)
    held_out = placed(validation, device) if validation is not None and len(validation) else None
    reads = dict.fromkeys(range(len(configs)), Reads.of(placed(x, device), held_out))
    outcomes: dict[int, TrainedLayer | DivergedError] = {}
    for number in range(1, len(configs[0].layers) + 1):
        replicas = [LayerReplica.new(index, configs[index], number, own, device) for index, own in reads.items()]
        train = solve_layer if replicas[0].layer.row.solved else train_layer
        outcomes |= train(replicas, callback or NoCallback(), checkpointer or NoCheckpoints())
        yield [outcomes[index] for index in range(len(configs))]
        going = [replica for replica in replicas if isinstance(outcomes[replica.index], TrainedLayer)]
        if not going or number == len(configs[0].layers):
            return
        size = len(x) * going[0].network.n_hidden * 4
        keep = home(size * len(going), device)  # the codes of all on one device: they are trained together
        reads = {replica.index: replica.reads.through(replica.network, keep) for replica in going}
        del replicas, going  # with them the inputs of this layer, which nobody reads any more
