"""The record of an epoch, and the callbacks that a training calls while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of one network in one stage. Losses are per row; ``validation_error`` is the share misclassified.

    ``dead`` is the share of dead units of the code, where these are looked for. ``corrupted_validation_loss`` is
    the validation loss on rows corrupted as in training, where it corrupts them: by it the best epoch is chosen then.

    ``seconds`` are those that the epoch took, of networks that train together for all of them at once.
    """

    stage: str
    epoch: int
    loss: float
    validation_loss: float | None
    validation_error: float | None
    learning_rate: float
    seconds: float
    rows_per_second: float
    best: bool
    dead: float | None = None
    corrupted_validation_loss: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Its fields by name, for JSON."""
        return asdict(self)


class Callback(Protocol):
    """What a training calls while it runs, in this order: ``start_stage``, then ``batch`` and ``epoch``."""

    def start_stage(self, stage: str, title: str, replicas: int, rows: int, epochs: int, passed: int) -> None:
        """``replicas`` networks train together, ``epochs`` times on ``rows`` rows; ``passed`` rows they did before."""
        ...

    def batch(self, rows: int, loss: float) -> None:
        """Each network has passed that many more rows; the loss per row so far in the epoch, mean over them."""
        ...

    def epoch(self, records: Mapping[int, EpochRecord]) -> None:
        """The epoch of each network that was trained in it, by its index among the caller's."""
        ...


class NoCallback:
    """Do nothing."""

    def start_stage(self, stage: str, title: str, replicas: int, rows: int, epochs: int, passed: int) -> None:
        pass

    def batch(self, rows: int, loss: float) -> None:
        pass

    def epoch(self, records: Mapping[int, EpochRecord]) -> None:
        pass
