"""Restore damaged or lost checkpoints that are kept for good, from a later one of the same work."""

from __future__ import annotations

import os
from pathlib import Path

from stackae.errors import RunError
from stackae.runs.checkpoints import FOLDER, Checkpoint, ended_files, read, write_checkpoint
from stackae.runs.pruning import of_command, remove_checkpoint


def behind(folder: Path, checkpoint: Checkpoint) -> bool:
    """Return whether a newer checkpoint of the same work exists (a damaged one, which no later one can restore)."""
    return any(number > checkpoint.number for number, _ in of_command(folder, checkpoint.state.work.command))


def made_again(folder: Path, later: Checkpoint) -> list[Path]:
    """Restore the first checkpoint and the stage ends before ``later`` that are not whole, byte for byte."""
    state, found = later.state, []
    ends = [(next(iter(results.values())).checkpoint, f"{stage}-end") for stage, results in state.ended.items()]
    for stages, (number, label) in enumerate([(state.begun, f"{state.work.command}-begin"), *ends]):
        path = folder / FOLDER / f"{number:06d}-{label}"
        if number < later.number and not _whole(path):
            ended = dict(list(state.ended.items())[:stages])
            files = {index: content for stage, index, content in ended_files(folder, state) if f"{stage}-end" == label}
            if os.path.lexists(path):
                remove_checkpoint(path)
            write_checkpoint(folder, number, label, state.model_copy(update={"ended": ended, "stage": None}), files)
            found.append(path)
    return found


def _whole(path: Path) -> bool:
    try:
        read(path)
    except RunError:
        return False
    return True
