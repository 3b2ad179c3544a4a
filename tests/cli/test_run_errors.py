"""Laws of the stackae command where a run folder, a training or the machine fails: as in test_cli_errors.py."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from cli_cases import DIVERGING, PRETRAIN, READERS, says
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from shell import LAYERS, Shell

from stackae.runs import Run

# ---- run folders (2, 4)


@pytest.mark.parametrize("command", READERS)
def test_there_is_no_run_yet(fresh: Shell, command: str) -> None:
    sentence = fresh.refuses(4, command)
    says(sentence, "runs/latest: expected a run folder, got no such folder", "stackae pretrain --layers 784,300,150")
    fresh.folder.joinpath("other").mkdir()
    says(
        fresh.refuses(4, command, "--run", "other"), "other: expected a run folder, got a folder without manifest.json"
    )


def test_a_file_is_not_called_a_folder(fresh: Shell) -> None:
    sentence = fresh.refuses(4, "evaluate", "--run", "labelled.csv")
    says(sentence, "labelled.csv: expected a run folder")
    assert "got a folder" not in sentence


def resize(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        tensors, metadata = {name: torch.zeros(3, 3) for name in file.keys()}, file.metadata()  # noqa: SIM118 - not a dict
    save_file(tensors, path, metadata)


def strip(path: Path) -> None:
    """The same tensors without what stackae writes beside them: kinds, activations, names of classes."""
    save_file(load_file(path), path)


def garble(path: Path) -> None:
    save_file(load_file(path), path, {"kind": "?", "activation": "?", "activations": "?", "classes": "?"})


DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "text": lambda path: path.write_text("not a safetensors file"),
    "resized": resize,
    "garbled": garble,
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize(
    ("name", "arguments"),
    [("layer2", ("finetune",)), ("scaling", ("encode",)), ("classifier", ("encode", "--weights", "finetuned"))],
)
def test_a_damaged_file_of_the_run(trained: Shell, name: str, arguments: tuple[str, ...], kind: str) -> None:
    DAMAGE[kind](trained.run / f"{name}.safetensors")
    says(trained.refuses(4, *arguments), f"{name}.safetensors: expected", "got")


@pytest.mark.parametrize(
    ("name", "arguments"), [("scaling", ("encode",)), ("classifier", ("encode", "--weights", "finetuned"))]
)
def test_a_file_that_another_program_wrote(trained: Shell, name: str, arguments: tuple[str, ...]) -> None:
    strip(trained.run / f"{name}.safetensors")
    says(trained.refuses(4, *arguments), f"{name}.safetensors: expected", "got")


@pytest.mark.parametrize("command", READERS)
def test_a_damaged_configuration_of_the_run(trained: Shell, command: str) -> None:
    path = trained.run / "config.toml"
    path.write_bytes(path.read_bytes().replace(b"sigmoid", b"sigmoie"))
    says(
        trained.refuses(4, command), "config.toml: expected the", "that manifest.json lists", "a damaged file", "resume"
    )


@pytest.mark.parametrize("content", [b"", b"[data]\n", b"[pretrain", b"x = 1\n", b"\xff"])
@pytest.mark.parametrize("command", READERS)
def test_a_configuration_that_is_listed_but_is_none(trained: Shell, command: str, content: bytes) -> None:
    Run(trained.run).publish({"config.toml": content})
    says(trained.refuses(4, command), "config.toml: expected the configuration of a run, got a damaged one")


def test_metrics_that_another_program_wrote_to(trained: Shell) -> None:
    with (trained.run / "metrics.jsonl").open("a") as file:
        file.write('{"event": "epo')
    for command in ("finetune", "evaluate"):
        says(trained.refuses(4, command), "metrics.jsonl: expected", f"`stackae resume {trained.run}` restores")
    trained.does("resume", "runs/latest")
    trained.does("finetune")


def test_a_run_is_not_overwritten(trained: Shell) -> None:
    again = (*PRETRAIN, "--run", "runs/first")
    says(trained.refuses(2, *again), "runs/first: expected a new folder, got an existing run", "add --force")
    trained.does(*again, "--force", "--seed", 5)
    assert not (trained.run / "classifier.safetensors").exists()
    assert sorted(path.name for path in (trained.folder / "runs").iterdir()) == ["first", "latest"]


def test_a_failed_replacement_leaves_the_old_run(trained: Shell) -> None:
    linear = ("--scale", "none", "--activation", "linear", "--output-activation", "linear")
    trained.refuses(5, *PRETRAIN, "--run", "runs/first", "--force", *linear, *DIVERGING)


def test_what_a_killed_replacement_left_is_no_hindrance(trained: Shell) -> None:
    shutil.copytree(trained.run, trained.folder / "runs" / ".first.replaced")
    trained.does(*PRETRAIN, "--run", "runs/first", "--force")


@pytest.mark.parametrize("extra", [(), ("--force",)])
@pytest.mark.parametrize("run", ["notes", "labelled.csv", ".", "runs", "runs/latest"])
def test_a_run_takes_no_place_of_other_things(trained: Shell, run: str, extra: tuple[str, ...]) -> None:
    (trained.folder / "notes").mkdir()
    (trained.folder / "notes" / "diary.txt").write_text("mine")
    says(trained.refuses(2, *PRETRAIN, "--run", run, *extra), f"{run}: expected", "got")


def test_the_pointer_to_the_newest_run_is_no_place_for_a_run(fresh: Shell) -> None:
    says(fresh.refuses(2, *PRETRAIN, "--run", "runs/latest"), "runs/latest: expected")


@pytest.mark.parametrize("name", [".", "ABSOLUTE"])
def test_the_folder_one_is_in_is_no_place_for_a_run(
    fresh: Shell, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty = Shell(tmp_path_factory.mktemp("empty"))
    run = name if name == "." else str(empty.folder)
    sentence = empty.refuses(
        2, "pretrain", "--layers", LAYERS, "--data", fresh.folder / "labelled.npz", "--run", run, "--force"
    )
    says(sentence, f"{run}: expected", "got")


def test_bfloat16_products_need_the_fused_step(trained: Shell) -> None:
    pretrain = ("pretrain", "--layers", "8,6,4", "--data", "labelled.npz", "--run", "runs/new")
    for command in (pretrain, ("finetune",)):
        message = trained.refuses(6, *command, "--precision", "bf16", "--engine", "eager")
        says(message, "precision bf16: expected the fused step, got --engine eager (requested)")
        says(
            trained.refuses(2, *command, "--precision", "fp16"),
            "precision: expected one of fp32, tf32, bf16, got 'fp16'",
        )


@pytest.mark.parametrize("command", ["encode", "reconstruct"])
def test_layers_and_files_of_output(trained: Shell, command: str) -> None:
    for layer in (0, 3, -1):
        says(trained.refuses(2, command, "--layer", layer), f"--layer: expected 1 to 2, got {layer}")
    (trained.folder / "there.npy").write_text("mine")
    says(trained.refuses(2, command, "--out", "there.npy"), "--out: expected a new file, got there.npy", "add --force")
    says(
        trained.refuses(2, command, "--out", "no/where.npy"), "--out: expected a folder that exists, got no", "make it"
    )
    says(trained.refuses(2, command, "--engine", "fast"), "engine: expected auto, fused or eager, got 'fast'")


@pytest.mark.parametrize("command", ["encode", "reconstruct"])
@pytest.mark.parametrize("out", ["runs", "."])
def test_a_folder_is_no_file_of_output(trained: Shell, command: str, out: str) -> None:
    says(trained.refuses(2, command, "--out", out, "--force"), f"--out: expected a file, got {out}")


def test_a_count_of_rows_that_cannot_be_shown(trained: Shell) -> None:
    for count in ("0", "101", "many"):
        says(trained.refuses(2, "reconstruct", "--count", count), f"--count: expected 1 to 100, got {count}")


def test_unknown_weights(trained: Shell) -> None:
    sentence = trained.refuses(2, "encode", "--weights", "finetune")
    says(sentence, "--weights: expected pretrained or finetuned", "did you mean 'finetuned'?")
    (trained.run / "classifier.safetensors").unlink()
    says(trained.refuses(4, "encode", "--weights", "finetuned"), "classifier.safetensors: expected")


# ---- divergence (5), environment (6), disk (7), bugs (1), signals (130, 143)


@pytest.mark.parametrize("fraction", ["0.1", "0"])
def test_divergence_names_layer_epoch_and_learning_rate(fresh: Shell, fraction: str) -> None:
    linear = ("--scale", "none", "--activation", "linear", "--output-activation", "linear")
    sentence = fresh.refuses(5, *PRETRAIN, *linear, *DIVERGING, "--validation-fraction", fraction)
    says(sentence, "layer 1/2 8-6-8: expected a finite loss", "in epoch 1 at learning rate 1e+30", "--learning-rate")


def test_divergence_of_finetuning_leaves_the_run(trained: Shell) -> None:
    options = ("--optimizer", "sgd", "--learning-rate", "1e38", "--schedule", "constant", "--batch-size", "10")
    says(trained.refuses(5, "finetune", *options), "classifier 8-6-4-3: expected a finite loss", "in epoch 1")


def test_a_last_step_that_diverges_is_found(fresh: Shell) -> None:
    np.save(fresh.folder / "large.npy", np.full((20, 3), 1e4) + np.eye(20, 3))
    linear = ("--scale", "none", "--activation", "linear", "--output-activation", "linear", "--init", "random")
    once = ("--epochs", "1", "--batch-size", "20", "--validation-fraction", "0", "--optimizer", "sgd")
    rate = ("--learning-rate", "1e38", "--schedule", "constant")
    says(fresh.refuses(5, "pretrain", "--layers", "3,2", "--data", "large.npy", *linear, *once, *rate), "layer 1/1")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there, so asking for it is no error")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there(trained: Shell, device: str) -> None:
    for arguments in (PRETRAIN, ("finetune",)):
        says(trained.refuses(6, *arguments, "--device", device), f"got {device}", "--device cpu", "stackae doctor")


def test_a_gpu_beyond_the_last_one(trained: Shell) -> None:
    says(trained.refuses(6, *PRETRAIN, "--device", "cuda:99"), "CUDA devices", "got cuda:99")


def test_a_disk_that_is_full_leaves_no_part_of_a_file(trained: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(path: Path, content: object) -> NoReturn:
        path.write_bytes(b"a part of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("stackae.runs.durable._write", fill)
    for arguments in (PRETRAIN, (*PRETRAIN, "--run", "runs/first", "--force"), ("encode",), ("reconstruct",)):
        says(trained.refuses(7, *arguments), "got 'No space left on device'", "free some space")


def test_a_bug_is_one_sentence_and_debug_shows_where(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **named: Any) -> NoReturn:
        raise LookupError("the shelf is empty")

    monkeypatch.setattr("stackae.workflows.pretrain.load_data", broken)
    says(fresh.refuses(1, *PRETRAIN), "a bug in stackae: LookupError: the shelf is empty", "--debug")
    shown = fresh(*PRETRAIN, "--debug")
    assert shown.code == 1 and "Traceback" in shown.err and "in broken" in shown.err


def command(shell: Shell, *arguments: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "stackae.cli.main", *arguments]
    return subprocess.Popen(line, cwd=shell.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_debug_adds_the_traceback_and_keeps_the_exit_code(fresh: Shell) -> None:
    with command(fresh, "pretrain", "--debug") as process:
        _, err = process.communicate(timeout=60)
    assert "Traceback" in err and "--layers: expected the widths" in err
    assert process.returncode == 2


def test_an_interruption_leaves_nothing(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **named: Any) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("stackae.workflows.stacks.layers_together", interrupted)
    before = fresh.files()
    result = fresh(*PRETRAIN)
    assert result.code == 130 and "Traceback" not in result.err and fresh.files() == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_long_run(fresh: Shell, number: int, code: int) -> None:
    with command(fresh, *PRETRAIN, "--epochs", "1000000", "--device", "cpu", "--run", "runs/long") as process:
        try:
            deadline = time.monotonic() + 60
            log = fresh.folder / "runs" / "long" / "log.txt"
            while not (log.exists() and "epoch 2/" in log.read_text()) and time.monotonic() < deadline:
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(number)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == code and "Traceback" not in err
    assert "resume it by:  stackae resume runs/long" in err and "error: interrupted" in err
    assert not (fresh.folder / "runs" / "latest").exists()
    assert "unfinished" in fresh.does("runs", "list")
