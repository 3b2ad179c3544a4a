"""The ladder fit -> run_epoch -> step, the same for every stage, and for one network as for several together."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from stackae.data.minibatches import epoch_orders
from stackae.errors import DivergedError, RunError, argument
from stackae.training.callbacks import Callback, EpochRecord
from stackae.training.checkpointing import Checkpointer, Snapshot
from stackae.training.divergence import diverged
from stackae.training.optimizers import scheduled
from stackae.training.replicas import Epoch, Replica, ReplicaState
from stackae.training.step import Batches, ReplicasStep

FEWEST_EPOCHS, MOST_EPOCHS = 16, 300
LEAST_PATIENCE, PATIENCE_SHARE = 10, 3
REPORTED_EVERY = 0.1  # seconds, about: a step that takes microseconds is not to wait for the callback each time
NO_ROWS = torch.empty(0, dtype=torch.int64)


def settled_epochs(wish: int | str, rows: int, batch_size: int, fewest_steps: int) -> int:
    """``auto`` is FEWEST_EPOCHS, and more where rows are few: ``fewest_steps`` steps, in at most MOST_EPOCHS."""
    if isinstance(wish, int):
        return wish
    per_epoch = max(1, math.ceil(rows / batch_size))
    return max(FEWEST_EPOCHS, min(MOST_EPOCHS, math.ceil(fewest_steps / per_epoch)))


def settled_patience(wish: int | str, epochs: int) -> int:
    """``auto`` is a third of the epochs, at least LEAST_PATIENCE.

    Learning rates that fall to 0 bring a late gain, and errors of few validation rows stand still for long: on the
    embedded digits the best epoch comes up to a quarter of the epochs after the best one before it.
    """
    return wish if isinstance(wish, int) else max(LEAST_PATIENCE, math.ceil(epochs / PATIENCE_SHARE))


@dataclass(frozen=True)
class Stage:
    """Networks trained by one kind of objective on ``rows`` rows each; ``step`` has them in the order of ``replicas``.

    ``number`` keeps the stage's random streams apart from others'; ``prepare`` is called where it begins anew.
    """

    name: str
    title: str
    number: int
    rows: int
    replicas: Sequence[Replica]
    step: ReplicasStep
    max_epochs: int
    batch_size: int
    patience: int
    schedule: str
    prepare: Sequence[Callable[[], None]] = ()

    def first_step(self, epoch: int) -> int:
        """Steps are counted from 0 through all epochs, which are counted from 1."""
        return (epoch - 1) * math.ceil(self.rows / self.batch_size)

    def rate(self, replica: Replica, step: int) -> float:
        return scheduled(self.schedule, replica.learning_rate, step, self.first_step(self.max_epochs + 1))


class Pace:
    """How many batches a call of the step takes: as many as fill about REPORTED_EVERY seconds.

    It changes not a bit of weights or losses.
    """

    def __init__(self) -> None:
        self.batches = 1

    def learn(self, batches: int, seconds: float) -> None:
        """That many took so long; what an epoch's end left over is too few to go faster for."""
        if seconds > REPORTED_EVERY:
            self.batches = max(1, self.batches // 2)
        elif seconds < REPORTED_EVERY / 2 and batches >= self.batches:
            self.batches *= 2


def fit(stage: Stage, callback: Callback, checkpointer: Checkpointer) -> list[list[EpochRecord] | DivergedError]:
    """Trains the stage epoch by epoch and leaves every network's best weights in place.

    A network whose patience is at an end, or that diverged, stands still while the others go on. Where the checkpointer
    has the stage from an earlier process, it resumes from there, bit-identical to a training that never stopped.

    Returns:
        For each replica the record of every epoch, or a DivergedError that says when its numbers ceased to be finite.

    Raises:
        RunError: what the checkpointer has is of other networks.
    """
    states = [ReplicaState(replica, stage.patience) for replica in stage.replicas]
    kept = checkpointer.begin(stage.name, {replica.index: replica.module for replica in stage.replicas})
    if isinstance(kept, Mapping):
        with _of_these_networks(stage):
            return [state.restore_result(kept[state.replica.index]) for state in states]
    if kept is None:
        for prepare in stage.prepare:
            prepare()
    _train(stage, states, kept, callback, checkpointer)
    outcomes = [state.finish() for state in states]
    if not all(state.diverged for state in states):  # else what was kept last is the last that was finite
        checkpointer.end(stage.name, {state.replica.index: state.result() for state in states})
    return outcomes


def _train(
    stage: Stage, states: Sequence[ReplicaState], kept: Snapshot | None, callback: Callback, checkpointer: Checkpointer
) -> None:
    if kept is not None:
        with _of_these_networks(stage):
            _go_on(stage, states, kept)
    first, passed = (kept.epoch, kept.rows) if kept is not None else (1, 0)
    before = (first - 1) * stage.rows + passed
    checkpointer.ready()
    callback.start_stage(stage.name, stage.title, len(states), stage.rows, stage.max_epochs, before)

    def pause(epoch: int, rows: int) -> None:
        def snapshot() -> Snapshot:
            everything = zip(states, stage.step.optimizer_state(), strict=True)
            return Snapshot(
                epoch, rows, {state.replica.index: state.snapshot(moments) for state, moments in everything}
            )

        checkpointer.pause(stage.name, snapshot, epoch_ended=rows == 0)

    def seeds() -> set[int]:
        return {state.replica.seed for state in states if state.goes_on}

    pace = Pace()
    orders = epoch_orders(stage.rows, seeds, layer=stage.number, epochs=stage.max_epochs, first=first)
    with closing(orders):
        for number in range(first, stage.max_epochs + 1):
            if not any(state.goes_on for state in states):
                break
            started = time.perf_counter()
            run_epoch(stage, states, number, next(orders), passed, pace, callback, pause)
            _close(stage, states, number, time.perf_counter() - started, callback)
            if all(state.diverged for state in states):
                return
            if 2 * number <= stage.max_epochs:  # what is resampled has as long again to find its place
                _resample(stage, states, number)
            pause(number + 1, 0)
            passed = 0


def _go_on(stage: Stage, states: Sequence[ReplicaState], kept: Snapshot) -> None:
    if kept.epoch > stage.max_epochs + 1 or kept.rows >= stage.rows:
        raise ValueError(f"{kept.rows:,} rows of epoch {kept.epoch}, of {stage.rows:,} and {stage.max_epochs} epochs")
    for state, moments in zip(states, stage.step.optimizer_state(), strict=True):
        state.restore(*kept.replicas[state.replica.index], moments)


@contextmanager
def _of_these_networks(stage: Stage) -> Iterator[None]:
    """What a checkpointer has may be anyone's: RunError where it does not fit."""
    try:
        yield
    except ValueError as error:
        raise RunError(
            f"{stage.title}: expected where an earlier process left this training, got {error}; "
            f"train it again with {argument('force')}"
        ) from None


def run_epoch(
    stage: Stage,
    states: Sequence[ReplicaState],
    number: int,
    order: Mapping[int, Tensor],
    passed: int,
    pace: Pace,
    callback: Callback,
    pause: Callable[[int, int], None],
) -> None:
    """One pass over the rows after the first ``passed``, in the order of each replica's seed; some stand still.

    Batches are handed to the step several at a time, as the pace has it, and training may pause after each time. A
    replica's pass ends where a step would have made its numbers infinite.
    """
    first, size = stage.first_step(number), stage.batch_size
    while passed < stage.rows and (going := [state for state in states if state.goes_on]):
        end = min(stage.rows, passed + pace.batches * size)
        steps = range(first + passed // size, first + math.ceil(end / size))
        batches = [_batches(stage, state, order, slice(passed, end), steps) for state in states]
        started = time.perf_counter()
        progress = stage.step.advance(batches, size, steps.start)
        pace.learn(len(steps), time.perf_counter() - started)
        for state, each in zip(states, progress, strict=True):
            if state.goes_on and each.steps < len(steps):
                failed = steps.start + each.steps
                at = (failed - first) * size
                rows, rate = order[state.replica.seed][at : at + size], stage.rate(state.replica, failed)
                state.diverged = diverged(stage.name, stage.title, state.replica, number, failed, rows, rate)
            elif state.goes_on:
                state.total = each.total
        callback.batch(end - passed, sum(state.total for state in going) / len(going) / end)
        passed = end
        if passed < stage.rows and any(state.goes_on for state in states):
            pause(number, passed)


def _batches(stage: Stage, state: ReplicaState, order: Mapping[int, Tensor], rows: slice, steps: range) -> Batches:
    if not state.goes_on:
        return Batches(NO_ROWS, [])
    rates = [stage.rate(state.replica, step) for step in steps]
    return Batches(order[state.replica.seed][rows], rates, state.total)


def _resample(stage: Stage, states: Sequence[ReplicaState], number: int) -> None:
    for index, state in enumerate(states):
        if state.goes_on and state.dead is not None and state.replica.resample is not None:
            state.replica.resample(state.dead, number, stage.step.optimizer_state()[index])


def _close(stage: Stage, states: Sequence[ReplicaState], number: int, seconds: float, callback: Callback) -> None:
    records = {}
    steps = (stage.first_step(number), stage.first_step(number + 1) - 1)
    for state in (state for state in states if state.goes_on):
        rates = (stage.rate(state.replica, steps[0]), stage.rate(state.replica, steps[1]))
        epoch = Epoch(stage.name, stage.title, number, stage.rows, rates, seconds)
        if (record := state.close(epoch)) is not None:
            records[state.replica.index] = record
    if records:
        callback.epoch(records)
