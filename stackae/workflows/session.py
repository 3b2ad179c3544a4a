"""The session of a training that writes a run folder: its callbacks, requests to stop, and its closing notes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stackae.errors import WHOLE, DivergedError, argument, legible, shown, suggested
from stackae.runs import Checkpoint, DiskCheckpointer, Folder, Requests, Work
from stackae.runs.ownership import is_log
from stackae.runs.places import has_progress, unfinished
from stackae.workflows.callbacks import NAME, Callbacks, Logged, logged
from stackae.workflows.inputs import seconds


@dataclass(frozen=True)
class Session:
    """Callbacks, requests to stop or save, and maximum seconds between checkpoints, for all trainings of a call."""

    callbacks: Callbacks
    requests: Requests
    every: float
    command: str

    @classmethod
    def new(
        cls, workflow: str, callbacks: Callbacks | None, requests: Requests | None, checkpoint_every: str | float | None
    ) -> Session:
        """Begin a session. Raises ConfigError unless ``checkpoint_every`` is a number of at least 0; None is 30."""
        callbacks, every = callbacks or Callbacks(), seconds(argument("checkpoint_every"), checkpoint_every)
        return cls(Logged(callbacks), requests or Requests(), every, callbacks.command or f"{workflow} (Python)")

    def checkpointer(self, folder: Folder, work: Work, resumed: Checkpoint | None) -> DiskCheckpointer:
        return DiskCheckpointer(folder, work, resumed, every=self.every, requests=self.requests)

    @contextmanager
    def writing(self, path: Path) -> Iterator[None]:
        """Write the folder's log meanwhile; if anything ends the training early, note the command that resumes it."""
        log = path / NAME
        if os.path.lexists(log) and not is_log(log):
            self.callbacks.note(
                f"{shown(log.absolute())} is not stackae's, or has another name elsewhere: nothing is logged"
            )
        try:
            with logged(path, self.command), self.callbacks.writing(lambda: legible(_kept(path), WHOLE)):
                yield
        except BaseException as error:
            if sentence := _kept(path, error):
                self.callbacks.note(sentence)
            raise


def _kept(path: Path, error: BaseException | None = None) -> str:
    """Return what to say of a training that ended early; "" if nothing of it is kept."""
    if not has_progress(path) or not unfinished(path):
        return ""
    here = shown(path.absolute())
    if isinstance(error, DivergedError):
        line = suggested("resume", here, *_remedy(error))
        return f"kept        {here}; it would diverge again: go on with other settings, as by:  {line}"
    return f"kept        {here}; resume it by:  {suggested('resume', here)}"


def _remedy(error: DivergedError) -> list[str]:
    """Return the option of `resume` that lowers the setting to blame, with a typical value."""
    usual = {"weight_decay": "1e-5", "corruption": "none", "sparsity": "none", "contraction": "0", "weight_l1": "0"}
    setting, rate = error.details.get("setting") or "learning_rate", error.details.get("learning_rate")
    if setting == "learning_rate":
        return ["--learning-rate", f"{rate / 10:.1g}" if isinstance(rate, float) and 0 < rate < 1 else "0.0003"]
    return [f"--{str(setting).replace('_', '-')}", (usual | {"beta": "1"})[str(setting)]]
