"""Laws of commands that are started together: each has a folder of its own, or one has it and the others are told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from together import ROUNDS

from stackae.runs import LATEST, Run
from stackae.runs.ownership import strangers

PROCESSES = 3


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[str]]]:
    """A folder in which several processes did the same at the same moments, and what became of each of it."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "steps").mkdir()
    script = Path(__file__).parents[1] / "cases" / "together.py"
    lines = [[sys.executable, str(script), str(PROCESSES), str(number)] for number in range(PROCESSES)]
    started = [subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, text=True) for line in lines]
    said = [process.communicate(timeout=300)[0].splitlines() for process in started]
    assert [process.returncode for process in started] == [0] * PROCESSES
    return folder, said


def test_runs_without_a_name_all_have_one_of_their_own(together: tuple[Path, list[list[str]]]) -> None:
    folder, said = together
    names = [line for each in said for line in each[::3]]
    assert len(set(names)) == PROCESSES * ROUNDS and all(
        name.startswith("has 20260101-000000-data-8-4") for name in names
    )
    for name in names:
        assert (folder / "runs" / name.removeprefix("has ") / "manifest.json").exists()


def test_of_runs_of_one_name_one_is_made_and_the_others_are_told(together: tuple[Path, list[list[str]]]) -> None:
    folder, said = together
    for number, each in enumerate(zip(*(lines[1::3] for lines in said), strict=True)):
        winners = [place for place, line in enumerate(each) if line.startswith("has ")]
        losers = [line for line in each if not line.startswith("has ")]
        assert len(winners) == 1, each
        for line in losers:
            assert "expected to be its only writer, got" in line or "got an existing run" in line, line
        run = folder / "runs" / f"same{number}"
        assert Run(run).read("whose") == str(winners[0]).encode() and strangers(run) == []


def test_runs_that_replace_one_another_leave_one_whole_run(together: tuple[Path, list[list[str]]]) -> None:
    folder, said = together
    for each in zip(*(lines[2::3] for lines in said), strict=True):
        assert any(line.startswith("has ") for line in each)
        assert all(line.startswith("has ") or "expected to be its only writer" in line for line in each), each
    assert Run(folder / "runs" / "forced").read("whose") in [str(number).encode() for number in range(PROCESSES)]
    assert strangers(folder / "runs" / "forced") == []


def test_the_pointer_is_there_and_nothing_else_is_left(together: tuple[Path, list[list[str]]]) -> None:
    folder, _ = together
    assert (folder / LATEST).readlink() == Path(f"same{ROUNDS - 1}")
    assert [path.name for path in (folder / "runs").iterdir() if path.name.startswith(".")] == []
