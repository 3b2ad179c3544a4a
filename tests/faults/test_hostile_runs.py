"""Run folders from strangers, with manifests that agree with them: refused in a sentence, or harmless.

Whatever lies in a folder, no command runs code from it, writes outside of it, waits for it, takes much memory for it,
or ends with a traceback.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from fault_cases import ALL, FINETUNE, PRETRAIN, RESUME, a_step_a_call, copied, stopped_at
from hostile_cases import (
    CHECKPOINT_CASES,
    RUN_CASES,
    beside,
    elsewhere,
    links_to_be_written,
    newest,
    pipes_to_be_written,
    replaced,
)
from shell import UNREAD, Shell, write_data

SECONDS = 30
MEMORY = 1 << 28


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """runs/it is done, runs/stopped was stopped in its second layer, runs/tuning in its fine-tuning."""
    shell = Shell(tmp_path_factory.mktemp("strangers"))
    write_data(shell.folder)
    run = shell.folder / "runs" / "it"
    stop = stopped_at
    with a_step_a_call():
        with stop(18, lambda requests: setattr(requests, "stop", 2)):
            assert shell(*PRETRAIN).code == 130
        shutil.copytree(run, shell.folder / "runs" / "stopped")
        shell.does(*RESUME)
        with stop(4, lambda requests: setattr(requests, "stop", 2)):
            assert shell(*FINETUNE).code == 130
        shutil.copytree(run, shell.folder / "runs" / "tuning")
        shell.does(*RESUME)
    return shell


class TooLongError(BaseException):
    pass


@contextmanager
def bounded() -> Iterator[None]:
    """Neither time nor memory is taken without bounds."""

    def late(*arguments: Any) -> NoReturn:
        raise TooLongError

    Path("/proc/self/clear_refs").write_text("5")
    before, handler = _peak(), signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
    assert _peak() - before < MEMORY


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


COMMANDS = (
    ("runs", "list"),
    ("runs", "show", "RUN"),
    ("runs", "verify", "RUN"),
    ("runs", "compare", "RUN", "runs/other", "--out", "compared.png"),
    ("evaluate", "--run", "RUN"),
    ("encode", "--run", "RUN", "--out", "encoded.npy"),
    ("encode", "--run", "RUN", "--out", "encoded.npy", "--weights", "finetuned"),
    ("reconstruct", "--run", "RUN", "--out", "drawn.png"),
    ("score", "--run", "RUN", "--data", "unlabelled.npy", "--out", "found.csv"),
    ("finetune", "--run", "RUN", "--epochs", "1"),
    ("resume", "RUN"),
    ("resume", "RUN"),
    ("runs", "verify", "RUN"),
)
OF_CHECKPOINTS = tuple(each for each in COMMANDS if each[0] in ("finetune", "resume") or each[:2] == ("runs", "verify"))
"""Those that open checkpoints; the others read what a run published, and `make faults` tries them too."""
OUTPUT = ("compared.png", "encoded.npy", "drawn.png", "found.csv", "found-features.csv", "found.png")


def tried(shell: Shell, name: str, refused: tuple[int, ...] = (2, 3, 4), commands: Any = COMMANDS) -> dict[str, int]:
    """How each command ends on runs/NAME; outside of that folder nothing has changed."""
    codes = {}
    before = outside(shell, name)
    for number, command in enumerate(commands):
        with bounded():
            ended = shell(*(f"runs/{name}" if word == "RUN" else word for word in command))
        assert ended.code in (0, *refused), (command, ended.err)
        told = ended.out + ended.err
        assert "Traceback" not in told and all(each.isprintable() for each in told.replace("\n", ""))
        assert "error: forged" not in [line[:13] for line in told.splitlines()]
        assert [line[:7] for line in ended.err.splitlines()].count("error: ") == (ended.code != 0), ended.err
        codes[f"{number} {' '.join(command[:2])}"] = ended.code
        for output in OUTPUT:
            (shell.folder / output).unlink(missing_ok=True)
    assert outside(shell, name) == before
    assert not (shell.folder / "pickle-ran").exists()
    return codes


def outside(shell: Shell, name: str) -> dict[str, bytes]:
    """What lies beside the run, which itself may hold what is not to be opened."""
    hidden, run = (shell.folder / "runs" / f".{name}.tmp"), shell.folder / "runs" / name
    found = {}
    for folder, folders, files in os.walk(shell.folder):
        folders[:] = [each for each in folders if Path(folder, each) not in (run, hidden)]
        files = [each for each in files if each not in (*UNREAD, "latest")]
        found |= {str(Path(folder, each)): Path(folder, each).read_bytes() for each in files}
        found |= {str(Path(folder, each)): b"" for each in folders if each != "latest"}
    return found


def prepared(runs: Shell, tmp_path: Path, name: str) -> Shell:
    shell = copied(runs, tmp_path)
    for each in ("it", "stopped", "tuning"):
        if each != name:
            shutil.rmtree(shell.folder / "runs" / each)
    shutil.copytree(runs.folder / "runs" / "it", shell.folder / "runs" / "other")
    return shell


@pytest.mark.parametrize("case", RUN_CASES)
def test_a_run_of_a_stranger(runs: Shell, tmp_path: Path, case: str, figures: dict[str, int]) -> None:
    shell = prepared(runs, tmp_path, "it")
    RUN_CASES[case](shell.folder / "runs" / "it")
    codes = tried(shell, "it", (2, 3, 4, 7) if "folder" in case else (2, 3, 4))  # a folder is not removed for a file
    assert any(codes.values()), codes
    figures["hostile runs, refused"] += 1


@pytest.mark.parametrize("name", ["it", "stopped", "tuning"])
@pytest.mark.parametrize("made", [elsewhere, links_to_be_written, pipes_to_be_written])
def test_nothing_is_written_elsewhere(
    runs: Shell, tmp_path: Path, made: Callable[[Path], object], name: str, figures: dict[str, int]
) -> None:
    shell = prepared(runs, tmp_path, name)
    made(shell.folder / "runs" / name)
    tried(shell, name)
    figures["folders that lead elsewhere, nothing written there"] += 1


def test_a_lock_that_is_a_link_is_not_written_through(runs: Shell, tmp_path: Path) -> None:
    shell = prepared(runs, tmp_path, "stopped")
    run = shell.folder / "runs" / "stopped"
    theirs = beside(run, "file") / "file"
    replaced(run / "lock", lambda path: path.symlink_to(theirs))
    ended = shell("resume", "runs/stopped")
    assert ended.code == 7 and "lock" in ended.err and theirs.read_text() == "theirs"


def test_a_run_of_seeds_that_is_a_link_is_not_written_through(runs: Shell, tmp_path: Path) -> None:
    shell = prepared(runs, tmp_path, "stopped")
    with a_step_a_call(), stopped_at(5, lambda requests: setattr(requests, "stop", 2)):
        shell(*PRETRAIN, "--seeds", "2", "--run", "runs/seeds")
    theirs, seed = beside(shell.folder / "runs" / "seeds") / "seed-1", shell.folder / "runs" / "seeds" / "seed-1"
    shutil.move(seed, theirs)
    seed.symlink_to(theirs)
    before = {path: path.read_bytes() for path in theirs.rglob("*") if path.is_file()}
    ended = shell("resume", "runs/seeds")
    assert ended.code == 4 and "seed-1: expected a run folder, got a link" in ended.err, ended.err
    assert {path: path.read_bytes() for path in theirs.rglob("*") if path.is_file()} == before


OF_ENDED_LAYERS = [case for case in CHECKPOINT_CASES if case.startswith("an end")]


@pytest.mark.parametrize(
    ("case", "name"),
    [(case, "stopped") for case in CHECKPOINT_CASES]
    + [(case, "tuning") for case in CHECKPOINT_CASES if case not in OF_ENDED_LAYERS],
)
def test_a_checkpoint_of_a_stranger(runs: Shell, tmp_path: Path, case: str, name: str, figures: dict[str, int]) -> None:
    shell = prepared(runs, tmp_path, name)
    CHECKPOINT_CASES[case](newest(shell.folder / "runs" / name))
    tried(shell, name, (2, 3, 4, 5, 6), COMMANDS if ALL else OF_CHECKPOINTS)
    figures["hostile checkpoints, harmless"] += 1


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("a checkpoint that is a link", "expected the folder of a checkpoint, got something else; remove it"),
        ("rows beyond the data", "layer 2/2 6-4-6: expected where an earlier process left this training, got"),
        ("moments of other shapes", "layer 2/2 6-4-6: expected where an earlier process left this training, got"),
        (
            "rows that end no batch",
            "state.json: expected the state of a training, got another content (7 rows passed in batches of 16)",
        ),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_said(runs: Shell, tmp_path: Path, case: str, sentence: str) -> None:
    shell = prepared(runs, tmp_path, "stopped")
    CHECKPOINT_CASES[case](newest(shell.folder / "runs" / "stopped"))
    assert sentence in shell("resume", "runs/stopped").err


def test_checkpoints_that_are_a_link_are_not_written_through(runs: Shell, tmp_path: Path) -> None:
    shell = prepared(runs, tmp_path, "it")
    elsewhere(shell.folder / "runs" / "it")
    ended = shell("finetune", "--run", "runs/it", "--epochs", "1")
    assert ended.code == 4 and "checkpoints: expected a folder of this run, got a link; put what it" in ended.err
