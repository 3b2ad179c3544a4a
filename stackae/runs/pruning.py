"""Checkpoints that are not needed any more, and what killed programs left: removed, where nothing else is in them."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from stackae.config.heads import HEADS
from stackae.errors import DiskError, RunError
from stackae.runs.checkpoints import FOLDER, numbered
from stackae.runs.durable import is_temporary, remove_folder, remove_temporary

OWN = re.compile(r"manifest\.json|state\.json|[0-9]{1,9}\.safetensors")


def of_command(folder: Path, command: str) -> list[tuple[int, Path]]:
    """``numbered``, of one kind of work."""
    labels = {"pretrain": ("pretrain-", "layer"), "finetune": ("finetune-", *(f"{head}-" for head in HEADS))}[command]
    return [(number, path) for number, path in numbered(folder) if path.name.partition("-")[2].startswith(labels)]


def prune(folder: Path, command: str, begun: int, done: bool) -> None:
    """Leaves the last two and, for good, the beginning and the ends of stages; of work that is done these alone.

    Work of the same kind that began before ``begun`` is given up when the new is done.
    """
    entries = of_command(folder, command)
    for number, path in entries if done else entries[:-2]:
        if not path.name.endswith(("-begin", "-end")) or (done and number < begun):
            with suppress(DiskError, RunError):  # one too many costs space alone; the next write tells what is wrong
                remove_checkpoint(path)


def remove_after(folder: Path, command: str, number: int) -> None:
    """Checkpoints of a kind that are newer than the one that is gone on from: damaged ones."""
    for later, path in of_command(folder, command):
        if later > number:
            remove_checkpoint(path)


def files_of(path: Path) -> list[str] | None:
    """The names of a checkpoint's files, whole or not; None where anything else lies there, which is not stackae's."""
    if path.is_symlink() or not path.is_dir():
        return None
    found = list(path.iterdir())
    own = all(OWN.fullmatch(each.name) and each.is_file() and not each.is_symlink() for each in found)
    return [each.name for each in found] if own else None


def remove_checkpoint(path: Path) -> None:
    """Removes one, whole or not.

    Raises:
        RunError: it holds what is not a checkpoint's. DiskError: it cannot be removed.
    """
    if files_of(path) is None:
        raise RunError(f"{path}: expected a folder of a checkpoint's files alone, got something else; move it away")
    remove_folder(path)


def remove_if_empty(folder: Path) -> None:
    """The folder of checkpoints, where there is none in it."""
    with suppress(OSError):
        (folder / FOLDER).rmdir()


def remove_unfinished(folder: Path) -> None:
    """What a program that was killed left of files and checkpoints that it was writing or removing."""
    inside = folder / FOLDER
    for each in (folder, *(() if inside.is_symlink() else (inside,))):
        for path in each.iterdir() if each.is_dir() else ():
            if is_temporary(path):
                remove_temporary(path)
