"""Laws of readers beside a training: what it replaces or gives up between two looks is neither damaged nor missing."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from cli_cases import says
from shell import Shell

from stackae.errors import RunError
from stackae.runs import Folder
from stackae.runs.checkpoints import newest_state, numbered, read_listed
from stackae.runs.lock import writer
from stackae.runs.pruning import remove_checkpoint
from stackae.runs.summary import bytes_on_disk, summarize
from stackae.runs.verify import damages

Between = Callable[[], None]


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Between]]:
    """What happens once, between the look at a manifest and the look at a file that it lists."""
    waiting: list[Between] = []

    def late(*arguments: Any, **named: Any) -> Any:
        while waiting:
            waiting.pop()()
        return read_listed(*arguments, **named)

    for module in ("folder", "checkpoints"):
        monkeypatch.setattr(f"stackae.runs.{module}.read_listed", late)
    yield waiting


@contextmanager
def held_elsewhere(run: Path) -> Iterator[None]:
    """As if another process wrote to it."""
    with (run / "lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_a_file_that_is_replaced_twice_between_two_looks_is_read(trained: Shell, between: list[Between]) -> None:
    folder = Folder(trained.run)
    folder.publish({"note": b"first"})

    def replaced() -> None:
        folder.publish({"note": b"second"})
        folder.publish({"note": b"third"})

    between.append(replaced)
    assert folder.read("note") == b"third"


def test_a_file_that_is_damaged_is_damaged_at_every_look(trained: Shell) -> None:
    folder = Folder(trained.run)
    folder.publish({"note": b"first"})
    (trained.run / "note").write_bytes(b"other")
    with pytest.raises(RunError, match="a damaged file"):
        folder.read("note")
    assert [str(each) for each in damages(trained.run) if "note" in str(each)]


def test_a_checkpoint_that_is_given_up_between_two_looks_is_not_damaged(
    trained: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = numbered(trained.run)[1][1]
    listed = numbered(trained.run)
    monkeypatch.setattr("stackae.runs.verify.numbered", lambda folder: listed)
    remove_checkpoint(given_up)
    assert damages(trained.run) == []


def test_the_newest_state_is_found_though_those_that_were_listed_are_given_up(
    trained: Shell, between: list[Between]
) -> None:
    newest = numbered(trained.run)[-1][1]

    def given_up() -> None:
        shutil.copytree(newest, newest.with_name("000009-classifier-end"))
        for _, path in numbered(trained.run)[:-1]:
            remove_checkpoint(path)

    between.append(given_up)
    assert newest_state(trained.run).work.command == "finetune"


class Vanished:
    """A file that was listed, and is there no more."""

    def stat(self, *, follow_symlinks: bool) -> NoReturn:
        raise FileNotFoundError


def test_a_folder_is_measured_though_files_vanish(trained: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, real = bytes_on_disk(trained.run), os.scandir

    @contextmanager
    def listed(path: str) -> Iterator[list[object]]:
        with real(path) as entries:
            yield [Vanished(), *entries]

    monkeypatch.setattr("os.scandir", listed)
    assert bytes_on_disk(trained.run) == whole


def test_readers_beside_a_writer_without_pause_find_nothing_damaged(trained: Shell) -> None:
    folder, ended, found = Folder(trained.run), threading.Event(), list[object]()
    newest = numbered(trained.run)[-1][1]

    def writes() -> None:
        number = 10
        with folder.writing():
            while not ended.is_set():
                number += 1
                folder.publish({"note": str(number).encode(), "other": b"x" * number})
                shutil.copytree(newest, newest.with_name(f".{number}"))
                newest.with_name(f".{number}").rename(newest.with_name(f"{number:06d}-classifier-epoch1"))
                for _, path in numbered(trained.run)[5:-2]:
                    remove_checkpoint(path)

    thread = threading.Thread(target=writes)
    thread.start()
    try:
        for _ in range(40):
            found += damages(trained.run)
            assert summarize(trained.run).status in ("complete", "unfinished")
            folder.read("metrics.jsonl")
    finally:
        ended.set()
        thread.join()
    assert found == []


def test_a_run_that_is_written_to_is_said_to_be_and_resume_is_not_the_advice(trained: Shell) -> None:
    assert writer(trained.run) is None
    with held_elsewhere(trained.run):
        says(trained.does("runs", "verify"), "every file is as it was written; process ", " writes to it now")
        (trained.run / "layer1.safetensors").write_bytes(b"")
        ended = trained("runs", "verify")
        says(ended.err, "; stop process ", ", which writes to it now; then `stackae resume ")
    assert writer(trained.run) is None
    assert "writes to it now" not in trained("runs", "verify").err


def test_a_run_that_has_only_begun_is_not_damaged_while_it_is_written_to(trained: Shell) -> None:
    (trained.run / "manifest.json").unlink()
    with held_elsewhere(trained.run):
        assert damages(trained.run) == []
        assert json.loads(trained.does("runs", "list", "--json"))["runs"][0]["status"] == "unfinished"
    assert damages(trained.run) != []
