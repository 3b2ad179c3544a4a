"""What a person sees: progress while training, tables when it is done. Progress goes to stderr, results to stdout."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from rich.progress import Progress

    from stackae.runs import Run
    from stackae.training.history import EpochRecord

SECONDS_BETWEEN_LINES = 2.0

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def emit_json(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def note(text: str) -> None:
    """A line about what is going on."""
    stderr.print(text, markup=False)


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    built = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        built.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        built.add_row(*row)
    stdout.print(built)


def closing(run: Run, files: list[str], next_command: str) -> None:
    """Names the files that were made and the command to go on with."""
    folder = shown(run.path)
    stdout.print(f"run folder  {folder}", markup=False)
    for name in files:
        stdout.print(f"            {folder / name}", markup=False)
    stdout.print(f"next        {next_command}", markup=False)


def shown(path: Path) -> Path:
    """The path as short as it can be said from here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


class Display:
    """A listener that shows a live bar on a terminal and a line now and then elsewhere, and keeps metrics.jsonl."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._progress: Progress | None = None
        self._title = ""
        self._epochs = 0
        self._noted = 0.0

    def __enter__(self) -> Self:
        if stderr.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[status]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=stderr,
            )
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress:
            self._progress.stop()

    def start_stage(self, stage: str, title: str, rows: int, epochs: int) -> None:
        self._title, self._epochs = title, epochs
        self._status = f"epoch 1/{epochs}"
        if self._progress:
            self._task = self._progress.add_task(title, total=rows * epochs, status=self._status)

    def batch(self, rows: int, loss: float | None) -> None:
        if not self._progress:
            return
        if loss is None:
            self._progress.advance(self._task, rows)
        else:
            status = f"{self._status}  now {loss:.4g}"
            self._progress.update(self._task, advance=rows, status=status)

    def epoch(self, record: EpochRecord) -> None:
        self._run.append_metrics({"event": "epoch", **record.to_dict()})
        validation = "" if record.validation_loss is None else f"  validation {record.validation_loss:.4g}"
        if record.validation_error is not None:
            validation += f" ({100 * record.validation_error:.2f} % wrong)"
        figures = f"loss {record.loss:.4g}{validation}  {record.rows_per_second:,.0f} rows/s"
        if self._progress:
            following = min(record.epoch + 1, self._epochs)
            self._status = f"epoch {following}/{self._epochs}  {figures}"
            self._progress.update(self._task, status=self._status)
        elif record.epoch in (1, self._epochs) or time.monotonic() - self._noted > SECONDS_BETWEEN_LINES:
            self._noted = time.monotonic()
            remaining = record.seconds * (self._epochs - record.epoch)
            note(f"{self._title}  epoch {record.epoch}/{self._epochs}  {figures}  {remaining:.0f} s left")


def run_option(run: Run) -> str:
    """What to add to a command line so that it means this run."""
    from stackae.runs import LATEST

    return "" if LATEST.resolve() == run.path.resolve() else f" --run {shown(run.path)}"
