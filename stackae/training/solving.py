"""Solve a layer in closed form, as a stage of one epoch that is saved and reported like any other."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from stackae.autoencoders.parameters import fill
from stackae.errors import DivergedError, RunError, argument
from stackae.training.callbacks import Callback, EpochRecord
from stackae.training.checkpointing import Checkpointer, StageResult
from stackae.training.layer import LayerReplica, TrainedLayer


def solve_layer(
    replicas: Sequence[LayerReplica], callback: Callback, checkpointer: Checkpointer
) -> dict[int, TrainedLayer | DivergedError]:
    """Solve the layer of each replica; return as ``train_layer``, with one record per network, of the minimized loss.

    Raises:
        RunError: the checkpointer holds results of other networks.
    """
    first = replicas[0]
    name, rows = f"layer{first.number}", len(first.x)
    kept = checkpointer.begin(name, {each.index: each.network for each in replicas})
    if isinstance(kept, Mapping):
        return {each.index: _restored(each, kept[each.index]) for each in replicas}
    title = f"layer {first.number}/{len(first.config.layers)} {first.layer.kind}"
    callback.start_stage(name, title, len(replicas), rows, 1, 0)
    records = {each.index: _solved(name, each) for each in replicas}
    callback.batch(rows, sum(each.loss for each in records.values()) / len(records))
    callback.epoch(records)
    results = {each.index: StageResult(each.network.state_dict(), (records[each.index],), None) for each in replicas}
    checkpointer.end(name, results)
    return {each.index: TrainedLayer(each.number, each.network, [records[each.index]]) for each in replicas}


def _solved(stage: str, replica: LayerReplica) -> EpochRecord:
    started = time.perf_counter()
    replica.prepare()
    objective, x = replica.objective, replica.x
    validation = replica.validate()
    seconds = time.perf_counter() - started
    return EpochRecord(
        stage=stage,
        epoch=1,
        loss=objective.corrupted_loss(x) if objective.noisy else objective.clean_loss(x),
        validation_loss=validation.loss if validation else None,
        validation_error=None,
        learning_rate=0.0,
        seconds=seconds,
        rows_per_second=len(x) / seconds,
        best=True,
        corrupted_validation_loss=validation.corrupted_loss if validation else None,
    )


def _restored(replica: LayerReplica, result: StageResult) -> TrainedLayer:
    try:
        fill(replica.network, result.weights)
    except ValueError as error:
        raise RunError(
            f"layer {replica.number}: expected what an earlier process solved, got {error}; train it again with "
            f"{argument('force')}"
        ) from None
    return TrainedLayer(replica.number, replica.network, list(result.history))
