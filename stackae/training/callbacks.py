"""What a training leaves behind, and who is told while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of one network in one stage. Losses are per row; ``validation_error`` is the share misclassified.

    ``dead`` is the share of the code's units that do nothing, where that is looked at. ``corrupted_validation_loss`` is
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
        return asdict(self)


class Callback(Protocol):
    """Told what happens during training, in this order: start_stage, then batches and epochs."""

    def start_stage(self, stage: str, title: str, replicas: int, rows: int, epochs: int, passed: int) -> None:
        """``replicas`` networks are to pass ``rows`` rows ``epochs`` times, together; ``passed`` they did before."""
        ...

    def batch(self, rows: int, loss: float) -> None:
        """Each of them has passed that many more rows; the loss a row so far in the epoch, mean over them."""
        ...

    def epoch(self, records: Mapping[int, EpochRecord]) -> None:
        """The epoch of each network that trained, by its index among those that the caller began with."""
        ...


class NoCallback:
    """A callback that ignores everything."""

    def start_stage(self, stage: str, title: str, replicas: int, rows: int, epochs: int, passed: int) -> None:
        pass

    def batch(self, rows: int, loss: float) -> None:
        pass

    def epoch(self, records: Mapping[int, EpochRecord]) -> None:
        pass
