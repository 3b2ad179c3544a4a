"""Snapshots, stage results and the checkpointer's interface; nothing in this module touches a disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor, nn

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
