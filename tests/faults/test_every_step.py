"""A training that is stopped after any step and resumed ends with the very bytes of one that never stopped."""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fault_cases import ALL, FINETUNE, PRETRAIN, RESUME, a_step_a_call, result, stopped_at
from shell import Shell, write_data

from stackae.runs import DiskCheckpointer, Requests


def interrupt(requests: Requests) -> None:
    requests.stop = signal.SIGINT


class Undisturbed(NamedTuple):
    """A folder where both commands ran through, what each left, and how often it could have been stopped."""

    shell: Shell
    pretrained: dict[str, Any]
    finetuned: dict[str, Any]
    pretraining: int
    finetuning: int

    @property
    def run(self) -> Path:
        return self.shell.folder / "runs" / "it"


@pytest.fixture(autouse=True)
def all_checkpoints_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last two of each training too, so that its optimiser's memory can be compared."""
    monkeypatch.setattr(DiskCheckpointer, "finish", lambda checkpointer: None)


@pytest.fixture(scope="module")
def _undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    shell = Shell(tmp_path_factory.mktemp("undisturbed"))
    write_data(shell.folder)
    run = shell.folder / "runs" / "it"
    with pytest.MonkeyPatch.context() as patched, a_step_a_call():
        patched.setattr(DiskCheckpointer, "finish", lambda checkpointer: None)
        with stopped_at(0, interrupt) as pretraining:
            shell.does(*PRETRAIN)
        pretrained = result(run)
        shutil.copytree(run, shell.folder / "pretrained")
        with stopped_at(0, interrupt) as finetuning:
            shell.does(*FINETUNE)
    return Undisturbed(shell, pretrained, result(run), pretraining[0], finetuning[0])


@pytest.fixture
def undisturbed(_undisturbed: Undisturbed) -> Undisturbed:
    """Its folder is there to work in: settings name the data by their full path."""
    shutil.rmtree(_undisturbed.run, ignore_errors=True)
    return _undisturbed


def stops(count: int) -> list[int]:
    """Every one, or every seventh and the last two."""
    return [n for n in range(1, count + 1) if ALL or n % 7 == 1 or n >= count - 1]


def test_there_is_a_step_to_stop_at_wherever_it_matters(undisturbed: Undisturbed) -> None:
    assert undisturbed.pretraining > 2 * 2 * 3 and undisturbed.finetuning == 3 * 3
    for found, stage in ((undisturbed.pretrained, "layer2"), (undisturbed.finetuned, "classifier")):
        assert any(name.startswith(f"{stage}-epoch") and name.endswith("0.safetensors") for name in found)


def test_stopped_at_any_step_of_pretraining(undisturbed: Undisturbed, figures: Counter[str]) -> None:
    shell = undisturbed.shell
    for stop in stops(undisturbed.pretraining):
        with a_step_a_call(), stopped_at(stop, interrupt):
            stopped = shell(*PRETRAIN)
        assert stopped.code == 130 and "resume it by:  stackae resume runs/it" in stopped.err, stopped.err
        with a_step_a_call():
            shell.does(*RESUME)
        assert result(undisturbed.run) == undisturbed.pretrained, f"stopped at {stop}"
        figures["steps of pretraining stopped at, the same bytes in the end"] += 1
        shutil.rmtree(undisturbed.run)


def test_stopped_at_any_step_of_finetuning(undisturbed: Undisturbed, figures: Counter[str]) -> None:
    shell = undisturbed.shell
    for stop in stops(undisturbed.finetuning):
        shutil.copytree(shell.folder / "pretrained", undisturbed.run)
        with a_step_a_call(), stopped_at(stop, interrupt):
            assert shell(*FINETUNE).code == 130
        with a_step_a_call():
            shell.does(*RESUME)
        assert result(undisturbed.run) == undisturbed.finetuned, f"stopped at {stop}"
        figures["steps of fine-tuning stopped at, the same bytes in the end"] += 1
        shutil.rmtree(undisturbed.run)


def test_stopped_again_and_again(undisturbed: Undisturbed) -> None:
    codes, command = [130], PRETRAIN
    with a_step_a_call():
        while codes[-1] == 130:
            with stopped_at(2, interrupt):
                codes.append(undisturbed.shell(*command).code)
            command = RESUME
    assert codes[-1] == 0 and len(codes) > 5
    assert result(undisturbed.run) == undisturbed.pretrained


def without_steps(found: dict[str, Any]) -> dict[str, Any]:
    return {name: content for name, content in found.items() if "-epoch" not in name}


def test_where_calls_are_cut_changes_nothing(undisturbed: Undisturbed) -> None:
    undisturbed.shell.does(*PRETRAIN)
    assert without_steps(result(undisturbed.run)) == without_steps(undisturbed.pretrained)


def test_a_run_and_data_that_moved_go_on_where_they_are(undisturbed: Undisturbed, tmp_path: Path) -> None:
    shell = undisturbed.shell
    with a_step_a_call(), stopped_at(5, interrupt):
        shell(*PRETRAIN)
    shutil.move(undisturbed.run, tmp_path / "elsewhere")
    shutil.copy(shell.folder / "labelled.npz", tmp_path / "moved.npz")
    sentence = Shell(tmp_path).refuses(3, "resume", "elsewhere", "--data", shell.folder / "unlabelled.npy")
    assert "expected the rows and labels that this run began with, got others" in sentence
    Shell(tmp_path).does("resume", "elsewhere", "--data", "moved.npz")
    for name in ("layer1.safetensors", "layer2.safetensors", "metrics.jsonl", "config.toml"):
        assert (tmp_path / "elsewhere" / name).read_bytes() == undisturbed.pretrained[name]


@pytest.mark.parametrize("method", ["pseudo-label", "adversarial", "ladder"])
def test_stopped_while_it_learns_from_rows_without_labels(undisturbed: Undisturbed, method: str) -> None:
    shell, command = undisturbed.shell, (*FINETUNE, "--unlabelled", method, "--background", "2")
    shutil.copytree(shell.folder / "pretrained", undisturbed.run)
    with a_step_a_call():
        shell.does(*command)
    whole = result(undisturbed.run)
    shutil.rmtree(undisturbed.run)
    for stop in (1, 5, 9):
        shutil.copytree(shell.folder / "pretrained", undisturbed.run)
        with a_step_a_call(), stopped_at(stop, interrupt):
            assert shell(*command).code == 130
        with a_step_a_call():
            shell.does(*RESUME)
        assert result(undisturbed.run) == whole, f"stopped at {stop}"
        shutil.rmtree(undisturbed.run)
