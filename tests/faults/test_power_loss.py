"""Power that fails after any operation of a training loses no checkpoint that was reported as saved."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
from fault_cases import ALL, BRIEF, SHORT, a_step_a_call, result
from fault_disk import Disk, Operation
from fault_power import Model
from shell import Shell, write_data

from stackae.runs import latest
from stackae.runs.checkpoints import write_checkpoint
from stackae.runs.folder import Folder
from stackae.runs.verify import damages

EVERY = 1 if ALL else 12


class Recorded(NamedTuple):
    """A pretraining and a fine-tuning: all operations, and after which what was reported as saved."""

    shell: Shell
    operations: list[Operation]
    checkpoints: list[tuple[int, int]]
    files: list[tuple[int, set[str]]]
    expected: dict[str, Any]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    shell = Shell(tmp_path_factory.mktemp("recorded"))
    write_data(shell.folder)
    (shell.folder / "runs").mkdir()
    disk = Disk(shell.folder / "runs")
    checkpoints, files, published = list[tuple[int, int]](), list[tuple[int, set[str]]](), Folder.publish

    def written(folder: Path, number: int, *arguments: Any) -> None:
        write_checkpoint(folder, number, *arguments)
        checkpoints.append((len(disk.operations), number))

    def publish(folder: Folder, given: dict[str, bytes], *arguments: Any, **named: Any) -> None:
        published(folder, given, *arguments, **named)
        files.append((len(disk.operations), set(given)))

    with pytest.MonkeyPatch.context() as patched, a_step_a_call(), disk.watched():
        patched.setattr("stackae.runs.checkpointer.write_checkpoint", written)
        patched.setattr(Folder, "publish", publish)
        shell.does(*BRIEF)
        shell.does("finetune", *SHORT)
    return Recorded(shell, disk.operations, checkpoints, files, result(shell.folder / "runs" / "it"))


def check(recorded: Recorded, runs: Path, count: int) -> None:
    """What was reported after at most ``count`` operations is there, and nothing that is there is damaged."""
    run, passed = runs / "it", list[Exception]()
    told = max((number for at, number in recorded.checkpoints if at <= count), default=0)
    newest = latest(run, None, passed.append)
    assert not passed and (newest.number if newest else 0) >= told, passed
    names = {name for at, files in recorded.files if at <= count for name in files}
    if names or (run / "manifest.json").exists():
        assert not damages(run) and names <= Folder(run).manifest.files.keys()


def test_whatever_was_not_synced_is_lost(recorded: Recorded, tmp_path: Path, figures: dict[str, int]) -> None:
    model, where = Model(recorded.shell.folder / "runs"), tmp_path / "runs"
    for count, operation in enumerate([None, *recorded.operations]):
        if operation is not None:
            model.apply(operation)
        if count % EVERY:
            continue
        for name, changes, torn in model.states():
            model.write(where, changes, torn)
            try:
                check(recorded, where, count)
            except AssertionError as error:
                raise AssertionError(f"after {count} operations, {operation}: {name}") from error
            shutil.rmtree(where)
            figures["states of a disk that lost its power"] += 1


def test_what_is_left_goes_on_to_the_same_bytes(recorded: Recorded, figures: dict[str, int]) -> None:
    chosen, runs = random.Random(0), recorded.shell.folder / "runs"
    for end in sorted(chosen.sample(range(len(recorded.operations)), 60 if ALL else 6)):
        model = Model(runs)
        for operation in recorded.operations[:end]:
            model.apply(operation)
        name, changes, torn = chosen.choice(list(model.states()))
        shutil.rmtree(runs, ignore_errors=True)
        model.write(runs, changes, torn)
        with a_step_a_call():
            recorded.shell.does(*BRIEF, "--resume")
            if not (runs / "it" / "classifier.safetensors").exists():
                recorded.shell.does("finetune", *SHORT)
        assert result(runs / "it") == recorded.expected, (end, recorded.operations[end], name)
        figures["resumptions after a loss of power"] += 1


def test_the_model_loses_what_is_written_without_syncing(tmp_path: Path) -> None:
    """A writer that forgets one fsync is found: the model is no better than the disk it stands for."""
    from stackae.runs import durable

    for forgotten in ("fsync", "_sync_folder"):
        root = tmp_path / forgotten
        root.mkdir()
        disk = Disk(root)
        skipped = patch("os.fsync" if forgotten == "fsync" else "stackae.runs.durable._sync_folder", lambda where: None)
        with disk.watched(), skipped:
            durable.write_whole(root / "file", b"new")
        model = Model(root)
        for operation in disk.operations:
            model.apply(operation)
        found = set()
        for number, (_, changes, torn) in enumerate(model.states()):
            model.write(tmp_path / f"{forgotten}{number}", changes, torn)
            path = tmp_path / f"{forgotten}{number}" / "file"
            found.add(path.read_bytes() if path.exists() else None)
        assert found == ({b"new", b"n", b"", bytes(3), None} if forgotten == "fsync" else {b"new", None}), found
