"""A shell that runs the command in this process, in a folder with small data, and states what every failure owes."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

SIZES = (8, 6, 4)
LAYERS = "8,6,4"
UNREAD = ("log.txt", "lock")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
PICTURES = (
    "plots.curves.loss_curves",
    "plots.curves.loss_curves_together",
    "plots.curves.loss_curves_compared",
    "plots.runs.filters",
    "plots.runs.reconstructions",
    "plots.runs.confusion_matrix",
    "plots.latent.latent_grid",
    "plots.latent.latent_scatter",
    "plots.latent.samples",
    "plots.scores.anomaly_scores",
    "plots.sweep.error_by_width",
    "plots.compare.error_by_labels",
)
QUICK = {"STACKAE_EPOCHS": "2", "STACKAE_DEVICE": "cpu", "COLUMNS": "120"}


def undrawn_picture(*given: object, **named: object) -> bytes:
    return b"\x89PNG\r\n\x1a\n"


class Result(NamedTuple):
    code: int
    out: str
    err: str


class Shell:
    """Runs `stackae ARGUMENTS` in ``folder``; keyword arguments are the environment, which else is QUICK.

    Pictures take most of the time of a small run: where not ``draws``, their files hold the first bytes of one alone.
    """

    def __init__(self, folder: Path, draws: bool = False) -> None:
        self.folder, self.draws = folder, draws

    @property
    def run(self) -> Path:
        return (self.folder / "runs" / "latest").resolve()

    def __call__(self, *arguments: object, **environment: str) -> Result:
        from stackae.cli.console import stderr, stdout
        from stackae.cli.main import main

        stdout.width = stderr.width = int((QUICK | environment)["COLUMNS"])  # as a process finds it when it starts

        out, err = io.StringIO(), io.StringIO()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("STACKAE_")}
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        code: Any = 0
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.chdir(self.folder))
            stack.enter_context(patch.dict(os.environ, inherited | QUICK | environment, clear=True))
            stack.enter_context(patch.object(sys, "argv", ["stackae", *map(str, arguments)]))
            stack.enter_context(contextlib.redirect_stdout(out))
            stack.enter_context(contextlib.redirect_stderr(err))
            for name in () if self.draws else PICTURES:
                stack.enter_context(patch(f"stackae.{name}", undrawn_picture))
            for number, handler in handlers.items():
                stack.callback(signal.signal, number, handler)
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
        plain = [re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()) for stream in (out, err)]
        return Result(code, *plain)

    def does(self, *arguments: object, **environment: str) -> str:
        """What it prints; it must succeed."""
        result = self(*arguments, **environment)
        assert result.code == 0, result.err
        return result.out

    def refuses(self, code: int, *arguments: object, **environment: str) -> str:
        """The error it ends with: one sentence, the right exit code, and every file as it was before."""
        before = self.files()
        result = self(*arguments, **environment)
        assert result.code == code, result.err
        assert result.out == "" and "Traceback" not in result.err
        assert [line[:7] for line in result.err.splitlines()].count("error: ") == 1, result.err
        assert self.files() == before
        return result.err[result.err.index("error: ") :].strip()

    def files(self) -> dict[str, bytes | str]:
        """Every file's bytes and every link's target; folders too, but for an empty ``runs``; no logs and locks."""
        found: dict[str, bytes | str] = {}
        for path in (path for path in self.folder.rglob("*") if path.name not in UNREAD):
            content = str(path.readlink()) if path.is_symlink() else "" if path.is_dir() else path.read_bytes()
            found[str(path.relative_to(self.folder))] = content
        if not any(name.startswith("runs/") for name in found):
            found.pop("runs", None)
        return found


def write_data(folder: Path) -> None:
    """60 rows of 8 numbers in [0, 1], three classes: unlabelled.npy, labelled.npz and labelled.csv (target: kind)."""
    generator = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = np.clip(0.1 * generator.standard_normal((60, 8)) + generator.random((3, 8))[y], 0, 1).astype(np.float32)
    np.save(folder / "unlabelled.npy", x)
    np.savez(folder / "labelled.npz", x=x, y=y)
    rows = [",".join([*map(str, row.tolist()), "abc"[label]]) for row, label in zip(x, y, strict=True)]
    header = ",".join([*(f"f{column}" for column in range(8)), "kind"])
    (folder / "labelled.csv").write_text("\n".join([header, *rows]) + "\n")
