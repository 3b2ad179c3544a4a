"""Whether everything that a run folder holds is as it was written."""

from __future__ import annotations

from pathlib import Path

from stackae.errors import RunError
from stackae.runs.checkpoints import ended_files, numbered, read
from stackae.runs.folder import Folder
from stackae.runs.places import seed_runs


def damages(path: Path) -> list[RunError]:
    """What is wrong with the files of a run, of the runs in a folder, and of their checkpoints."""
    found = damaged_files(path) + damaged_checkpoints(path)
    for run in seed_runs(path):
        found += damages(run)
    return found


def damaged_files(path: Path) -> list[RunError]:
    """Of the listed files of one folder."""
    folder = Folder(path)
    try:
        names = list(folder.manifest.files)
    except RunError as error:
        return [error]
    return [damage for name in names if (damage := _damage(folder, name)) is not None]


def _damage(folder: Folder, name: str) -> RunError | None:
    try:
        folder.check(name)
    except RunError as error:
        return error
    return None


def damaged_checkpoints(path: Path) -> list[RunError]:
    """Of all the checkpoints of one folder."""
    found = []
    for _, checkpoint in numbered(path):
        try:
            for _ in ended_files(path, read(checkpoint).state):
                pass
        except RunError as error:
            found.append(error)
    return found
