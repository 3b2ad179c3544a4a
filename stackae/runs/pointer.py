"""runs/latest: a link to the newest run that was completed."""

from __future__ import annotations

import os
from pathlib import Path

from stackae.errors import ConfigError
from stackae.runs.durable import is_temporary, make_folder, remove_files, write_link
from stackae.runs.lock import in_turn

RUNS = Path("runs")
LATEST = RUNS / "latest"


def check_pointer() -> None:
    """Raises ConfigError where something lies in the place of runs/latest, or of the folder that it is in."""
    for place, wanted, right in (
        (RUNS, "the folder that holds runs", Path.is_dir),
        (LATEST, "a pointer to the newest run", Path.is_symlink),
    ):
        if os.path.lexists(place) and not right(place):  # in this order: another process may make it in between
            found = "a folder" if place.is_dir() else "a link to nothing" if place.is_symlink() else "a file"
            raise ConfigError(f"{place}: expected {wanted}, got {found}; move it away")


def pointer_is_writable() -> bool:
    """Whether runs/latest can be moved: not in a folder, or on a disk, that can only be read."""
    return os.access(RUNS if RUNS.exists() else RUNS.parent, os.W_OK | os.X_OK)


def point_latest(path: Path) -> None:
    """Makes runs/latest a pointer to this run."""
    check_pointer()
    make_folder(RUNS)
    with in_turn(RUNS) as alone:
        left = [each for each in RUNS.iterdir() if is_temporary(each) and each.is_symlink()] if alone else []
        remove_files(RUNS, left)
        write_link(LATEST, os.path.relpath(path.resolve(), RUNS.resolve()))
