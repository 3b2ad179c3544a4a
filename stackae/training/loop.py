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
from stackae.errors import DivergedError, RunError
from stackae.training.divergence import diverged
from stackae.training.history import EpochRecord, Listener
from stackae.training.keeping import Keeper, Left
from stackae.training.members import Course, Epoch, Member
from stackae.training.optimizers import scheduled
from stackae.training.step import Batches, PopulationStep

FEWEST_EPOCHS, MOST_EPOCHS = 16, 300
LEAST_PATIENCE, PATIENCE_SHARE = 10, 3
REPORTED_EVERY = 0.1  # seconds, about: a step that takes microseconds is not to wait for the listener each time
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
    """Networks trained by one kind of objective on ``rows`` rows each; ``step`` has them in the order of ``members``.

    ``number`` keeps the stage's random streams apart from others'; ``prepare`` is called where it begins anew.
    """

    name: str
    title: str
    number: int
    rows: int
    members: Sequence[Member]
    step: PopulationStep
    max_epochs: int
    batch_size: int
    patience: int
    schedule: str
    prepare: Sequence[Callable[[], None]] = ()

    def first_step(self, epoch: int) -> int:
        """Steps are counted from 0 through all epochs, which are counted from 1."""
        return (epoch - 1) * math.ceil(self.rows / self.batch_size)

    def rate(self, member: Member, step: int) -> float:
        return scheduled(self.schedule, member.learning_rate, step, self.first_step(self.max_epochs + 1))


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


def fit(stage: Stage, listener: Listener, keeper: Keeper) -> list[list[EpochRecord] | DivergedError]:
    """Trains the stage epoch by epoch and leaves every network's best weights in place.

    A network whose patience is at an end, or that diverged, stands still while the others go on. Where the keeper has
    the stage from an earlier process, it goes on from there, to the same bits as if it had never stopped.

    Returns:
        For each member the record of every epoch, or a DivergedError that says when its numbers ceased to be finite.

    Raises:
        RunError: what the keeper has is of other networks.
    """
    courses = [Course(member, stage.patience) for member in stage.members]
    kept = keeper.begin(stage.name, {member.place: member.module for member in stage.members})
    if isinstance(kept, Mapping):
        with _of_these_networks(stage):
            return [course.stay(kept[course.member.place]) for course in courses]
    if kept is None:
        for prepare in stage.prepare:
            prepare()
    _train(stage, courses, kept, listener, keeper)
    outcomes = [course.finish() for course in courses]
    if not all(course.diverged for course in courses):  # else what was kept last is the last that was finite
        keeper.end(stage.name, {course.member.place: course.ended() for course in courses})
    return outcomes


def _train(stage: Stage, courses: Sequence[Course], kept: Left | None, listener: Listener, keeper: Keeper) -> None:
    if kept is not None:
        with _of_these_networks(stage):
            _go_on(stage, courses, kept)
    first, passed = (kept.epoch, kept.rows) if kept is not None else (1, 0)
    before = (first - 1) * stage.rows + passed
    keeper.ready()
    listener.start_stage(stage.name, stage.title, len(courses), stage.rows, stage.max_epochs, before)

    def pause(epoch: int, rows: int) -> None:
        def left() -> Left:
            everything = zip(courses, stage.step.moments(), strict=True)
            return Left(epoch, rows, {course.member.place: course.left(moments) for course, moments in everything})

        keeper.pause(stage.name, left, epoch_ended=rows == 0)

    def seeds() -> set[int]:
        return {course.member.seed for course in courses if course.goes_on}

    pace = Pace()
    orders = epoch_orders(stage.rows, seeds, layer=stage.number, epochs=stage.max_epochs, first=first)
    with closing(orders):
        for number in range(first, stage.max_epochs + 1):
            if not any(course.goes_on for course in courses):
                break
            started = time.perf_counter()
            run_epoch(stage, courses, number, next(orders), passed, pace, listener, pause)
            _close(stage, courses, number, time.perf_counter() - started, listener)
            if all(course.diverged for course in courses):
                return
            if 2 * number <= stage.max_epochs:  # what is revived has as long again to find its place
                _revive(stage, courses, number)
            pause(number + 1, 0)
            passed = 0


def _go_on(stage: Stage, courses: Sequence[Course], kept: Left) -> None:
    if kept.epoch > stage.max_epochs + 1 or kept.rows >= stage.rows:
        raise ValueError(f"{kept.rows:,} rows of epoch {kept.epoch}, of {stage.rows:,} and {stage.max_epochs} epochs")
    for course, moments in zip(courses, stage.step.moments(), strict=True):
        course.go_on(*kept.members[course.member.place], moments)


@contextmanager
def _of_these_networks(stage: Stage) -> Iterator[None]:
    """What a keeper has may be anyone's: RunError where it does not fit."""
    try:
        yield
    except ValueError as error:
        raise RunError(
            f"{stage.title}: expected where an earlier process left this training, got {error}; "
            "train it again with --force"
        ) from None


def run_epoch(
    stage: Stage,
    courses: Sequence[Course],
    number: int,
    order: Mapping[int, Tensor],
    passed: int,
    pace: Pace,
    listener: Listener,
    pause: Callable[[int, int], None],
) -> None:
    """One pass over the rows after the first ``passed``, in the order of each member's seed; some members stand still.

    Batches are handed to the step several at a time, as the pace has it, and training may pause after each time. A
    member's pass ends where a step would have made its numbers infinite.
    """
    first, size = stage.first_step(number), stage.batch_size
    while passed < stage.rows and (going := [course for course in courses if course.goes_on]):
        end = min(stage.rows, passed + pace.batches * size)
        steps = range(first + passed // size, first + math.ceil(end / size))
        batches = [_batches(stage, course, order, slice(passed, end), steps) for course in courses]
        started = time.perf_counter()
        progress = stage.step.advance(batches, size, steps.start)
        pace.learn(len(steps), time.perf_counter() - started)
        for course, each in zip(courses, progress, strict=True):
            if course.goes_on and each.steps < len(steps):
                failed = steps.start + each.steps
                at = (failed - first) * size
                rows, rate = order[course.member.seed][at : at + size], stage.rate(course.member, failed)
                course.diverged = diverged(stage.name, stage.title, course.member, number, failed, rows, rate)
            elif course.goes_on:
                course.total = each.total
        listener.batch(end - passed, sum(course.total for course in going) / len(going) / end)
        passed = end
        if passed < stage.rows and any(course.goes_on for course in courses):
            pause(number, passed)


def _batches(stage: Stage, course: Course, order: Mapping[int, Tensor], rows: slice, steps: range) -> Batches:
    if not course.goes_on:
        return Batches(NO_ROWS, [])
    rates = [stage.rate(course.member, step) for step in steps]
    return Batches(order[course.member.seed][rows], rates, course.total)


def _revive(stage: Stage, courses: Sequence[Course], number: int) -> None:
    for place, course in enumerate(courses):
        if course.goes_on and course.dead is not None and course.member.revive is not None:
            course.member.revive(course.dead, number, stage.step.moments()[place])


def _close(stage: Stage, courses: Sequence[Course], number: int, seconds: float, listener: Listener) -> None:
    records = {}
    steps = (stage.first_step(number), stage.first_step(number + 1) - 1)
    for course in (course for course in courses if course.goes_on):
        rates = (stage.rate(course.member, steps[0]), stage.rate(course.member, steps[1]))
        epoch = Epoch(stage.name, stage.title, number, stage.rows, rates, seconds)
        if (record := course.close(epoch)) is not None:
            records[course.member.place] = record
    if records:
        listener.epoch(records)
