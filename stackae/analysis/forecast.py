"""How long a pretraining may take, from a few steps of each layer on some of its rows, whose results are discarded."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import torch

from stackae.autoencoders.statistics import Moments
from stackae.config import PretrainConfig
from stackae.data.codes.encoded import EncodedRows, encoded
from stackae.data.placement import placed
from stackae.data.rows import Rows, evenly, is_fed
from stackae.ops.engine import choose_device
from stackae.training.codes import CodesPlan
from stackae.training.layer import LayerReplica, Reads, make_step
from stackae.training.step import Batches

MOST_ROWS = 4096  # that are measured on
MEASURED, MOST_STEPS = 0.1, 1 << 12  # seconds, about, and steps of a layer in a call


def seconds_of_layers(
    x: Rows, held_out: int, configs: Sequence[PretrainConfig], codes: Sequence[CodesPlan]
) -> list[float]:
    """The seconds that each layer may take, with all its epochs, for rows x (n, n_visible) and ``held_out`` others.

    Each is rows times measured seconds per row, of steps, of validation, and of making codes: once where they are kept,
    in every epoch where they are recomputed. Reading files is not counted, nor that patience may end a layer early. The
    networks that are measured are new ones of these configurations, which are ``settle``d; nothing is kept of them.
    """
    device, rows = choose_device(configs[0].device), len(x)
    sample = evenly(x, MOST_ROWS)
    sample = placed(sample[:] if is_fed(sample) else sample, device)
    reads, again, found = dict.fromkeys(range(len(configs)), Reads.of(sample, None)), 0.0, list[float]()
    for number, layer in enumerate(configs[0].layers, start=1):
        replicas = [LayerReplica.new(index, configs[index], number, own, device) for index, own in reads.items()]
        seconds = _prepared(replicas, rows)
        if not layer.row.solved:
            checked = sum(_taken(partial(one.objective.clean_loss, one.x)) for one in replicas) / len(sample)
            checked *= 2 if replicas[0].objective.noisy else 1
            seconds += int(layer.max_epochs) * (rows * (_step_seconds(replicas) + again) + held_out * (checked + again))
        if number < len(configs[0].layers):
            own = {one.index: EncodedRows(one.x, one.network) for one in replicas}
            made = sum(_taken(each.max) for each in own.values()) / len(sample)
            seconds += (rows + held_out) * (again + made)
            again = again + made if codes[number - 1].where == "recompute" else 0.0
            reads = {index: Reads.of(encoded(each, device), None) for index, each in own.items()}
        found.append(seconds)
    return found


def _prepared(replicas: Sequence[LayerReplica], rows: int) -> float:
    """Seconds of the closed forms of so many rows: what lies beyond the sample are moments, row by row."""
    if not replicas[0].layer.closed_form:
        return 0.0
    x, device = replicas[0].x, replicas[0].network.device
    beyond = max(0, rows - len(x)) / len(x)
    seconds = sum(_taken(one.prepare) for one in replicas)
    return seconds + (beyond * len(replicas) * _taken(lambda: Moments.of(x, device=device)) if beyond else 0.0)


def _step_seconds(replicas: Sequence[LayerReplica]) -> float:
    """Seconds per row of a step that trains them together."""
    step, rows, first = make_step(replicas), len(replicas[0].x), replicas[0]
    size = rows if first.config.optimizer == "lbfgs" else min(rows, first.layer.batch_size)

    def steps(count: int, number: int) -> float:
        chosen = torch.arange(count * size) % rows
        each = [Batches(chosen, [one.learning_rate] * count) for one in replicas]
        return _taken(lambda: step.advance(each, size, number))

    steps(1, 0)  # with what is only done once
    count, number = 1, 1
    while (seconds := steps(count, number)) < MEASURED / 2 and count < MOST_STEPS:
        count, number = 2 * count, number + count
    return seconds / (count * size)


def _taken(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
