"""Copies of what git knows, to build from: a build writes into the folder that it is run in."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def known_files() -> list[Path]:
    """The paths, relative to the root, of all that git knows and that is there."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("no git repository here, such as in an unpacked sdist: nothing to compare with")
    return [path for name in done.stdout.split("\0") if name and (ROOT / (path := Path(name))).is_file()]


def copy_to(folder: Path) -> list[Path]:
    """Copy all that git knows to a folder; return the paths relative to it."""
    files = known_files()
    for path in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, folder / path)
    return files
