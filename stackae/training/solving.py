"""A layer that is solved and not trained: a stage of one epoch, kept and told of like any other."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from stackae.autoencoders.parameters import fill
from stackae.errors import DivergedError, RunError
from stackae.training.history import EpochRecord, Listener
from stackae.training.keeping import Ended, Keeper
from stackae.training.layer import Learner, TrainedLayer, reconstruction_loss


def solve_layer(
    learners: Sequence[Learner], listener: Listener, keeper: Keeper
) -> dict[int, TrainedLayer | DivergedError]:
    """What ``train_layer`` gives, of layers that have a closed form: one record each, of the loss that was solved for.

    Raises:
        RunError: what the keeper has is of other networks.
    """
    first = learners[0]
    name, rows = f"layer{first.number}", len(first.reads.x)
    kept = keeper.begin(name, {each.place: each.autoencoder for each in learners})
    if isinstance(kept, Mapping):
        return {each.place: _again(each, kept[each.place]) for each in learners}
    title = f"layer {first.number}/{len(first.config.layers)} {first.layer.kind}"
    listener.start_stage(name, title, len(learners), rows, 1, 0)
    records = {each.place: _solved(name, each) for each in learners}
    listener.batch(rows, sum(each.loss for each in records.values()) / len(records))
    listener.epoch(records)
    solved = {each.place: TrainedLayer(each.number, each.autoencoder, [records[each.place]]) for each in learners}
    ended = {place: Ended(each.autoencoder.state_dict(), tuple(each.history), None) for place, each in solved.items()}
    keeper.end(name, ended)
    return dict(solved)


def _solved(stage: str, learner: Learner) -> EpochRecord:
    started = time.perf_counter()
    learner.prepare()
    objective, x = learner.objective, learner.reads.x
    validation = learner.validate()
    seconds = time.perf_counter() - started
    return EpochRecord(
        stage=stage,
        epoch=1,
        loss=objective.corrupted_loss(x) if objective.noisy else reconstruction_loss(learner.autoencoder, x, "mse"),
        validation_loss=validation.loss if validation else None,
        validation_error=None,
        learning_rate=0.0,
        seconds=seconds,
        rows_per_second=len(x) / seconds,
        best=True,
        corrupted_validation_loss=validation.corrupted_loss if validation else None,
    )


def _again(learner: Learner, ended: Ended) -> TrainedLayer:
    try:
        fill(learner.autoencoder, ended.weights)
    except ValueError as error:
        raise RunError(
            f"layer {learner.number}: expected what an earlier process solved, got {error}; train it again with --force"
        ) from None
    return TrainedLayer(learner.number, learner.autoencoder, list(ended.history))
