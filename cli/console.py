"""What a person sees: progress while training, tables when it is done. Progress goes to stderr, results to stdout.

All text takes this door, and none of it is markup: whatever is in it that is not seen, newlines too, becomes an escape.
Names of files, columns and classes may so be given as they are.
"""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from statistics import fmean
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stackae.errors import WHOLE, legible

from .log import log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import JustifyMethod
    from rich.progress import Progress

    from stackae.errors import StackaeError
    from stackae.runs import Run
    from stackae.training.history import EpochRecord

SECONDS_BETWEEN_LINES = 2.0
WIDEST = 10_000  # columns that no terminal has

stdout = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)
stderr = Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)


_documents = [0]


def emit_json(document: dict[str, Any]) -> None:
    """In ASCII; what is no finite number is null."""
    from stackae.documents import to_json

    _documents[0] += 1
    sys.stdout.write(to_json(document, indent=2) + "\n")


def emit_error(error: StackaeError) -> None:
    """The error as a document, where the command has not given one already: there is one on stdout, never two."""
    if _documents[0]:
        return
    found: dict[str, Any] = {"code": error.code, "exit_code": error.exit_code, "message": str(error)}
    emit_json({"error": found | ({"details": error.details} if error.details else {})})


def forget_documents() -> None:
    """A command begins."""
    _documents[0] = 0


def say(*lines: str, style: str = "") -> None:
    """Lines of a result; "" is an empty one."""
    for line in lines:
        stdout.print(Text(legible(line, WHOLE), style))


def note(*lines: str, style: str = "") -> None:
    """Lines about what is going on, for people and for the log."""
    for line in lines:
        told = legible(line, WHOLE)
        stderr.print(Text(told, style))
        log(told)


def progress_note(text: str) -> None:
    """What takes a moment now."""
    if stderr.is_terminal:
        note(text, style="dim")
    else:
        log(legible(text, WHOLE))


def width() -> int:
    """Columns of the terminal that results go to."""
    return stdout.width


def in_columns(cells: Sequence[tuple[str, int, JustifyMethod, str]]) -> None:
    """One line of a table that is shown as it grows: each cell's text, width, side and style."""
    row = Table.grid(padding=(0, 2, 0, 0))
    for _, wide, side, _ in cells:
        row.add_column(width=wide, justify=side, overflow="fold")
    row.add_row(*(Text(legible(text, WHOLE), style=style) for text, _, _, style in cells))
    stdout.print(row, soft_wrap=False, width=sum(wide + 2 for _, wide, _, _ in cells))


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    stdout.print(_built(title, columns, rows))


def listing(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table where it fits; else two lines a row, so that what names it can be read, and copied, whole."""
    built = _built(title, columns, rows)
    if stdout.measure(built, options=stdout.options.update(width=WIDEST)).maximum <= stdout.width:
        stdout.print(built)
        return
    say(title, style="bold")
    for name, *cells in rows:
        told = [f"{column} {cell}" for column, cell in zip(columns[1:], cells, strict=True) if cell != "-"]
        say(name, f"    {', '.join(told)}")


def _built(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    built = Table(title=Text(legible(title, WHOLE)), title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        side: JustifyMethod = "left" if index == 0 else "right"
        built.add_column(Text(legible(column, WHOLE)), justify=side, overflow="fold")
    for row in rows:
        built.add_row(*(Text(legible(cell, WHOLE)) for cell in row))
    return built


def closing(folder: Path, files: list[str], next_command: str) -> None:
    """Names the files that were made and the command to go on with."""
    folder = shown(folder)
    say(f"run folder  {folder}", *(f"            {folder / name}" for name in files), f"next        {next_command}")


def shown(path: Path) -> Path:
    """The path as short as it can be said from here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


class Meter:
    """How far a reading has come: nothing for two seconds, then a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._progress: Progress | None = None
        self._started = self._noted = time.monotonic()

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
            self._progress.update(self._task, completed=100 * share, left=self._left(share))
        elif time.monotonic() - self._noted > SECONDS_BETWEEN_LINES:
            self._noted = time.monotonic()
            if stderr.is_terminal:
                self._start(share)
            else:
                note(f"{self._title}  {100 * share:.0f} %  {self._left(share)}")

    def _left(self, share: float) -> str:
        """How long the rest takes, where it goes on as it went so far."""
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
    """A listener that shows a live bar on a terminal and a line now and then elsewhere, and logs every epoch.

    Of runs that train together it shows means over them, and rows a second of all.
    """

    def __init__(self, runs: int) -> None:
        self._runs = runs
        self._progress: Progress | None = None
        self._title = ""
        self._epochs = 0
        self._noted = 0.0
        self._epoch = self._best = 0

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
        if kind is None:
            self._tell_end()

    def _tell_end(self) -> None:
        """Of a stage whose patience came to an end before its epochs."""
        if 0 < self._epoch < self._epochs:
            since = f" than epoch {self._best}" if self._best else ""
            note(
                f"{self._title}  ended after epoch {self._epoch} of {self._epochs}: none was better{since} "
                "(--patience 0 never stops)"
            )
        self._epoch = self._best = 0

    def start_stage(self, stage: str, title: str, members: int, rows: int, epochs: int, passed: int) -> None:
        self._tell_end()
        self._title = title if self._runs == 1 else f"{title}, {members} seeds"
        self._epochs = epochs
        self._status = f"epoch {min(epochs, passed // rows + 1)}/{epochs}"
        if passed:
            note(f"{self._title}  goes on in epoch {passed // rows + 1}/{epochs}, after {passed % rows:,} rows of it")
        if self._progress:
            self._task = self._progress.add_task(
                legible(self._title, WHOLE), total=rows * epochs, completed=passed, status=self._status
            )

    def batch(self, rows: int, loss: float) -> None:
        if self._progress:
            self._progress.update(self._task, advance=rows, status=f"{self._status}  now {loss:.4g}")

    def epoch(self, records: Mapping[int, EpochRecord]) -> None:
        together = list(records.values())
        number, figures = together[0].epoch, _figures(together)
        self._epoch, self._best = number, number if any(record.best for record in together) else self._best
        log(f"{self._title}  epoch {number}/{self._epochs}  {figures}")
        if self._progress:
            self._status = f"epoch {min(number + 1, self._epochs)}/{self._epochs}  {figures}"
            self._progress.update(self._task, status=self._status)
        elif number in (1, self._epochs) or time.monotonic() - self._noted > SECONDS_BETWEEN_LINES:
            self._noted = time.monotonic()
            remaining = together[0].seconds * (self._epochs - number)
            line = f"{self._title}  epoch {number}/{self._epochs}  {figures}  {remaining:.0f} s left"
            stderr.print(Text(legible(line, WHOLE)))


def _figures(records: list[EpochRecord]) -> str:
    """Losses and errors as means over the networks of an epoch."""
    losses = [record.validation_loss for record in records if record.validation_loss is not None]
    errors = [record.validation_error for record in records if record.validation_error is not None]
    validation = f"  validation {fmean(losses):.4g}" if losses else ""
    corrupted = [each.corrupted_validation_loss for each in records if each.corrupted_validation_loss is not None]
    if corrupted:
        validation += f", under noise {fmean(corrupted):.4g}"
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
