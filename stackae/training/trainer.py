"""The Trainer: ``fit`` runs epochs, an epoch runs steps; one network or several together, every stage alike."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from stackae.data.minibatches import Order, epoch_orders
from stackae.errors import DivergedError, RunError, argument
from stackae.ranks import here
from stackae.training.callbacks import Callback, EpochRecord
from stackae.training.checkpointing import Checkpointer, Snapshot
from stackae.training.replicas import ReplicaState
from stackae.training.stage import Stage

REPORTED_EVERY = 0.1  # seconds, about: a step of microseconds should not wait for the callback each time


class Pace:
    """The number of batches per call of the step, adapted so that a call takes about REPORTED_EVERY seconds.

    Weights and losses are bit-identical whatever it is.
    """

    def __init__(self) -> None:
        self.batches = 1

    def learn(self, batches: int, seconds: float) -> None:
        """Adapt to the duration of a call. Fewer batches than the pace, at an epoch's end, never raise it."""
        if seconds > REPORTED_EVERY:
            self.batches = max(1, self.batches // 2)
        elif seconds < REPORTED_EVERY / 2 and batches >= self.batches:
            self.batches *= 2


class Trainer:
    """Train the networks of a stage, in place.

    Attributes:
        epoch: the number of the current epoch, from 1.
        rows: the number of that epoch's rows that have been trained on.
        replicas: the state of each network. One that stopped early, or diverged, is no longer active; the others
            train on.
    """

    def __init__(self, stage: Stage, callback: Callback, checkpointer: Checkpointer) -> None:
        self.epoch, self.rows = 1, 0
        self.replicas = [ReplicaState(replica, stage) for replica in stage.replicas]
        self._stage, self._callback, self._checkpointer = stage, callback, checkpointer
        self._pace = Pace()

    def fit(self) -> list[list[EpochRecord] | DivergedError]:
        """Train epoch by epoch, then restore every network's best weights.

        Where the checkpointer holds a snapshot of the stage, training resumes from it, bit-identical to a training that
        never stopped.

        Returns:
            Per network, one record per epoch, or a DivergedError that says when it diverged.

        Raises:
            RunError: the checkpointer holds snapshots or results of other networks.
        """
        stage = self._stage
        kept = self._checkpointer.begin(stage.name, {each.index: each.network for each in stage.replicas})
        if isinstance(kept, Mapping):
            with self._of_these_networks():
                return [each.restore_result(kept[each.replica.index]) for each in self.replicas]
        if kept is not None:
            with self._of_these_networks():
                self.restore(kept)
        else:
            for replica in stage.replicas:
                replica.prepare()
        self._run_epochs()
        outcomes = [each.finish() for each in self.replicas]
        if not self._all_diverged:  # otherwise, the last snapshot stays: it is finite
            self._checkpointer.end(stage.name, {each.replica.index: each.result() for each in self.replicas})
        return outcomes

    def _run_epochs(self) -> None:
        stage = self._stage
        self._checkpointer.ready()
        before = (self.epoch - 1) * stage.rows + self.rows
        self._callback.start_stage(stage.name, stage.title, len(self.replicas), stage.rows, stage.max_epochs, before)

        def seeds() -> set[int]:
            return {each.replica.seed for each in self.active}

        orders = epoch_orders(
            stage.rows, seeds, layer=stage.number, epochs=stage.max_epochs, first=self.epoch, block=stage.block
        )
        with closing(orders):
            while self.epoch <= stage.max_epochs and self.active:
                self.run_epoch(next(orders))
                if self._all_diverged:
                    return
                self.epoch, self.rows = self.epoch + 1, 0
                self._pause()

    def run_epoch(self, order: Mapping[int, Order]) -> None:
        """Pass over the rest of the epoch's rows, in the order (n,) of each network's seed; then validate."""
        stage, started = self._stage, time.perf_counter()
        while self.rows < stage.rows and self.active:
            self.step(order)
            if self.rows < stage.rows and self.active:
                self._pause()
        seconds = time.perf_counter() - started
        ended = {each.replica.index: each.end_epoch(self.epoch, seconds) for each in self.active}
        if records := {index: record for index, record in ended.items() if record is not None}:
            self._callback.epoch(records)
        if 2 * self.epoch <= stage.max_epochs:  # resampled units need the second half to become useful
            self._resample()

    def step(self, order: Mapping[int, Order]) -> None:
        """Train on the next batches, as many as the pace says; a refused step ends its network's training."""
        stage, size, active = self._stage, self._stage.batch_size, self.active
        end = min(stage.rows, self.rows + self._pace.batches * size)
        first = stage.first_step(self.epoch)
        steps = range(first + self.rows // size, first + math.ceil(end / size))
        batches = [each.batches(order, slice(self.rows, end), steps) for each in self.replicas]
        started = time.perf_counter()
        results = stage.step.advance(batches, size, steps.start)
        self._pace.learn(len(steps), here().agreed(time.perf_counter() - started))
        for each, result in zip(self.replicas, results, strict=True):
            each.stepped(result, order, self.epoch, steps)
        self._callback.batch(end - self.rows, sum(each.total for each in active) / len(active) / end)
        self.rows = end

    @property
    def active(self) -> list[ReplicaState]:
        """The networks that are still trained."""
        return [each for each in self.replicas if each.active]

    @property
    def _all_diverged(self) -> bool:
        return all(each.diverged for each in self.replicas)

    def snapshot(self) -> Snapshot:
        """Return the training state between two steps; its tensors are the live ones, not copies."""
        states = zip(self.replicas, self._stage.step.optimizer_state(), strict=True)
        return Snapshot(self.epoch, self.rows, {each.replica.index: each.snapshot(own) for each, own in states})

    def restore(self, snapshot: Snapshot) -> None:
        """Resume from a snapshot. Raises ValueError where it is of other networks, or of other rows."""
        stage, (self.epoch, self.rows, replicas) = self._stage, snapshot
        if self.epoch > stage.max_epochs + 1 or self.rows >= stage.rows:
            raise ValueError(
                f"{self.rows:,} rows of epoch {self.epoch}, of {stage.rows:,} and {stage.max_epochs} epochs"
            )
        for each, own in zip(self.replicas, stage.step.optimizer_state(), strict=True):
            each.restore(replicas[each.replica.index], own)

    def _pause(self) -> None:
        self._checkpointer.pause(self._stage.name, self.snapshot, epoch_ended=self.rows == 0)

    def _resample(self) -> None:
        for index, each in enumerate(self.replicas):
            if each.active and each.dead is not None:
                each.replica.resample(each.dead, self.epoch, self._stage.step.optimizer_state()[index])

    @contextmanager
    def _of_these_networks(self) -> Iterator[None]:
        """Raise RunError where the checkpointer's content does not fit the networks of this stage."""
        try:
            yield
        except ValueError as error:
            raise RunError(
                f"{self._stage.title}: expected where an earlier process left this training, got {error}; "
                f"train it again with {argument('force')}"
            ) from None
