"""Remove checkpoints that are no longer needed, and leftovers of killed programs, if they hold nothing else."""

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
    """List the ``numbered`` checkpoints of one command."""
    labels = {"pretrain": ("pretrain-", "layer"), "finetune": ("finetune-", *(f"{head}-" for head in HEADS))}[command]
    return [(number, path) for number, path in numbered(folder) if path.name.partition("-")[2].startswith(labels)]


def prune(folder: Path, command: str, begun: int, done: bool) -> None:
    """Keep the newest two checkpoints, the first, and the ends of stages; of complete work, the first and the ends.

    Work of the same command that began before ``begun`` is removed when the new work is complete.
    """
    entries = of_command(folder, command)
    for number, path in entries if done else entries[:-2]:
        if not path.name.endswith(("-begin", "-end")) or (done and number < begun):
            with suppress(DiskError, RunError):  # a spare one costs only space; the next write reports why
                remove_checkpoint(path)


def remove_after(folder: Path, command: str, number: int) -> None:
    """Remove the checkpoints of a command that are newer than the one that is resumed: they are damaged."""
    for later, path in of_command(folder, command):
        if later > number:
            remove_checkpoint(path)


def files_of(path: Path) -> list[str] | None:
    """Return the names of a checkpoint's files, whole or damaged; None if it holds anything that is not stackae's."""
    if path.is_symlink() or not path.is_dir():
        return None
    found = list(path.iterdir())
    own = all(OWN.fullmatch(each.name) and each.is_file() and not each.is_symlink() for each in found)
    return [each.name for each in found] if own else None


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint, whole or damaged.

    Raises:
        RunError: it holds foreign files. DiskError: it cannot be removed.
    """
    if files_of(path) is None:
        raise RunError(f"{path}: expected a folder of a checkpoint's files alone, got something else; move it away")
    remove_folder(path)


def remove_if_empty(folder: Path) -> None:
    """Remove the folder of checkpoints if it is empty."""
    with suppress(OSError):
        (folder / FOLDER).rmdir()


def remove_unfinished(folder: Path) -> None:
    """Remove files and checkpoints that a killed program was writing or removing."""
    inside = folder / FOLDER
    for each in (folder, *(() if inside.is_symlink() else (inside,))):
        for path in each.iterdir() if each.is_dir() else ():
            if is_temporary(path):
                remove_temporary(path)
