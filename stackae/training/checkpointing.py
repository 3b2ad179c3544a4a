"""What training hands out to be kept, and takes back to go on from: nothing here touches a disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from stackae.training.callbacks import EpochRecord


class ReplicaSnapshot(NamedTuple):
    """How a network fares in a stage: what ``ReplicaState`` remembers, beside tensors.

    ``total`` is the loss of the epoch's rows so far, ``score`` that of the best epoch, ``waited`` the epochs since, and
    ``diverged`` what ended it, if anything did.
    """

    total: float
    score: tuple[float, ...] | None
    waited: int
    history: tuple[EpochRecord, ...]
    diverged: str | None


class Tensors(NamedTuple):
    """A network's parameters, those of its best epoch (none before the first one ends), and the optimiser's memory."""

    weights: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    moments: Sequence[Tensor]


class Snapshot(NamedTuple):
    """A stage between two steps: ``rows`` rows of epoch ``epoch`` (from 1) are passed. Replicas are keyed by index."""

    epoch: int
    rows: int
    replicas: Mapping[int, tuple[ReplicaSnapshot, Tensors]]


class StageResult(NamedTuple):
    """How a network left a stage: its best weights, and the record of every epoch; or what ended it."""

    weights: Mapping[str, Tensor]
    history: tuple[EpochRecord, ...]
    diverged: str | None


class Checkpointer(Protocol):
    """Keeps what a training must not lose. For each stage: ``begin``, then ``pause`` between steps, at last ``end``."""

    def begin(self, stage: str, networks: Mapping[int, nn.Module]) -> Snapshot | Mapping[int, StageResult] | None:
        """Where an earlier process left this stage, or how it ended there; None where it never began.

        ``networks`` are those that are to be trained, by index.
        """
        ...

    def ready(self) -> None:
        """Steps are to be taken: from here on ``pause`` hears who asks to stop. Before, there is nothing to lose."""
        ...

    def pause(self, stage: str, snapshot: Callable[[], Snapshot], epoch_ended: bool) -> None:
        """Training may be stopped here. Raises StoppedError where it was asked to, with all of it kept."""
        ...

    def end(self, stage: str, results: Mapping[int, StageResult]) -> None:
        """The stage is done."""
        ...


class NoCheckpoints:
    """A checkpointer that keeps nothing."""

    def begin(self, stage: str, networks: Mapping[int, nn.Module]) -> Snapshot | Mapping[int, StageResult] | None:
        return None

    def ready(self) -> None:
        pass

    def pause(self, stage: str, snapshot: Callable[[], Snapshot], epoch_ended: bool) -> None:
        pass

    def end(self, stage: str, results: Mapping[int, StageResult]) -> None:
        pass
