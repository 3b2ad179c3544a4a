"""runs/latest: a symbolic link to the newest complete run."""

from __future__ import annotations

import os
from pathlib import Path

from stackae.errors import ConfigError
from stackae.runs.durable import is_temporary, make_folder, remove_files, write_link
from stackae.runs.lock import in_turn

RUNS = Path("runs")
LATEST = RUNS / "latest"


def check_pointer() -> None:
    """Raise ConfigError if another file lies in the place of runs/latest or of its folder."""
    for place, wanted, right in (
        (RUNS, "the folder that holds runs", Path.is_dir),
        (LATEST, "a pointer to the newest run", Path.is_symlink),
    ):
        if os.path.lexists(place) and not right(place):  # in this order: another process may make it meanwhile
            found = "a folder" if place.is_dir() else "a link to nothing" if place.is_symlink() else "a file"
            raise ConfigError(f"{place}: expected {wanted}, got {found}; move it away")


def pointer_is_writable() -> bool:
    """Return whether runs/latest can be moved: not in a read-only folder or on a read-only disk."""
    return os.access(RUNS if RUNS.exists() else RUNS.parent, os.W_OK | os.X_OK)


def point_latest(path: Path) -> None:
    """Make runs/latest point to this run."""
    check_pointer()
    make_folder(RUNS)
    with in_turn(RUNS) as alone:
        left = [each for each in RUNS.iterdir() if is_temporary(each) and each.is_symlink()] if alone else []
        remove_files(RUNS, left)
        write_link(LATEST, os.path.relpath(path.resolve(), RUNS.resolve()))
