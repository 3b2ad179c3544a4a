"""Signals to a real process, at every stage: the right exit code, at once, with all of it kept."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import NoReturn

import pytest
from fault_cases import ALL, FINETUNE, PRETRAIN, result, stopped_at
from process_cases import DATA, LONG, ended, started, wait_for
from shell import Shell

from stackae.cli import signals
from stackae.cli.printing.reports import Reported
from stackae.runs import Requests
from stackae.runs.checkpoints import numbered
from stackae.runs.places import unfinished
from stackae.runs.verify import damages
from stackae.workflows.session import Session

PROMPTLY = 10.0  # seconds, on a machine that does other things too; `make faults` tells the longest
EXIT = {signal.SIGINT: 130, signal.SIGTERM: 143}
STAGES = {
    "layer 1": (("pretrain", "--epochs", LONG), "layer 1/2 8-6-8  epoch 3/"),
    "layer 2": (("pretrain", "--epochs", f"2,{LONG}"), "layer 2/2 6-4-6  epoch 3/"),
    "drawing": (("pretrain", "--epochs", "2"), "drawing pictures"),
    "fine-tuning": (("finetune", "--epochs", LONG), "classifier 8-6-4-3  epoch 3/"),
}


@pytest.mark.parametrize("number", EXIT if ALL else [signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("stage", STAGES)
def test_a_signal_at_any_stage(fresh: Shell, stage: str, number: signal.Signals, longest: dict[str, float]) -> None:
    (command, *options), line = STAGES[stage]
    run = fresh.folder / "runs" / "it"
    if command == "finetune":
        fresh.does("pretrain", *DATA, "--run", "runs/it")
    arguments = (command, *(DATA if command == "pretrain" else ("--batch-size", "16", "--device", "cpu")), *options)
    with started(fresh, *arguments) as process:
        wait_for(line, run / "log.txt", process)
        process.send_signal(number)
        code, err, seconds = ended(process)
    longest["ends by a signal"] = max(seconds, longest.get("ends by a signal", 0.0))
    assert code == EXIT[number] and "Traceback" not in err, err
    assert "error: interrupted" in err and seconds < PROMPTLY
    if stage != "drawing" or unfinished(run):  # else it came too late to stop anything
        assert "resume it by:  stackae resume runs/it" in err and unfinished(run)
    assert damages(run) == []


def test_what_is_kept_is_said_where_a_signal_meets_a_module_that_loads(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with stopped_at(4, lambda requests: setattr(requests, "stop", signal.SIGINT)):
        assert fresh(*PRETRAIN).code == 130

    def leave(code: int) -> NoReturn:
        raise SystemExit(code)

    monkeypatch.setattr("os._exit", leave)
    monkeypatch.chdir(fresh.folder)
    capfd.readouterr()
    writing = Session.new("pretrain_run", Reported(as_json=False), None, None).writing(Path("runs/it"))
    with pytest.raises(SystemExit) as ended, signals.last_words(lambda: "kept"), writing:
        signals.end_at_once(signal.SIGINT)
    last = capfd.readouterr().err
    assert ended.value.code == 130
    assert last.startswith("kept\nkept        runs/it; resume it by:  stackae resume runs/it\nerror: interrupted\n")


def test_a_signal_while_the_program_starts(fresh: Shell) -> None:
    for delay in (0.05, 0.4, 1.0) if ALL else (0.4,):
        with started(fresh, "pretrain", *DATA, "--epochs", LONG) as process:
            time.sleep(delay)
            process.send_signal(signal.SIGTERM)
            code, _, seconds = ended(process)
        assert code in (143, -signal.SIGTERM) and seconds < PROMPTLY
        fresh.does("pretrain", *DATA, "--run", "runs/it", "--resume", "--epochs", "1") if not has_run(fresh) else None


def has_run(shell: Shell) -> bool:
    return bool(numbered(shell.folder / "runs" / "it"))


def test_a_second_signal_ends_it_at_once_with_files_that_are_whole(fresh: Shell) -> None:
    run = fresh.folder / "runs" / "it"
    with started(fresh, "pretrain", *DATA, "--epochs", LONG, "--checkpoint-every", "0") as process:
        wait_for("layer 1/2 8-6-8  epoch 3/", run / "log.txt", process)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        code, _, seconds = ended(process)
    assert code in (130, 143, -signal.SIGINT, -signal.SIGTERM) and seconds < PROMPTLY
    assert damages(run) == [] and unfinished(run)


def test_usr1_saves_and_changes_nothing(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackae.runs.checkpointer.SHARE", -1.0)
    monkeypatch.setattr("stackae.training.trainer.REPORTED_EVERY", -1.0)
    options = (*PRETRAIN[:-1], "1e9")
    run = fresh.folder / "runs" / "it"
    kept: list[str] = []

    def save(requests: Requests) -> None:
        kept.extend(path.name for _, path in numbered(run))
        os.kill(os.getpid(), signal.SIGUSR1)
        assert requests.save

    fresh.does(*options)
    undisturbed = result(run)
    with stopped_at(5, save):
        fresh.does(*options, "--force")
    assert kept == ["000001-pretrain-begin"]
    assert [number for number, _ in numbered(run)] == [1, 3, 4]  # the second was written, and pruned when all was done
    assert result(run) == undisturbed


@pytest.mark.parametrize("number", EXIT, ids=lambda number: number.name)
def test_what_was_stopped_by_a_signal_ends_as_if_it_had_not_been(fresh: Shell, number: signal.Signals) -> None:
    fresh.does(*PRETRAIN)
    fresh.does(*FINETUNE)
    undisturbed = result(fresh.folder / "runs" / "it")
    for command in ((*PRETRAIN, "--force"), FINETUNE):
        with stopped_at(4 if command is not FINETUNE else 2, lambda requests: os.kill(os.getpid(), number)):
            assert fresh(*command).code == EXIT[number]
        fresh.does("resume", "runs/it", "--checkpoint-every", "0")
    found = result(fresh.folder / "runs" / "it")
    assert {name for name in found if found[name] != undisturbed.get(name)} <= {"manifest.json"}
