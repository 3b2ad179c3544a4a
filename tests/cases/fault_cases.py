"""Runs that are stopped, killed and cut, and what is left of them: what the tests of this folder share."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from shell import LAYERS, Shell

from stackae.runs import DiskCheckpointer
from stackae.runs.manifest import Manifest

ALL = os.environ.get("STACKAE_FAULTS") == "all"
"""Whether every fault is tried, as ``make faults`` does, or enough of them for every day."""

PRETRAIN = (
    "pretrain", "--layers", LAYERS, "--data", "labelled.npz", "--run", "runs/it", "--epochs", "4", "--batch-size",
    "16", "--corruption", "masking:0.3,gaussian:0.2", "--sparsity", "kl:0.2:0.1,l1:0.01", "--patience", "2",
    "--learning-rate", "0.5,0.02", "--checkpoint-every", "0",
)  # fmt: skip
FINETUNE = ("finetune", "--run", "runs/it", "--epochs", "3", "--batch-size", "16", "--checkpoint-every", "0")
SHORT = ("--epochs", "1", "--batch-size", "16", "--checkpoint-every", "0")
BRIEF = ("pretrain", "--layers", LAYERS, "--data", "labelled.npz", "--run", "runs/it", *SHORT)
RESUME = ("resume", "runs/it", "--checkpoint-every", "0")


@contextmanager
def a_step_a_call() -> Iterator[None]:
    """Training may be stopped after every step."""
    with patch("stackae.training.trainer.REPORTED_EVERY", -1.0):
        yield


@contextmanager
def stopped_at(pause: int, by: Callable[[Any], None]) -> Iterator[list[int]]:
    """At the ``pause``-th time that training may be stopped, ``by`` is called with the checkpointer's requests."""
    seen = [0]
    original = DiskCheckpointer.pause

    def counted(checkpointer: DiskCheckpointer, *arguments: Any, **named: Any) -> None:
        seen[0] += 1
        if seen[0] == pause:
            by(checkpointer._requests)
        original(checkpointer, *arguments, **named)

    with patch.object(DiskCheckpointer, "pause", counted):
        yield seen


def result(run: Path) -> dict[str, bytes | object]:
    """Every file of a run that a rerun makes again to the bit, by name; of checkpoints, their weights and moments.

    Left out: the log; how long epochs took; and how many checkpoints there were on the way, which number the rest.
    """
    found: dict[str, bytes | object] = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        unfinished = any(part.startswith(".") for part in path.relative_to(run).parts[:-1])
        if path.is_dir() or path.name in ("log.txt", "lock") or unfinished:
            continue
        if name == "manifest.json":
            found[name] = Manifest.unpack(path.read_bytes()).files
        elif name.startswith("checkpoints"):
            label = path.parent.name.partition("-")[2]
            if path.suffix == ".safetensors":
                found[f"{label}/{path.name}"] = path.read_bytes()
            elif path.name == "state.json":
                found[f"{label}/{path.name}"] = _without_numbers(json.loads(path.read_bytes()))
        else:
            found[name] = path.read_bytes()
    return found


def _without_numbers(document: Any) -> Any:
    if isinstance(document, dict):
        numbering = ("begun", "checkpoint", "seconds", "rows_per_second")
        return {name: _without_numbers(each) for name, each in document.items() if name not in numbering}
    return [_without_numbers(each) for each in document] if isinstance(document, list) else document


def copied(shell: Shell, folder: Path) -> Shell:
    """The same folder somewhere else, to be spoilt."""
    shutil.copytree(shell.folder, folder, symlinks=True, dirs_exist_ok=True)
    return Shell(folder)
