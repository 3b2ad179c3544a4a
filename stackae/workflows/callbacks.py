"""Callbacks of workflows, and the log.txt of a run folder.

The command line displays what it receives; other callers override the methods that they need. The log records what was
done when, with which versions, and how it ended; of what stackae does, a report alone reads it. Nothing loads torch
before a log opens.
"""

from __future__ import annotations

import os
import platform
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from stackae.errors import WHOLE, argument, legible
from stackae.system import PLAIN, PRIVATE
from stackae.threads import shown_threads
from stackae.training.callbacks import Callback, NoCallback

if TYPE_CHECKING:
    from stackae.training.callbacks import EpochRecord
    from stackae.workflows.finetune import FinetunedRun
    from stackae.workflows.stacks import PretrainedRun

Progress = Callable[[float], None]
NAME = "log.txt"
FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | PLAIN | PRIVATE  # a pipe in its place does not block
STAGE_TOOK = re.compile(r"(.*)  took ([0-9]{1,9}) epochs?, ([0-9]{1,12}\.[0-9]) s")
_open: list[Path] = []


class Callbacks:
    """Every method does nothing: override those whose events you need.

    ```
    class Printing(Callbacks):
        def note(self, *lines: str) -> None:
            print(*lines, sep="\\n")

    stackae.workflows.score("runs/seeds", data="new.csv", callbacks=Printing())
    ```
    """

    command = ""
    """What the log of a run folder names as the command that writes to it; "" is the workflow's name."""

    def note(self, *lines: str) -> None:
        """Receive lines for the user, such as which rows were skipped and why."""

    def busy(self, step: str) -> None:
        """A step of some seconds begins; ``step`` names it, as in "drawing pictures"."""

    def progress(self, step: str) -> AbstractContextManager[Progress]:
        """Enter a step with known progress: call the yielded function with the share that is done, 0 to 1."""
        return _ignored()

    def training(self, networks: int) -> AbstractContextManager[Callback]:
        """Enter the training of ``networks`` networks together; the callback receives stages, batches and epochs."""
        return nullcontext(NoCallback())

    def writing(self, kept: Callable[[], str]) -> AbstractContextManager[None]:
        """Enter the writing of a run folder.

        ``kept()`` describes what of it is kept if the process ends without an exception meanwhile; "" is nothing.
        """
        return nullcontext()

    def pretrained(self, outcome: PretrainedRun, last: bool) -> None:
        """Stacks are trained, and their files are written; ``last`` is False if a head is trained next."""

    def finetuned(self, outcome: FinetunedRun) -> None:
        """A head is trained, and its files are written."""


@contextmanager
def _ignored() -> Iterator[Progress]:
    yield lambda share: None


@contextmanager
def logged(folder: Path, command: str) -> Iterator[None]:
    """Write log messages to the folder's log meanwhile, and the error that ends the block, with its traceback."""
    _open.append(folder / NAME)
    try:
        log(f"$ {command}")
        log(_versions())
        yield
        log("done")
    except BaseException as error:
        log("".join(traceback.format_exception(error)).rstrip())
        raise
    finally:
        _open.pop()


def log(text: str) -> None:
    """Log lines with the time. A full disk costs the log, not the work; a file that is not stackae's is not written."""
    from stackae.runs.ownership import logs

    time = f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S%z}"
    lines = "".join(f"{time}  {legible(line, WHOLE)}\n" for line in text.splitlines())
    for path in _open:
        with suppress(OSError):
            descriptor = os.open(path, FLAGS, 0o644)
            try:
                if logs(descriptor):
                    os.write(descriptor, lines.encode(errors="replace"))
            finally:
                os.close(descriptor)


class Logged(Callbacks):
    """Write all events to the open log, and pass them on to other callbacks."""

    def __init__(self, callbacks: Callbacks) -> None:
        self._callbacks = callbacks

    def note(self, *lines: str) -> None:
        for line in lines:
            log(legible(line, WHOLE))
        self._callbacks.note(*lines)

    def busy(self, step: str) -> None:
        log(step)
        self._callbacks.busy(step)

    def progress(self, step: str) -> AbstractContextManager[Progress]:
        return self._callbacks.progress(step)

    @contextmanager
    def training(self, networks: int) -> Iterator[Callback]:
        with self._callbacks.training(networks) as callback:
            stages = _Stages(callback, networks, self.note)
            yield stages
        stages.end()

    def writing(self, kept: Callable[[], str]) -> AbstractContextManager[None]:
        return self._callbacks.writing(kept)

    def pretrained(self, outcome: PretrainedRun, last: bool) -> None:
        self._callbacks.pretrained(outcome, last)

    def finetuned(self, outcome: FinetunedRun) -> None:
        self._callbacks.finetuned(outcome)


class _Stages:
    """A callback that logs every epoch, and notes where a stage is resumed or stopped early."""

    def __init__(self, callback: Callback, networks: int, note: Callable[[str], None]) -> None:
        self._callback, self._networks, self._note = callback, networks, note
        self._title, self._epochs, self._epoch, self._best = "", 0, 0, 0
        self._trained, self._seconds = 0, 0.0

    def start_stage(self, stage: str, title: str, replicas: int, rows: int, epochs: int, passed: int) -> None:
        self.end()
        self._title = title if self._networks == 1 else f"{title}, {replicas} seeds"
        self._epochs = epochs
        if passed:
            epoch = passed // rows + 1
            self._note(f"{self._title}  resumes in epoch {epoch}/{epochs}, after {passed % rows:,} rows of it")
        self._callback.start_stage(stage, self._title, replicas, rows, epochs, passed)

    def batch(self, rows: int, loss: float) -> None:
        self._callback.batch(rows, loss)

    def epoch(self, records: Mapping[int, EpochRecord]) -> None:
        first = next(iter(records.values()))
        self._epoch, self._trained, self._seconds = first.epoch, self._trained + 1, self._seconds + first.seconds
        self._best = self._epoch if any(record.best for record in records.values()) else self._best
        log(f"{self._title}  epoch {self._epoch}/{self._epochs}  {figures_of(records)}")
        self._callback.epoch(records)

    def end(self) -> None:
        if self._trained:
            log(f"{self._title}  took {self._trained} epoch{'s' * (self._trained > 1)}, {self._seconds:.1f} s")
        if 0 < self._epoch < self._epochs:
            since = f" than epoch {self._best}" if self._best else ""
            self._note(
                f"{self._title}  ended after epoch {self._epoch} of {self._epochs}: none was better{since} "
                f"({argument('patience', 0)} never stops)"
            )
        self._epoch = self._best = self._trained = 0
        self._seconds = 0.0


def figures_of(records: Mapping[int, EpochRecord], features: int = 1) -> str:
    """Format an epoch: mean losses and errors over its networks, and their total rows per second.

    Losses are divided by ``features``: 1 shows them per row.
    """
    each = list(records.values())
    losses = [record.validation_loss for record in each if record.validation_loss is not None]
    errors = [record.validation_error for record in each if record.validation_error is not None]
    corrupted = [record.corrupted_validation_loss for record in each if record.corrupted_validation_loss is not None]
    dead = [record.dead for record in each if record.dead]
    validation = f"  validation {fmean(losses) / features:.4g}" if losses else ""
    validation += f", under noise {fmean(corrupted) / features:.4g}" if corrupted else ""
    validation += f" ({100 * fmean(errors):.2f} % wrong)" if errors else ""
    validation += f"  {100 * sum(dead) / len(each):.1f} % of units dead" if dead else ""
    rate = sum(record.rows_per_second for record in each)
    return f"loss {fmean(record.loss for record in each) / features:.4g}{validation}  {rate:,.0f} rows/s"


def _versions() -> str:
    import torch

    from stackae import __version__

    return (
        f"stackae {__version__}, torch {torch.__version__}, Python {platform.python_version()}, "
        f"{platform.node()}, threads {shown_threads(torch.get_num_threads())}, process {os.getpid()}"
    )
