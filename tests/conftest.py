"""Fixtures of all tests: a folder with data, a folder with a trained run; and what the tests of faults count."""

from __future__ import annotations

import functools
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import typer.main
from cli_cases import PRETRAIN
from hypothesis import settings
from shell import PICTURES, Shell, undrawn_picture, write_data

ROOM = 1 << 30
settings.register_profile("untimed", deadline=None)  # the first example of a test pays for what it imports
settings.load_profile("untimed")
sys.path.append(str(Path(__file__).parents[1]))  # for the benchmarks; last, so that a build elsewhere stays first


@pytest.fixture(scope="session", autouse=True)
def commands() -> Iterator[None]:
    """The tree of commands is built once per process, not per call: that is most of what a small command takes."""
    with patch("typer.main.get_command", functools.cache(typer.main.get_command)):
        yield


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory, where the system has a folder with room there: on a disk most of the time goes to syncing it.

    Disks that are full, fail or lose what was not synced are simulated by the tests of them.
    """
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < ROOM:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="stackae-", dir=memory) as folder:
        yield Path(folder)


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
    shell.does(*PRETRAIN, "--run", "runs/first")
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
