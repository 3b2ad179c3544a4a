"""What a Trainer gives to be saved, and takes to resume from: nothing here touches a disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from stackae.training.callbacks import EpochRecord


class ReplicaSnapshot(NamedTuple):
    """The training state of one network between two steps.

    Args:
        total: the loss of the epoch's rows so far, summed over them.
        score: that of the best epoch.
        waited: how many epochs ended since.
        history: the record of every epoch.
        diverged: what ended its training, if its numbers ceased to be finite.
        weights: its parameters.
        best_weights: those of its best epoch; none before the first one ends.
        optimizer_state: as ``TrainStep.optimizer_state`` has it.
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
    """A stage between two steps: ``rows`` rows of epoch ``epoch`` (from 1) are passed; networks are keyed by index."""

    epoch: int
    rows: int
    replicas: Mapping[int, ReplicaSnapshot]


class StageResult(NamedTuple):
    """How a network left a stage: its best weights, and the record of every epoch; or what ended it."""

    weights: Mapping[str, Tensor]
    history: tuple[EpochRecord, ...]
    diverged: str | None


class Checkpointer(Protocol):
    """Save what a training must not lose. For each stage: ``begin``, then ``pause`` between steps, at last ``end``."""

    def begin(self, stage: str, networks: Mapping[int, nn.Module]) -> Snapshot | Mapping[int, StageResult] | None:
        """Where an earlier process left this stage, or how it ended there; None where it never began.

        ``networks`` are those that are to be trained, by index.
        """
        ...

    def ready(self) -> None:
        """Steps are to be taken: from here on ``pause`` heeds requests to stop. Before, there is nothing to lose."""
        ...

    def pause(self, stage: str, snapshot: Callable[[], Snapshot], epoch_ended: bool) -> None:
        """Training may stop here. Raises StoppedError where it was asked to, with all of it saved."""
        ...

    def end(self, stage: str, results: Mapping[int, StageResult]) -> None:
        """The stage is done."""
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
