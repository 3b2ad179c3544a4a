"""Laws of names of runs and checkpoints: numbers of any length, paths with spaces in commands that are suggested."""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path

import pytest
from cli_cases import PRETRAIN
from shell import Shell

from stackae.errors import DiskError, suggested
from stackae.runs import durable, latest
from stackae.runs.checkpoints import numbered

SPACED = "runs/a b's $HOME"


# ---- numbers


def test_checkpoint_numbers_of_13_digits_are_read_pruned_and_gone_on_with(trained: Shell) -> None:
    last = numbered(trained.run)[-1][1]
    last.rename(last.with_name(f"{10**12 - 1}-{last.name.partition('-')[2]}"))
    trained.does("finetune", "--checkpoint-every", "0", "--batch-size", "10")
    numbers = [number for number, _ in numbered(trained.run)]
    assert all(number < 10 for number in numbers[:3]) and all(number >= 10**12 for number in numbers[3:])
    labels = [path.name.partition("-")[2] for _, path in numbered(trained.run)]
    assert labels == ["pretrain-begin", "layer1-end", "layer2-end", "finetune-begin", "classifier-end"]
    newest = latest(trained.run, "finetune", pytest.fail)
    assert newest is not None and newest.number == numbers[-1]


def test_a_number_that_no_other_can_follow_is_refused_by_name(trained: Shell) -> None:
    last = numbered(trained.run)[-1][1]
    last.rename(last.with_name(f"{10**18 - 1}-{last.name.partition('-')[2]}"))
    ended = trained("finetune", "--epochs", "3")
    assert ended.code == 4
    assert "expected checkpoints with numbers of at most 18 digits, got 999999999999999999; remove the one" in ended.err


# ---- paths in commands


@pytest.mark.parametrize("name", ["a b", "it's", "$HOME", "a;b", "x`y`", 'a"b', "plain", "-rf *"])
def test_a_suggested_command_is_read_by_a_shell_as_it_was_meant(name: str) -> None:
    assert shlex.split(suggested("resume", Path("runs") / name)) == ["stackae", "resume", f"runs/{name}"]


def test_every_command_that_is_suggested_for_a_path_with_spaces_can_be_given(fresh: Shell) -> None:
    def command_in(text: str, start: str) -> list[str]:
        return shlex.split(text[text.index(start) + len(start) :].splitlines()[0])

    fresh.does(*PRETRAIN, "--run", "runs/plain")
    said = fresh.does(*PRETRAIN, "--run", SPACED)
    assert command_in(said, "next        stackae ") == ["finetune", "--head", "classifier"]
    fresh.does(*PRETRAIN, "--run", "runs/plain", "--force")
    for command in (("runs", "list"), ("runs", "show", SPACED), ("resume", SPACED), ("encode", "--run", SPACED)):
        following = command_in(fresh.does(*command), "next        stackae ")
        assert SPACED in following or following[-1] == "runs/plain", following
        fresh.does(*following)
    (fresh.folder / SPACED / "layer1.safetensors").write_bytes(b"")
    ended = fresh("runs", "verify", SPACED)
    assert ended.code == 4
    advice = shlex.split(ended.err[ended.err.rindex("`stackae ") :].split("`")[1])
    assert advice == ["stackae", "resume", str(fresh.folder / SPACED)]
    fresh.does(*advice[1:])


# ---- folders that cannot be synced


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_file_system_that_syncs_no_folders_is_written_to_and_one_that_fails_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = os.fsync

    def of_files_alone(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_dir():
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr("os.fsync", of_files_alone)
    if number == errno.EIO:
        with pytest.raises(DiskError, match="Input/output error"):
            durable.write_whole(tmp_path / "file", b"new")
        return
    durable.write_whole(tmp_path / "file", b"new")
    durable.write_folder(tmp_path / "folder", {"file": b"new"})
    assert (tmp_path / "file").read_bytes() == (tmp_path / "folder" / "file").read_bytes() == b"new"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_file_whose_own_content_cannot_be_synced_is_not_called_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", refused)
    with pytest.raises(DiskError):
        durable.write_whole(tmp_path / "file", b"new")
    assert not (tmp_path / "file").exists()
