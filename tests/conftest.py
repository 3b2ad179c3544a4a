"""A shell that runs the command in this process, in a folder with small data, and states what every failure owes."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1]))  # for the benchmarks; last, so that a build elsewhere stays first

SIZES = (8, 6, 4)
LAYERS = "8,6,4"
UNREAD = ("log.txt", "lock")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
PICTURES = (
    "pictures.loss_curves",
    "pictures.loss_curves_together",
    "pictures.loss_curves_compared",
    "pictures.filters",
    "pictures.reconstructions",
    "pictures.confusion_matrix",
    "latent_pictures.latent_grid",
    "latent_pictures.latent_scatter",
    "latent_pictures.samples",
    "score_pictures.anomaly_scores",
    "sweep_pictures.error_by_width",
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


@pytest.fixture
def fresh(tmp_path: Path) -> Shell:
    """A folder with data and no run."""
    write_data(tmp_path)
    return Shell(tmp_path)


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A folder whose runs/first was pretrained and fine-tuned on labelled.npz; not to be changed."""
    shell = Shell(tmp_path_factory.mktemp("first"))
    write_data(shell.folder)
    shell.does("pretrain", "--layers", LAYERS, "--data", "labelled.npz", "--run", "runs/first")
    shell.does("finetune")
    return shell


@pytest.fixture
def trained(tmp_path: Path, first_run: Shell) -> Shell:
    """A copy of it, to work in."""
    shutil.copytree(first_run.folder, tmp_path, symlinks=True, dirs_exist_ok=True)
    return Shell(tmp_path)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell that does not draw, for what is called without one."""
    for name in PICTURES:
        monkeypatch.setattr(f"stackae.{name}", undrawn_picture)


@pytest.fixture(params=["tiles", "library"])
def products(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What multiplies in the step of CUDA's sources."""
    monkeypatch.setenv("STACKAE_CUDA_PRODUCTS", request.param)
    return str(request.param)


# ---- what the tests of faults count, told at the end

FIGURES: Counter[str] = Counter()
LONGEST: dict[str, float] = {}


@pytest.fixture
def figures() -> Counter[str]:
    """Counts by name, over all tests."""
    return FIGURES


@pytest.fixture
def longest() -> dict[str, float]:
    """Seconds by name, the longest of all tests."""
    return LONGEST


def pytest_configure(config: pytest.Config) -> None:
    """Where tests run side by side, each has a thread, and so has what it starts."""
    if hasattr(config, "workerinput"):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput |= {"figures": dict(FIGURES), "longest": dict(LONGEST)}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    found = getattr(node, "workeroutput", {})
    FIGURES.update(found.get("figures", {}))
    for name, seconds in found.get("longest", {}).items():
        LONGEST[name] = max(seconds, LONGEST.get(name, 0.0))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES or LONGEST:
        terminalreporter.section("faults")
    for name, count in FIGURES.items():
        terminalreporter.write_line(f"{count:>7,} {name}")
    for name, seconds in LONGEST.items():
        terminalreporter.write_line(f"{seconds:>7.2f} s, the longest of {name}")
