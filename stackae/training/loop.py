"""The ladder fit -> run_epoch -> step, the same for every stage, and for one network as for several together."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from stackae.config import TrainingConfig
from stackae.data.minibatches import epoch_orders
from stackae.errors import DivergedError
from stackae.training.history import EpochRecord, Listener
from stackae.training.members import Course, Epoch, Member
from stackae.training.optimizers import scheduled
from stackae.training.step import Batches, PopulationStep

FEWEST_EPOCHS, MOST_EPOCHS = 16, 300
REPORTED_EVERY = 0.1  # seconds, about: a step that takes microseconds is not to wait for the listener each time
NO_ROWS = torch.empty(0, dtype=torch.int64)


def settled_epochs(wish: int | str, rows: int, batch_size: int, fewest_steps: int) -> int:
    """``auto`` is FEWEST_EPOCHS, and more where rows are few: ``fewest_steps`` steps, in at most MOST_EPOCHS."""
    if isinstance(wish, int):
        return wish
    per_epoch = max(1, math.ceil(rows / batch_size))
    return max(FEWEST_EPOCHS, min(MOST_EPOCHS, math.ceil(fewest_steps / per_epoch)))


@dataclass(frozen=True)
class Stage:
    """Networks trained by one kind of objective on ``rows`` rows each; ``step`` has them in the order of ``members``.

    ``number`` keeps the stage's random streams apart from others'.
    """

    name: str
    title: str
    number: int
    rows: int
    members: Sequence[Member]
    step: PopulationStep
    max_epochs: int


class Pace:
    """How many batches a call of the step takes: as many as fill about REPORTED_EVERY seconds.

    It changes not a bit of the weights nor of the losses.
    """

    def __init__(self) -> None:
        self.batches = 1

    def learn(self, batches: int, seconds: float) -> None:
        """That many took so long; what an epoch's end left over is too few to go faster for."""
        if seconds > REPORTED_EVERY:
            self.batches = max(1, self.batches // 2)
        elif seconds < REPORTED_EVERY / 2 and batches >= self.batches:
            self.batches *= 2


def fit(stage: Stage, config: TrainingConfig, listener: Listener) -> list[list[EpochRecord] | DivergedError]:
    """Trains the stage epoch by epoch and leaves every network's best weights in place.

    A network whose patience is at an end, or whose loss or weights are not finite, stands still while the others go on.

    Returns:
        For each member the record of every epoch, or a DivergedError that says when its numbers ceased to be finite.
    """
    courses = [Course(member, config.patience) for member in stage.members]
    pace = Pace()
    listener.start_stage(stage.name, stage.title, len(courses), stage.rows, stage.max_epochs)

    def seeds() -> set[int]:
        return {course.member.seed for course in courses if course.goes_on}

    with closing(epoch_orders(stage.rows, seeds, layer=stage.number, epochs=stage.max_epochs)) as orders:
        for number in range(1, stage.max_epochs + 1):
            started = time.perf_counter()
            order = next(orders)
            rows = [order[course.member.seed] if course.goes_on else NO_ROWS for course in courses]
            losses = run_epoch(stage, config, number, rows, pace, listener)
            seconds = time.perf_counter() - started
            records = {}
            for course, loss in zip(courses, losses, strict=True):
                epoch = _epoch(stage, config, course.member, number, loss, seconds)
                if course.goes_on and (record := course.close(epoch)) is not None:
                    records[course.member.place] = record
            if records:
                listener.epoch(records)
            if not any(course.goes_on for course in courses):
                break
    return [course.finish() for course in courses]


def run_epoch(
    stage: Stage, config: TrainingConfig, number: int, rows: Sequence[Tensor], pace: Pace, listener: Listener
) -> list[float]:
    """One pass of each member over its rows, in their order; a member without rows stands still.

    Batches are handed to the step several at a time, as the pace has it. A member's pass ends early where a step is
    refused.

    Returns:
        Each member's mean loss a row; 0 where it stood still, and not finite where a step was refused.
    """
    first, seen = _first_step(stage, config, number), 0
    totals, taken = [0.0] * len(rows), [0] * len(rows)
    while seen < stage.rows:
        going = [i for i, own in enumerate(rows) if len(own) and taken[i] == seen // config.batch_size]
        if not going:
            break
        end = min(stage.rows, seen + pace.batches * config.batch_size)
        steps = range(first + seen // config.batch_size, first + math.ceil(end / config.batch_size))
        batches = [Batches(NO_ROWS, [], total) for total in totals]
        for i in going:
            rates = [_rate(stage, config, stage.members[i], step) for step in steps]
            batches[i] = Batches(rows[i][seen:end], rates, totals[i])
        started = time.perf_counter()
        progress = stage.step.advance(batches, config.batch_size, steps.start)
        pace.learn(len(steps), time.perf_counter() - started)
        totals = [each.total for each in progress]
        taken = [before + each.steps for before, each in zip(taken, progress, strict=True)]
        listener.batch(end - seen, sum(totals[i] for i in going) / len(going) / end)
        seen = end
    whole = math.ceil(stage.rows / config.batch_size)
    for i, own in enumerate(rows):
        if len(own) and taken[i] < whole and math.isfinite(totals[i]):  # the loss was finite, but not its step
            totals[i] = math.inf
    return [total / stage.rows for total in totals]


def _first_step(stage: Stage, config: TrainingConfig, number: int) -> int:
    """Steps are counted from 0 through all epochs, which are counted from 1."""
    return (number - 1) * math.ceil(stage.rows / config.batch_size)


def _rate(stage: Stage, config: TrainingConfig, member: Member, step: int) -> float:
    return scheduled(config.schedule, member.learning_rate, step, _first_step(stage, config, stage.max_epochs + 1))


def _epoch(stage: Stage, config: TrainingConfig, member: Member, number: int, loss: float, seconds: float) -> Epoch:
    steps = (_first_step(stage, config, number), _first_step(stage, config, number + 1) - 1)
    first, last = (_rate(stage, config, member, step) for step in steps)
    return Epoch(stage.name, stage.title, number, stage.rows, loss, (first, last), seconds)
