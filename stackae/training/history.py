"""What a training leaves behind, and who is told while it runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of one stage. Losses are per row; ``validation_error`` is the share misclassified, where known."""

    stage: str
    epoch: int
    loss: float
    validation_loss: float | None
    validation_error: float | None
    learning_rate: float
    seconds: float
    rows_per_second: float
    best: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Listener(Protocol):
    """Told what happens during training, in this order: start_stage, then batches and epochs."""

    def start_stage(self, stage: str, title: str, rows: int, epochs: int) -> None: ...

    def batch(self, rows: int, loss: float | None) -> None: ...

    def epoch(self, record: EpochRecord) -> None: ...


class Silent:
    """A listener that ignores everything."""

    def start_stage(self, stage: str, title: str, rows: int, epochs: int) -> None:
        pass

    def batch(self, rows: int, loss: float | None) -> None:
        pass

    def epoch(self, record: EpochRecord) -> None:
        pass
