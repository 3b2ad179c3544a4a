"""Disks that are full, limited, read-only or gone: exit 7, one sentence with the bytes, the last checkpoint intact."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from fault_cases import PRETRAIN, result, stopped_at
from shell import Shell, write_data

from stackae.runs.checkpoints import latest, numbered
from stackae.runs.places import unfinished
from stackae.runs.verify import damages

SENTENCE = re.compile(r"error: \S+: expected to write [\d,]+ bytes, got '(.*)' with [\d,]+ bytes free; (.*)")
WIDE = ("pretrain", "--layers", "8,3000,2000", "--data", "labelled.npz", "--epochs", "2", "--checkpoint-every", "0")


def mounted(folder: Path, *options: str) -> bool:
    folder.mkdir(exist_ok=True)
    command = ["mount", *options, str(folder)]
    return shutil.which("mount") is not None and subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Shell]:
    """A shell in a file system of 8 MB of its own."""
    folder = tmp_path / "disk"
    if not mounted(folder, "-t", "tmpfs", "-o", "size=8m", "tmpfs"):
        pytest.skip("mounting a small file system takes rights that this process has not")
    write_data(folder)
    yield Shell(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_keeps_the_last_checkpoint(small_disk: Shell) -> None:
    small_disk.does(*PRETRAIN)
    want = result(small_disk.folder / "runs" / "it")
    shutil.rmtree(small_disk.folder / "runs" / "it")
    filler = small_disk.folder / "filler"

    def fill(requests: object) -> None:
        free = shutil.disk_usage(small_disk.folder).free
        filler.write_bytes(b"\0" * max(0, free - 4096))

    with stopped_at(5, fill), patch("stackae.training.trainer.REPORTED_EVERY", -1.0):
        ended = small_disk(*PRETRAIN)
    run = small_disk.folder / "runs" / "it"
    assert ended.code == 7 and SENTENCE.search(ended.err)[1] == "No space left on device", ended.err
    assert "free some space" in ended.err and "resume it by:  stackae resume runs/it" in ended.err
    assert damages(run) == [] and unfinished(run) and not list(run.rglob(".*.tmp"))
    filler.unlink()
    small_disk.does("resume", "runs/it", "--checkpoint-every", "0")
    found = result(run)
    assert {name for name in found if found[name] != want.get(name)} <= {"manifest.json"}


def test_a_new_run_on_a_full_disk_leaves_nothing(small_disk: Shell) -> None:
    (small_disk.folder / "filler").write_bytes(b"\0" * (shutil.disk_usage(small_disk.folder).free - 8192))
    sentence = small_disk.refuses(7, *PRETRAIN)
    assert "No space left on device" in sentence and not (small_disk.folder / "runs" / "it").exists()


@pytest.mark.parametrize("limit", [200_000, 2_000_000])
def test_a_limit_on_the_size_of_files(fresh: Shell, limit: int) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    line = [sys.executable, "-m", "stackae.cli.main", *WIDE, "--run", "runs/it", "--device", "cpu"]
    ended = subprocess.run(line, cwd=fresh.folder, capture_output=True, text=True, preexec_fn=limited, timeout=120)
    assert ended.returncode == 7, ended.stderr
    found = SENTENCE.search(ended.stderr)
    assert found[1] == "File too large" and "ulimit -f" in found[2]
    run = fresh.folder / "runs" / "it"
    assert not run.exists() or (damages(run) == [] and latest(run, None, pytest.fail) is not None)


def test_a_folder_that_vanishes_under_a_training(fresh: Shell) -> None:
    run = fresh.folder / "runs" / "it"

    def vanish(requests: object) -> None:
        shutil.rmtree(run)

    with stopped_at(4, vanish):
        ended = fresh(*PRETRAIN)
    assert ended.code == 7 and "Traceback" not in ended.err, ended.err
    assert SENTENCE.search(ended.err), ended.err


@pytest.fixture
def read_only(trained: Shell) -> Iterator[Shell]:
    """A trained run in a file system that turned read-only."""
    folder = trained.folder
    if not mounted(folder, "--bind", str(folder)) or not mounted(folder, "-o", "remount,ro,bind"):
        pytest.skip("mounting a folder again takes rights that this process has not")
    yield trained
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_read_only_disk_is_read_and_not_written(read_only: Shell) -> None:
    for command in ("finetune", "evaluate", "encode", ("resume", "runs/first"), (*PRETRAIN, "--run", "runs/new")):
        arguments = (command,) if isinstance(command, str) else command
        ended = read_only(*arguments)
        assert ended.code == 7 and "Read-only file system" in ended.err and "Traceback" not in ended.err, ended.err
    for command in (("runs", "list"), ("runs", "show"), ("runs", "verify")):
        read_only.does(*command)


def test_a_working_folder_that_cannot_be_written_is_found_out_before_training(
    read_only: Shell, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "new"
    made = read_only(*PRETRAIN, "--run", str(elsewhere))
    assert made.code == 0 and (elsewhere / "layer2.safetensors").exists(), made.err
    assert "runs/latest cannot be written, and will not point at this run: name it by --run" in made.err
    assert read_only.run.name == "first"
    with patch("stackae.workflows.sweeping._train", side_effect=AssertionError("it trained")):
        swept = read_only("sweep", "--widths", "2,4", "--data", "labelled.npz", "--out", "swept")
    assert swept.code == 7 and "Read-only file system" in swept.err, swept.err


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_a_folder_without_permission_to_write(trained: Shell) -> None:
    trained.run.chmod(0o555)
    try:
        sentence = trained.refuses(7, "evaluate")
        assert "Permission denied" in sentence and "change its permissions" in sentence
    finally:
        trained.run.chmod(0o755)


def test_a_write_that_fails_between_two_good_ones_loses_only_itself(fresh: Shell) -> None:
    run = fresh.folder / "runs" / "it"
    with patch("stackae.runs.durable._write", side_effect=OSError(28, "No space left on device")), stopped_at(1, id):
        assert fresh(*PRETRAIN).code == 7
    assert not run.exists()
    fresh.does(*PRETRAIN)
    assert [path.name.partition("-")[2] for _, path in numbered(run)] == ["pretrain-begin", "layer1-end", "layer2-end"]
