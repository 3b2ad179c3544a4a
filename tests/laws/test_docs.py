"""What the documentation says can be done: its commands are understood, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from shell import Shell

REPO = Path(__file__).parents[2]
WRITTEN = "command-line.md"  # by `make docs`
PAGES = sorted([*REPO.glob("*.md"), *(page for page in (REPO / "docs").rglob("*.md") if page.name != WRITTEN)])
LINES = [(page, line.split("#")[0].strip()) for page in PAGES for line in page.read_text().splitlines()]
EXAMPLES = sorted((REPO / "docs" / "examples").glob("plot_*.py"))
ELSEWHERE = (
    "DIR",
    ".csv",
    ".npy",
    ".mat",
    ".h5",
    ".npz",
    "images",
    "ELSEWHERE",
    "...",
    "[",
    "/config.toml",
    "--device cuda",
    "bf16",
)
COMMANDS = [
    line for _, line in LINES if line.startswith("stackae pretrain --") and not any(word in line for word in ELSEWHERE)
]


@pytest.mark.parametrize("command", dict.fromkeys(COMMANDS))
def test_a_command_is_understood(fresh: Shell, command: str) -> None:
    fresh.does(*shlex.split(command)[1:], "--dry-run")


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 20 and "stackae pretrain --layers 784,300,150" in COMMANDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_links_and_pictures_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), f"{page.name} names {target}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_a_tutorial_runs(example: Path, tmp_path: Path) -> None:
    """In a process of its own, as when the site is built (`make docs`)."""
    quiet = {**os.environ, "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(example)], cwd=tmp_path, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


def test_the_site_has_every_page() -> None:
    told = (REPO / "docs" / "index.md").read_text()
    for page in PAGES:
        if page.parent.name == "docs" and page.stem != "index":
            assert re.search(rf"^{page.stem}$", told, re.MULTILINE), f"docs/index.md does not list {page.name}"


def test_the_python_of_the_readme_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = re.search(r"```python\n(.*?)```", (REPO / "README.md").read_text(), re.DOTALL)
    assert block is not None
    quick = (
        block[1].replace("layers=(300, 150)", "layers=(12, 8), max_epochs=1").replace('head="', 'max_epochs=1, head="')
    )
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(quick, found)
    assert found["codes"].shape == (1797, 12) and found["model"].names == tuple("0123456789")
