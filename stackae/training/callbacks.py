"""The record of an epoch, and the callbacks that a training calls while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

BETWEEN_LOOKS = 0.2  # seconds


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of one network in one stage. Losses are per row; ``validation_error`` is the error rate.

    ``dead`` is the share of dead units of the code, None where they are not counted. ``corrupted_validation_loss`` is
    the validation loss on rows corrupted as in training, None without corruption; where given, it chooses the best
    epoch. ``seconds`` is the duration of the epoch, for all networks that train together.
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
        """Return the fields by name, for JSON."""
        return asdict(self)


class Callback(Protocol):
    """A callback that training calls while it runs: ``start_stage``, then ``batch`` and ``epoch``."""

    def start_stage(self, stage: str, title: str, replicas: int, rows: int, epochs: int, passed: int) -> None:
        """A stage starts: ``replicas`` networks train together for ``epochs`` epochs of ``rows`` rows.

        ``passed`` rows were already trained on before a resume.
        """
        ...

    def batch(self, rows: int, loss: float) -> None:
        """Each network trained on ``rows`` more rows; ``loss`` per row so far in the epoch, mean over networks."""
        ...

    def epoch(self, records: Mapping[int, EpochRecord]) -> None:
        """An epoch ended: its record for each network that was trained in it, by index."""
        ...


class NoCallback:
    """Do nothing."""

    def start_stage(self, stage: str, title: str, replicas: int, rows: int, epochs: int, passed: int) -> None:
        pass

    def batch(self, rows: int, loss: float) -> None:
        pass

    def epoch(self, records: Mapping[int, EpochRecord]) -> None:
        pass


class Watched:
    """A callback that also calls ``look`` between steps, now and then: what that raises ends the training."""

    def __init__(self, callback: Callback, look: Callable[[], None]) -> None:
        self._callback, self._look, self._looked = callback, look, time.monotonic()

    def start_stage(self, stage: str, title: str, replicas: int, rows: int, epochs: int, passed: int) -> None:
        self._callback.start_stage(stage, title, replicas, rows, epochs, passed)

    def batch(self, rows: int, loss: float) -> None:
        if time.monotonic() - self._looked > BETWEEN_LOOKS:
            self._look()
            self._looked = time.monotonic()
        self._callback.batch(rows, loss)

    def epoch(self, records: Mapping[int, EpochRecord]) -> None:
        self._callback.epoch(records)
