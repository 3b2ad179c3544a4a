"""Progress on stderr while a command works: notes, bars for long steps, trainings epoch by epoch, and what libraries
warn of, so that the console prints their text too."""

from __future__ import annotations

import logging
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from stackae.errors import WHOLE, legible
from stackae.workflows.callbacks import Callbacks, Progress, figures_of

from .console import note, progress_note, stderr, tell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.progress import Progress as Bar

    from stackae.training.callbacks import EpochRecord

SECONDS_BETWEEN_LINES = 2.0


class Shown(Callbacks):
    """Display the callbacks of a workflow; workflows write the log themselves.

    With ``per_feature``, losses of layers are those per feature of their input.
    """

    def __init__(self, per_feature: bool = False) -> None:
        self._per_feature = per_feature

    def note(self, *lines: str) -> None:
        tell(*lines)

    def busy(self, step: str) -> None:
        progress_note(step)

    @contextmanager
    def progress(self, step: str) -> Iterator[Progress]:
        with Meter(step) as meter:
            yield meter.update

    def training(self, networks: int) -> AbstractContextManager[Display]:
        return Display(self._per_feature)


class Meter:
    """Progress of a long step: nothing for two seconds, then a bar on a terminal, or a line now and then elsewhere."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._progress: Bar | None = None
        self._started = self._noted = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress:
            self._progress.stop()

    def update(self, share: float) -> None:
        """Show the share that is done, 0 to 1."""
        if self._progress:
            self._progress.update(self._task, completed=100 * share, left=self._left(share))
        elif time.monotonic() - self._noted > SECONDS_BETWEEN_LINES:
            self._noted = time.monotonic()
            if stderr.is_terminal:
                self._start(share)
            else:
                note(f"{self._title}  {100 * share:.0f} %  {self._left(share)}")

    def _left(self, share: float) -> str:
        """Estimate the remaining time from the speed so far."""
        seconds = (time.monotonic() - self._started) * (1 - share) / max(share, 1e-9)
        return f"{seconds:.0f} s left" if seconds < 120 else f"{seconds / 60:,.0f} min left"

    def _start(self, share: float) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        name, left = (TextColumn(f"{{{field}}}", markup=False) for field in ("task.description", "task.fields[left]"))
        self._progress = Progress(name, BarColumn(bar_width=24), left, console=stderr)
        self._task = self._progress.add_task(
            legible(self._title, WHOLE), total=100, completed=round(100 * share), left=self._left(share)
        )
        self._progress.start()


class Display:
    """A callback that shows a live bar on a terminal, or a line now and then elsewhere."""

    def __init__(self, per_feature: bool = False) -> None:
        self._per_feature, self._features = per_feature, 1
        self._progress: Bar | None = None
        self._title = ""
        self._epochs = 0
        self._noted = 0.0

    def __enter__(self) -> Self:
        if stderr.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[status]}", markup=False),
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

    def start_stage(self, stage: str, title: str, replicas: int, rows: int, epochs: int, passed: int) -> None:
        width = re.match(r"layer \d+/\d+ (\d+)-", title) if self._per_feature else None
        self._title, self._epochs, self._features = title, epochs, int(width[1]) if width else 1
        self._status = f"epoch {min(epochs, passed // rows + 1)}/{epochs}"
        if self._progress:
            self._task = self._progress.add_task(
                legible(self._title, WHOLE), total=rows * epochs, completed=passed, status=self._status
            )

    def batch(self, rows: int, loss: float) -> None:
        if self._progress:
            self._progress.update(self._task, advance=rows, status=f"{self._status}  now {loss / self._features:.4g}")

    def epoch(self, records: Mapping[int, EpochRecord]) -> None:
        first, figures = next(iter(records.values())), figures_of(records, self._features)
        if self._progress:
            self._status = f"epoch {min(first.epoch + 1, self._epochs)}/{self._epochs}  {figures}"
            self._progress.update(self._task, status=self._status)
        elif first.epoch in (1, self._epochs) or time.monotonic() - self._noted > SECONDS_BETWEEN_LINES:
            self._noted = time.monotonic()
            left = first.seconds * (self._epochs - first.epoch)
            tell(f"{self._title}  epoch {first.epoch}/{self._epochs}  {figures}  {left:.0f} s left")


class _Noted(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(f"warning     {' '.join(record.getMessage().split())}")


@contextmanager
def _logs_noted() -> Iterator[None]:
    """Note log records of libraries that no other handler receives."""
    before, logging.lastResort = logging.lastResort, _Noted(logging.WARNING)
    try:
        yield
    finally:
        logging.lastResort = before


@contextmanager
def warnings_noted() -> Iterator[None]:
    """Note warnings of libraries; the one on a missing compiled extension is in the summary of a training already."""
    with _logs_noted(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "stackae's compiled extension", RuntimeWarning)
        warnings.showwarning = lambda message, *more, **named: note(f"warning     {' '.join(str(message).split())}")
        yield
