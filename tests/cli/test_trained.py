"""The commands that read a run: fine-tuning, evaluation, codes, reconstructions; odd sizes, help."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_cases import COMMANDS, PRETRAIN, layer_bytes, records, settings
from shell import LAYERS, Shell

from stackae import __version__
from stackae.cli import start
from stackae.runs import Run

# ---- fine-tuning


def encoders(run: Path) -> list[torch.Tensor]:
    return [parameter.detach() for parameter in Run.open(run).load_head("classifier")[0].encoders.parameters()]


def pretrained(run: Path) -> list[torch.Tensor]:
    stack = Run.open(run).load_stack()
    return [parameter.detach() for layer in stack.autoencoders for parameter in layer.encoder.parameters()]


def test_training_the_head_leaves_the_encoders(trained: Shell) -> None:
    trained.does("finetune", "--train", "head")
    assert all(map(torch.equal, encoders(trained.run), pretrained(trained.run)))


def test_training_all_moves_the_encoders(trained: Shell) -> None:
    trained.does("finetune", "--train", "all")
    assert not any(map(torch.equal, encoders(trained.run), pretrained(trained.run)))


def test_random_weights_are_not_the_pretrained_ones(trained: Shell) -> None:
    trained.does("finetune", "--train", "head", "--init", "random")
    weights = [tensor for tensor in encoders(trained.run) if tensor.dim() == 2]
    start = [tensor for tensor in pretrained(trained.run) if tensor.dim() == 2]
    assert not any(map(torch.equal, weights, start))


def test_finetuning_leaves_the_pretrained_layers(trained: Shell) -> None:
    before = layer_bytes(trained.run)
    trained.does("finetune", "--train", "all")
    assert layer_bytes(trained.run) == before


def test_labels_may_come_later_in_another_file(fresh: Shell) -> None:
    fresh.does("pretrain", "--layers", LAYERS, "--data", "unlabelled.npy")
    assert "accuracy" not in json.loads(fresh.does("evaluate", "--json"))
    fresh.does("finetune", "--data", "labelled.csv", "--target", "kind")
    document = json.loads(fresh.does("evaluate", "--json"))
    assert document["classes"] == ["a", "b", "c"] and document["data"].endswith("labelled.csv")
    assert settings(fresh.run)["data"]["data"].endswith("unlabelled.npy")


def test_naming_the_runs_own_file_keeps_its_target(fresh: Shell) -> None:
    fresh.does("pretrain", "--layers", LAYERS, "--data", "labelled.csv", "--target", "kind")
    for command in ("finetune", "evaluate"):
        fresh.does(command, "--data", "labelled.csv")


def test_the_path_of_the_data_is_kept_absolute(fresh: Shell) -> None:
    shutil.copy(fresh.folder / "unlabelled.npy", fresh.folder / "LOUD.NPY")
    for name in ("unlabelled.npy", "LOUD.NPY"):
        fresh.does("pretrain", "--layers", LAYERS, "--data", name)
        assert settings(fresh.run)["data"]["data"] == str(fresh.folder / name)


def test_a_configuration_serves_other_data(fresh: Shell) -> None:
    fresh.does("pretrain", "--layers", LAYERS, "--data", "labelled.csv", "--target", "kind", "--run", "runs/first")
    fresh.does("pretrain", "--config", "runs/first/config.toml", "--data", "unlabelled.npy")


def test_a_configuration_file_may_hold_a_few_settings(fresh: Shell) -> None:
    (fresh.folder / "some.toml").write_text("[pretrain]\noptimizer = 'sgd'\nbatch_size = 20\n")
    fresh.does(*PRETRAIN, "--config", "some.toml")
    found = settings(fresh.run)["pretrain"]
    assert found["optimizer"] == "sgd" and [layer["batch_size"] for layer in found["layers"]] == [20, 20]


# ---- odd sizes


@pytest.mark.parametrize("size", [1000, 60, 41, 1])  # 42 training rows: beyond them, all, a last batch of one, of ones
def test_any_batch_size_works(fresh: Shell, size: int) -> None:
    fresh.does(*PRETRAIN, "--batch-size", size)
    fresh.does("finetune", "--batch-size", size)


def test_no_validation_part_works(fresh: Shell) -> None:
    fresh.does(*PRETRAIN, "--validation-fraction", 0)
    assert all(record["validation_loss"] is None for record in records(fresh.run))
    assert json.loads(fresh.does("finetune", "--json"))["validation_loss"] is None


def test_no_test_part_means_no_test_accuracy(fresh: Shell) -> None:
    fresh.does(*PRETRAIN, "--test-fraction", 0)
    assert "accuracy" not in json.loads(fresh.does("finetune", "--json"))
    assert json.loads(fresh.does("evaluate", "--json"))["part"] == "validation"


@pytest.mark.parametrize(("scale", "value"), [("auto", 0.5), ("unit", 0.0), ("standard", 3.0)])
def test_constant_data_are_trained_and_drawn_without_a_warning(fresh: Shell, scale: str, value: float) -> None:
    fresh.draws = True
    np.save(fresh.folder / "same.npy", np.full((10, 3), value))
    fresh.does("pretrain", "--layers", "3,2", "--data", "same.npy", "--scale", scale)
    fresh.does("score")
    fresh.does("sweep", "--widths", "2,4", "--data", "same.npy", "--scale", scale)


def test_one_row_is_enough(fresh: Shell) -> None:
    fresh.draws = True
    np.save(fresh.folder / "one.npy", np.array([[0.1, 0.5, 0.9]]))
    fresh.does("pretrain", "--layers", "3,2", "--data", "one.npy")
    for command in (["evaluate"], ["encode"], ["reconstruct"], ["score", "--part", "train"]):
        fresh.does(*command)
    fresh.does("sweep", "--widths", "1,2,3,4", "--data", "one.npy")


@pytest.mark.parametrize("shape", [(4, 2), (2, 2, 1), (2, 2, 2), (2, 2, 3), (2, 1, 4)])
def test_images_of_any_number_of_channels_are_drawn(fresh: Shell, shape: tuple[int, ...]) -> None:
    fresh.draws = True
    images = np.random.default_rng(1).integers(0, 256, (20, *shape), dtype=np.uint8)
    np.save(fresh.folder / "images.npy", images)
    fresh.does("pretrain", "--layers", f"{images[0].size},3", "--data", "images.npy")
    fresh.does("reconstruct")
    fresh.does("score")


@pytest.mark.parametrize("names", [("$^$", "a", "b"), ("\u65e5", "\U0001f600", "b"), ("[red]", "\\", "c d")])
def test_classes_may_have_any_names(fresh: Shell, names: tuple[str, ...]) -> None:
    x = np.load(fresh.folder / "unlabelled.npy")
    np.savez(fresh.folder / "named.npz", x=x, y=np.array(names)[np.arange(len(x)) % 3])
    fresh.does("pretrain", "--layers", LAYERS, "--data", "named.npz")
    fresh.does("finetune")
    assert set(json.loads(fresh.does("evaluate", "--json"))["classes"]) == set(names)


# ---- help and version


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(fresh: Shell, command: str) -> None:
    lines = [line.strip() for line in fresh.does(command, "--help").splitlines()]
    assert any(line.startswith(f"stackae {command}") for line in lines)


def test_help_names_every_command(fresh: Shell) -> None:
    text = fresh.does("--help")
    assert all(command in text for command in COMMANDS) and "stackae pretrain" in text


def test_help_imports_nothing_heavy() -> None:
    script = f"""
import sys
from stackae.cli.main import main
for command in [[], *([name] for name in {COMMANDS!r})]:
    sys.argv = ["stackae", *command, "--help"]
    try:
        main()
    except SystemExit as end:
        assert end.code == 0, command
heavy = {{"torch", "numpy", "sklearn", "torchvision", "matplotlib", "safetensors"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_version_is_printed_by_a_process_of_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stackae.cli.main", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"stackae {__version__}\n", "")


def test_the_installed_command_is_this_one() -> None:
    (script,) = entry_points(group="console_scripts", name="stackae")
    assert script.load() is start.main


def test_units_that_are_dead_are_told_with_what_to_do(fresh: Shell) -> None:
    few = (*PRETRAIN[:2], "8,30", *PRETRAIN[3:], "--activation", "relu", "--sparsity", "top-k:1", "--epochs", "1")
    (layer,) = json.loads(fresh.does(*few, "--json"))["layers"]
    share = 100 * layer["dead"]
    assert share > 10
    told = f"dead        layer 1: {share:.1f} % of its units say the same of every row; try "
    assert f"{told}--revive resample\n" in fresh.does(*few)
    assert f"{told}a lower --learning-rate or fewer units\n" in fresh.does(*few, "--revive", "resample")
    assert "dead  " not in fresh.does(*PRETRAIN, "--activation", "linear", "--sparsity", "none")
