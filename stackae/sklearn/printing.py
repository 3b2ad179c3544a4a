"""Progress of a fit as lines, for ``verbose``."""

from __future__ import annotations

from collections.abc import Mapping

from stackae.training.callbacks import EpochRecord, NoCallback


class Printing(NoCallback):
    """Print a line per stage, and one per tenth of its epochs with the loss per row."""

    def __init__(self, name: str) -> None:
        self._name, self._epochs, self._title = name, 1, ""

    def start_stage(self, stage: str, title: str, replicas: int, rows: int, epochs: int, passed: int) -> None:
        self._epochs, self._title = epochs, title
        print(f"[{self._name}] {title}: {rows:,} rows, at most {epochs} epochs")

    def epoch(self, records: Mapping[int, EpochRecord]) -> None:
        record = records[0]
        if record.epoch % max(1, self._epochs // 10) == 0 or record.epoch == self._epochs:
            validation = "" if record.validation_loss is None else f", validation {record.validation_loss:.4g}"
            print(f"[{self._name}] {self._title}: epoch {record.epoch}, loss {record.loss:.4g}{validation}")
