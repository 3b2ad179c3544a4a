"""Verify that every file of a run folder is as it was written.

While another process writes, files are replaced and checkpoints removed between two looks: only what is damaged in
every look, and still there, is reported.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from stackae.errors import RunError
from stackae.runs.checkpoints import ended_files, numbered, read
from stackae.runs.folder import Folder
from stackae.runs.lock import writer
from stackae.runs.manifest import NAME as MANIFEST
from stackae.runs.places import seed_runs

LOOKS, BETWEEN = 5, 0.02  # looks, and seconds between them, while a process writes


def damages(path: Path) -> list[RunError]:
    """List the damages in the files of a run, of all runs in a folder, and of their checkpoints."""
    found = damaged_files(path) + damaged_checkpoints(path)
    for run in seed_runs(path):
        found += damages(run)
    return found


def damaged_files(path: Path) -> list[RunError]:
    """List the damaged files of one folder."""
    folder = Folder(path)
    try:
        names = list(folder.manifest.files)
    except RunError as error:
        begins = not (path / MANIFEST).exists() and writer(path) is not None
        return [] if begins else [error]
    found = [_damage(path, partial(folder.check, name), partial(_is_listed, folder, name)) for name in names]
    return [damage for damage in found if damage is not None]


def damaged_checkpoints(path: Path) -> list[RunError]:
    """List the damaged checkpoints of one folder."""
    found = [_damage(path, partial(_check, path, each), partial(os.path.lexists, each)) for _, each in numbered(path)]
    return [damage for damage in found if damage is not None]


def _damage(folder: Path, check: Callable[[], None], is_there: Callable[[], bool]) -> RunError | None:
    """Return the damage that a check finds in every look, of a file that is still there."""
    for look in range(LOOKS):
        try:
            check()
        except RunError as error:
            if not is_there():
                return None
            writes = writer(folder) is not None
            if look == LOOKS - 1 or (look and not writes):
                return error
            time.sleep(BETWEEN if writes else 0)
        else:
            return None
    return None


def _check(folder: Path, checkpoint: Path) -> None:
    for _ in ended_files(folder, read(checkpoint).state):
        pass


def _is_listed(folder: Folder, name: str) -> bool:
    try:
        return name in folder.manifest.files
    except RunError:
        return True
