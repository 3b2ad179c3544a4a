"""One writer a run: a second one is refused by name, readers are not disturbed, and a lock outlives nobody."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest
from process_cases import DATA, LONG, ended, started, wait_for
from shell import Shell

from stackae.errors import RunError
from stackae.runs import Folder
from stackae.runs.verify import damages


@pytest.fixture
def training(fresh: Shell) -> Iterator[Shell]:
    """A shell beside a live process that trains runs/it."""
    with started(fresh, "pretrain", *DATA, "--epochs", LONG, "--checkpoint-every", "0") as process:
        wait_for("layer 1/2 8-6-8  epoch 3/", fresh.folder / "runs" / "it" / "log.txt", process)
        fresh.process = process
        yield fresh
        process.kill()


def test_a_second_writer_is_refused_by_name_and_the_first_goes_on(training: Shell) -> None:
    writers = (
        ("resume", "runs/it"),
        ("pretrain", *DATA, "--run", "runs/it", "--resume", "--epochs", LONG),
        ("pretrain", *DATA, "--run", "runs/it", "--force"),
    )
    for command in writers:
        refused = training(*command)
        assert refused.code == 4, refused.err
        assert (
            f"got process {training.process.pid} on " in refused.err and "expected to be its only writer" in refused.err
        )
    assert training.process.poll() is None
    training.process.send_signal(signal.SIGINT)
    assert ended(training.process)[0] == 130 and damages(training.folder / "runs" / "it") == []


def test_runs_are_listed_and_shown_while_one_is_written(training: Shell) -> None:
    for _ in range(5):
        (listed,) = json.loads(training.does("runs", "list", "--json"))["runs"]
        assert listed["status"] == "unfinished" and listed["detail"].startswith("layer1, epoch")
        assert json.loads(training.does("runs", "show", "runs/it", "--json"))["status"] == "unfinished"


def test_the_lock_of_a_process_that_was_killed_hinders_nobody(training: Shell) -> None:
    training.process.kill()
    training.process.wait()
    run = training.folder / "runs" / "it"
    assert (run / "lock").exists()
    with Folder(run).writing():
        pass


def test_a_lock_is_this_process_s_own_however_often_it_is_taken(trained: Shell) -> None:
    folder = Folder(trained.run)
    with folder.writing(), Folder(trained.folder / "runs" / "latest").writing():
        folder.publish({"note.txt": b"1"})
    assert folder.read("note.txt") == b"1"


def test_a_link_in_the_place_of_the_lock_is_not_followed(trained: Shell) -> None:
    (trained.run / "lock").unlink()
    (trained.run / "lock").symlink_to("/etc/hostname")
    with pytest.raises((RunError, Exception), match="lock"), Folder(trained.run).writing():
        pass
