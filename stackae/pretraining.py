"""Greedy layer-wise pretraining: train n->m->n, keep the encoder n->m, train the next layer on its codes.

Bengio, Lamblin, Popovici & Larochelle (2006), Greedy layer-wise training of deep networks; Vincent et al. (2010).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from stackae.autoencoders.statistics import check_room
from stackae.config import PretrainConfig
from stackae.config.together import check_together
from stackae.data.kind import RowsKind
from stackae.data.memory import give_back
from stackae.data.paired import PairedRows
from stackae.data.placement import placed
from stackae.data.rows import Rows
from stackae.errors import ConfigError, DataError, DivergedError, argument
from stackae.models.stack import StackedAutoencoder
from stackae.ops.engine import StepChoice, choose_device
from stackae.training.callbacks import Callback, EpochRecord, NoCallback
from stackae.training.checkpointing import Checkpointer, NoCheckpoints
from stackae.training.codes import CodesPlan, kept, plan_codes
from stackae.training.layer import LayerReplica, Reads, TrainedLayer, train_layer
from stackae.training.replicas import alone
from stackae.training.settling import SettledLayer, described, settled_layers
from stackae.training.solving import solve_layer


class PretrainResult(NamedTuple):
    """The trained stack, one record per epoch, and the configuration with every ``auto`` settled.

    ``steps`` maps each layer's number to the step that trained it; a layer solved in closed form has no entry.
    """

    stack: StackedAutoencoder
    history: list[EpochRecord]
    config: PretrainConfig
    steps: dict[int, StepChoice]


def settle(
    config: PretrainConfig,
    x: Rows,
    row_shape: tuple[int, ...] = (),
    left_out: bool = False,
    kind: RowsKind | None = None,
) -> PretrainConfig:
    """Settle every ``auto`` of the configuration by the training rows x (n, n_visible), their width among them.

    ``stackae.training.settling`` says how, ``reasons`` why. ``row_shape`` is the shape of a row in the array that x was
    flattened from; errors name it. ``left_out``: the stack is to tell rows from classes that were left out of them.
    ``kind`` is ``kind_of`` the rows, where the caller has it.

    Raises:
        ConfigError: the first width is not that of x, a decoder cannot reach its targets, or ``PairedRows`` below a
            layer that can only make its own rows.
        DataError: no rows, or a layer that is solved in closed form, or starts from a closed form, has so many inputs
            that their covariance does not fit in memory.
    """
    config = config.of_width(x.shape[-1])
    _check_width(config, x, row_shape)
    _check_pairs(config, x)
    for number in range(1, len(config.layers) + 1):
        _check_closed_form(config, number)
    found = settled_layers(config, x, left_out, kind)
    for each in found:
        _check_output(each)
    return config.model_copy(update={"layers": tuple(each.layer for each in found)})


def reasons(config: PretrainConfig, x: Rows, left_out: bool = False, kind: RowsKind | None = None) -> list[str]:
    """Say in a line per layer how ``settle`` settles it, and by what of the rows x (n, n_visible), of this ``kind``."""
    config = config.of_width(x.shape[-1])
    lines, found = [], settled_layers(config, x, left_out, kind)
    for number, (n, each) in enumerate(zip(config.layer_sizes, found, strict=False), start=1):
        lines.append(f"layer {number}  {n}-{each.layer.n_hidden}  {described(each.layer)}: {each.reads}")
    return lines


def _check_width(config: PretrainConfig, x: Rows, row_shape: tuple[int, ...]) -> None:
    if len(x.shape) != 2 or x.shape[1] != config.n_visible:
        found = x.shape[-1]
        sizes = ",".join(str(size) for size in (found, *config.layer_sizes[1:]))
        row = f" ({' x '.join(map(str, row_shape))} numbers per row)" if row_shape else ""
        other = ", or reshape an array whose first axis does not count the rows" if row_shape else ""
        raise ConfigError(
            f"{argument('layers')}: expected {found} as the first width, that of the data{row}, got "
            f"{config.n_visible}; "
            f"use {argument('layers', sizes)}, or auto in its place{other}"
        )
    if len(x) == 0:
        raise DataError("data: expected at least one training row, got none")


def _check_pairs(config: PretrainConfig, x: Rows) -> None:
    kind = config.layers[0].kind
    if isinstance(x, PairedRows) and kind not in ("dense", "convolutional"):
        found = "clean rows beside noisy ones" if x.noisy else "rows with missing cells"
        remedy = "" if x.noisy else f", or fill missing cells by {argument('missing', 'mean')}"
        raise ConfigError(
            f"kind {kind}: expected rows that are their own targets below layer 1, got {found}; use kind dense or "
            f"convolutional for layer 1{remedy}"
        )


def _check_closed_form(config: PretrainConfig, number: int) -> None:
    layer, width = config.layers[number - 1], config.layer_sizes[number - 1]
    if not layer.closed_form:
        return
    other = f"kind dense instead of {layer.kind}" if layer.row.solved else f"init random instead of {layer.init}"
    remedy = f"use {other} for layer {number}, or give it fewer inputs"
    check_room(width, choose_device(config.device), remedy)


def _check_output(settled: SettledLayer) -> None:
    """Raise ConfigError where the decoder cannot reach its targets."""
    layer, reads = settled
    if layer.output_activation == "sigmoid" and not reads.in_unit:
        raise ConfigError(
            f"output_activation sigmoid{' (loss bce)' if layer.loss == 'bce' else ''}: expected targets in [0, 1], got "
            f"values beyond in {reads.targets}; use {argument('output_activation', 'linear')} with "
            f"{argument('loss', 'mse')}, or {argument('scale', 'minmax')}"
        )


def pretrain_stack(
    x: Rows,
    config: PretrainConfig,
    *,
    validation: Rows | None = None,
    callback: Callback | None = None,
    checkpointer: Checkpointer | None = None,
    start: StackedAutoencoder | None = None,
    kind: RowsKind | None = None,
) -> PretrainResult:
    """Train every layer of the configuration on x, bottom first.

    Args:
        x: (n, n_visible) training rows, scaled float32, or bytes that are scaled as they are read; of ``PairedRows``,
            the first layer is trained to make the targets.
        config: the layers and how to train them.
        validation: (n_validation, n_visible) rows that choose each layer's best epoch; without them, each layer keeps
            the weights of its last epoch.
        callback: called after every batch and epoch.
        checkpointer: saves snapshots and resumes from them; ``stackae.runs.DiskCheckpointer`` writes them to disk.
        start: a stack of the same shape, from whose weights the layers are trained on, each on the codes of the layer
            below as it has become; None is new weights.
        kind: ``kind_of`` the rows, where the caller has it.

    Raises:
        DivergedError: a step would have made a loss or a weight infinite or NaN; it was not taken.
        ConfigError: a start of another shape.
    """
    return alone(
        pretrain_together(x, [config], validation=validation, callback=callback, checkpointer=checkpointer, start=start)
    )


def pretrain_together(
    x: Rows,
    configs: Sequence[PretrainConfig],
    *,
    validation: Rows | None = None,
    callback: Callback | None = None,
    checkpointer: Checkpointer | None = None,
    start: StackedAutoencoder | None = None,
    kind: RowsKind | None = None,
) -> list[PretrainResult | DivergedError]:
    """Train several networks together, as ``pretrain_stack`` trains one; return one result per configuration.

    On the CPU each network gets its own thread where there are at least as many networks as threads. Each result is
    bit-identical to that of training the network alone, wherever that does not depend on the number of threads. When
    a network diverges, the others train on, and its DivergedError is returned in place of its result.

    Args:
        x, validation, callback, checkpointer, start, kind: as for ``pretrain_stack``; all networks read the same rows.
        configs: at least one; they may differ in seeds, learning rates, weight decays, noise and penalties, but not
            in anything else.

    Raises:
        ConfigError: configurations that cannot train together; it names the first setting that differs.
    """
    settled = [settle(config, x, kind=kind) for config in configs]
    layers = layers_together(
        x, settled, validation=validation, callback=callback, checkpointer=checkpointer, start=start
    )
    return results_together(settled, layers)


def results_together(
    configs: Sequence[PretrainConfig], layers: Iterable[Sequence[TrainedLayer | DivergedError]]
) -> list[PretrainResult | DivergedError]:
    """Assemble the results of ``pretrain_together`` from the layers that ``layers_together`` yielded for them."""
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
    codes: Sequence[CodesPlan] | None = None,
    folder: Path | None = None,
    start: StackedAutoencoder | None = None,
) -> Iterator[list[TrainedLayer | DivergedError]]:
    """Train the layers of ``pretrain_together``; yield, per layer, a list with one entry per configuration.

    When a configuration diverges, this list and all later ones hold its DivergedError; when all have diverged, no
    list follows. Stage results that the checkpointer holds from an earlier process are not trained again.

    Args:
        codes: where the codes of each layer lie, bottom first, as ``plan_codes`` says, which is asked without it.
        folder: where files of codes are made; None is the system's for temporary files.
        start: a stack from whose weights the layers are trained on.

    Raises:
        ConfigError: it does not fit into the memory. DiskError: codes that were to lie on disk did not fit there.
    """
    check_together(configs)
    rows, others, paired = len(x), 0 if validation is None else len(validation), isinstance(x, PairedRows)
    plans = codes if codes is not None else plan_codes(configs[0], rows, others, len(configs), paired=paired)
    device = choose_device(configs[0].device)
    held_out = placed(validation, device) if validation is not None and len(validation) else None
    reads = dict.fromkeys(range(len(configs)), Reads.of(placed(x, device), held_out))  # by index of the configuration
    outcomes: dict[int, TrainedLayer | DivergedError] = {}
    for number in range(1, len(configs[0].layers) + 1):
        begun = None if start is None else start.autoencoders[number - 1]
        replicas = [LayerReplica.new(index, configs[index], number, own, device, begun) for index, own in reads.items()]
        train = solve_layer if replicas[0].layer.row.solved else train_layer
        outcomes |= train(replicas, callback or NoCallback(), checkpointer or NoCheckpoints())
        yield [outcomes[index] for index in range(len(configs))]
        going = [replica for replica in replicas if isinstance(outcomes[replica.index], TrainedLayer)]
        if not going or number == len(configs[0].layers):
            return
        keep = partial(kept, plans[number - 1], folder)
        reads = {replica.index: replica.reads.through(replica.network, keep) for replica in going}
        del replicas, going  # with them the inputs of this layer, which nobody reads any more
        give_back()
