"""What a person sees: progress while training, tables when it is done. Progress goes to stderr, results to stdout."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from statistics import fmean
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .log import log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.progress import Progress

    from stackae.errors import StackaeError
    from stackae.runs import Run
    from stackae.training.history import EpochRecord

SECONDS_BETWEEN_LINES = 2.0
WIDEST = 10_000  # columns that no terminal has

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


_documents = [0]


def emit_json(document: dict[str, Any]) -> None:
    _documents[0] += 1
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def emit_error(error: StackaeError) -> None:
    """The error as a document, where the command has not given one already: there is one on stdout, never two."""
    if _documents[0]:
        return
    found: dict[str, Any] = {"code": error.code, "exit_code": error.exit_code, "message": str(error)}
    emit_json({"error": found | ({"details": error.details} if error.details else {})})


def forget_documents() -> None:
    """A command begins."""
    _documents[0] = 0


def note(text: str) -> None:
    """A line about what is going on, for people and for the log."""
    stderr.print(text, markup=False)
    log(text)


def progress_note(text: str) -> None:
    """What takes a moment now."""
    if stderr.is_terminal:
        stderr.print(text, style="dim", markup=False)
    log(text)


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    stdout.print(_built(title, columns, rows))


def listing(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table where it fits; else two lines a row, so that what names it can be read, and copied, whole."""
    built = _built(title, columns, rows)
    if stdout.measure(built, options=stdout.options.update(width=WIDEST)).maximum <= stdout.width:
        stdout.print(built)
        return
    stdout.print(title, style="bold", markup=False)
    for name, *cells in rows:
        stdout.print(name, markup=False)
        told = [f"{column} {cell}" for column, cell in zip(columns[1:], cells, strict=True) if cell != "-"]
        stdout.print(f"    {', '.join(told)}", markup=False)


def _built(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    built = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        built.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        built.add_row(*row)
    return built


def closing(folder: Path, files: list[str], next_command: str) -> None:
    """Names the files that were made and the command to go on with."""
    folder = shown(folder)
    stdout.print(f"run folder  {folder}", markup=False)
    for name in files:
        stdout.print(f"            {folder / name}", markup=False)
    stdout.print(f"next        {next_command}", markup=False)


def shown(path: Path) -> Path:
    """The path as short as it can be said from here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


class Meter:
    """How far a reading has come: nothing for two seconds, then a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._progress: Progress | None = None
        self._noted = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress:
            self._progress.stop()

    def update(self, share: float) -> None:
        """Of the whole, from 0 to 1."""
        if self._progress:
            self._progress.update(self._task, completed=100 * share)
        elif time.monotonic() - self._noted > SECONDS_BETWEEN_LINES:
            self._noted = time.monotonic()
            if stderr.is_terminal:
                self._start()
            else:
                note(f"{self._title}  {100 * share:.0f} %")

    def _start(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("left"), TimeRemainingColumn()
        self._progress = Progress(*columns, console=stderr)
        self._task = self._progress.add_task(escape(self._title), total=100)
        self._progress.start()


class Display:
    """A listener that shows a live bar on a terminal and a line now and then elsewhere, and logs every epoch.

    Of runs that train together it shows means over them, and rows a second of all.
    """

    def __init__(self, runs: int) -> None:
        self._runs = runs
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

    def start_stage(self, stage: str, title: str, members: int, rows: int, epochs: int, passed: int) -> None:
        self._title = title if self._runs == 1 else f"{title}, {members} seeds"
        self._epochs = epochs
        self._status = f"epoch {min(epochs, passed // rows + 1)}/{epochs}"
        if passed:
            note(f"{self._title}  goes on in epoch {passed // rows + 1}/{epochs}, after {passed % rows:,} rows of it")
        if self._progress:
            self._task = self._progress.add_task(
                self._title, total=rows * epochs, completed=passed, status=self._status
            )

    def batch(self, rows: int, loss: float) -> None:
        if self._progress:
            self._progress.update(self._task, advance=rows, status=f"{self._status}  now {loss:.4g}")

    def epoch(self, records: Mapping[int, EpochRecord]) -> None:
        together = list(records.values())
        number, figures = together[0].epoch, _figures(together)
        log(f"{self._title}  epoch {number}/{self._epochs}  {figures}")
        if self._progress:
            self._status = f"epoch {min(number + 1, self._epochs)}/{self._epochs}  {figures}"
            self._progress.update(self._task, status=self._status)
        elif number in (1, self._epochs) or time.monotonic() - self._noted > SECONDS_BETWEEN_LINES:
            self._noted = time.monotonic()
            remaining = together[0].seconds * (self._epochs - number)
            line = f"{self._title}  epoch {number}/{self._epochs}  {figures}  {remaining:.0f} s left"
            stderr.print(line, markup=False)


def _figures(records: list[EpochRecord]) -> str:
    """Losses and errors as means over the networks of an epoch."""
    losses = [record.validation_loss for record in records if record.validation_loss is not None]
    errors = [record.validation_error for record in records if record.validation_error is not None]
    validation = f"  validation {fmean(losses):.4g}" if losses else ""
    if errors:
        validation += f" ({100 * fmean(errors):.2f} % wrong)"
    dead = [record.dead for record in records if record.dead]
    if dead:
        validation += f"  {100 * sum(dead) / len(records):.1f} % of units dead"
    rate = sum(record.rows_per_second for record in records)
    return f"loss {fmean(record.loss for record in records):.4g}{validation}  {rate:,.0f} rows/s"


def run_option(run: Run) -> str:
    """What to add to a command line so that it means this run."""
    from stackae.runs import LATEST

    return "" if LATEST.resolve() == run.path.resolve() else f" --run {shlex.quote(str(shown(run.path)))}"
