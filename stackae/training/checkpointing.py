"""Snapshots, stage results and the checkpointer's interface; nothing in this module touches a disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from stackae.ranks import Ranks, here
from stackae.ranks.following import ReleasedError
from stackae.training.callbacks import EpochRecord


class ReplicaSnapshot(NamedTuple):
    """The training state of one network between two steps.

    Args:
        total: the summed loss of the epoch's rows so far.
        score: the score of the best epoch.
        waited: the number of epochs since the best one.
        history: one record per epoch.
        diverged: the error message if its training diverged.
        weights: its parameters.
        best_weights: the parameters of its best epoch; empty before the first epoch ends.
        optimizer_state: ``TrainStep.optimizer_state``.
    """

    total: float
    score: tuple[float, ...] | None
    waited: int
    history: tuple[EpochRecord, ...]
    diverged: str | None
    weights: Mapping[str, Tensor]
    best_weights: Mapping[str, Tensor]
    optimizer_state: Sequence[Tensor]


class Snapshot(NamedTuple):
    """A stage between two steps, after ``rows`` rows of epoch ``epoch`` (from 1); networks are keyed by index."""

    epoch: int
    rows: int
    replicas: Mapping[int, ReplicaSnapshot]


class StageResult(NamedTuple):
    """The result of a stage for one network: its best weights and one record per epoch, or why it diverged."""

    weights: Mapping[str, Tensor]
    history: tuple[EpochRecord, ...]
    diverged: str | None


class Checkpointer(Protocol):
    """Save snapshots and stage results. Per stage: ``begin``, ``ready``, ``pause`` between steps, and ``end``."""

    def begin(self, stage: str, networks: Mapping[int, nn.Module]) -> Snapshot | Mapping[int, StageResult] | None:
        """Return the snapshot or the results that an earlier process saved of this stage; None where it never began.

        ``networks`` are the networks to train, by index.
        """
        ...

    def ready(self) -> None:
        """Announce that steps follow: ``pause`` obeys requests to stop from here on. Before, nothing can be lost."""
        ...

    def pause(self, stage: str, snapshot: Callable[[], Snapshot], epoch_ended: bool) -> None:
        """Let training stop between two steps. Raises StoppedError, after saving, where a stop was requested."""
        ...

    def end(self, stage: str, results: Mapping[int, StageResult]) -> None:
        """Save the results of the stage, which is done."""
        ...


class Leading:
    """The checkpointer of rank 0, which tells the other ranks what it holds, and where to stop."""

    def __init__(self, checkpointer: Checkpointer, ranks: Ranks) -> None:
        self._checkpointer, self._ranks = checkpointer, ranks

    def begin(self, stage: str, networks: Mapping[int, nn.Module]) -> Snapshot | Mapping[int, StageResult] | None:
        kept: Snapshot | Mapping[int, StageResult] | None
        kept = self._ranks.agreed(self._checkpointer.begin(stage, networks))
        return kept

    def ready(self) -> None:
        self._checkpointer.ready()

    def pause(self, stage: str, snapshot: Callable[[], Snapshot], epoch_ended: bool) -> None:
        try:
            self._checkpointer.pause(stage, snapshot, epoch_ended)
        except Exception:
            self._ranks.agreed(False)
            raise
        self._ranks.agreed(True)

    def end(self, stage: str, results: Mapping[int, StageResult]) -> None:
        self._checkpointer.end(stage, results)


class Following:
    """What a rank that follows has in its place: it resumes from what rank 0 holds, and stops where that does."""

    def begin(self, stage: str, networks: Mapping[int, nn.Module]) -> Snapshot | Mapping[int, StageResult] | None:
        kept: Snapshot | Mapping[int, StageResult] | None = here().agreed()
        return kept

    def ready(self) -> None:
        pass

    def pause(self, stage: str, snapshot: Callable[[], Snapshot], epoch_ended: bool) -> None:
        if not here().agreed():
            raise ReleasedError

    def end(self, stage: str, results: Mapping[int, StageResult]) -> None:
        pass


def led(checkpointer: Checkpointer) -> Checkpointer:
    """The checkpointer, heard by all ranks that share the training; itself where this process is alone."""
    return Leading(checkpointer, here()) if here().several else checkpointer


class NoCheckpoints:
    """Save nothing."""

    def begin(self, stage: str, networks: Mapping[int, nn.Module]) -> Snapshot | Mapping[int, StageResult] | None:
        return None

    def ready(self) -> None:
        pass

    def pause(self, stage: str, snapshot: Callable[[], Snapshot], epoch_ended: bool) -> None:
        pass

    def end(self, stage: str, results: Mapping[int, StageResult]) -> None:
        pass
