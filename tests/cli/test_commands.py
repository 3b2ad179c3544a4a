"""Laws of the stackae command where all is well: what it writes and prints, and that the same asks give the same."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_cases import COMMANDS, NEXT, PNG, PRETRAIN, arguments_of, layer_bytes, records, says, settings
from safetensors.torch import load_file
from shell import LAYERS, SIZES, Shell

from stackae.config import DataConfig
from stackae.data import load_data, load_source, scaled_rows
from stackae.runs import Run

# ---- the happy path


OTHERS = {
    "data.json",
    "finetune-data.json",
    "config.toml",
    "explained.json",
    "metrics.jsonl",
    "manifest.json",
    "checkpoints",
    "log.txt",
    "lock",
}


def test_a_run_folder_holds_all_that_is_promised(fresh: Shell) -> None:
    fresh.draws = True
    fresh.does(*PRETRAIN)
    fresh.does("finetune")
    stages = {"scaling", "calibration", "layer1", "layer2", "classifier", "division", "finetune-division"}
    pictures = {"curves", "filters", "reconstructions", "codes", "finetuned-codes", "confusion-test"}
    promised = {f"{name}.safetensors" for name in stages} | {f"{name}.png" for name in pictures}
    assert {path.name for path in fresh.run.iterdir()} == promised | OTHERS
    for name in pictures:
        assert (fresh.run / f"{name}.png").read_bytes().startswith(PNG)


def test_metrics_have_one_line_an_epoch(first_run: Shell) -> None:
    epochs = [record for record in records(first_run.run) if record["event"] == "epoch"]
    wanted = [(stage, epoch) for stage in ("layer1", "layer2", "classifier") for epoch in (1, 2)]
    assert [(record["stage"], record["epoch"]) for record in epochs] == wanted
    for record in epochs:
        assert {"loss", "validation_loss", "learning_rate"} <= record.keys()
        losses = [record["loss"]] + [record["validation_loss"]] * (record["stage"] != "classifier")
        assert all(np.isfinite(loss) and loss >= 0 for loss in losses)
        assert (record["validation_loss"] is None) == (record["stage"] == "classifier")  # few labels: none held out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_names_the_next_one(trained: Shell, command: str) -> None:
    last = trained.does(*arguments_of(command)).strip().splitlines()[-1]
    assert last.split()[:3] == ["next", "stackae", NEXT[command]]


def test_the_next_command_names_a_run_that_is_not_the_newest(trained: Shell) -> None:
    trained.does(*PRETRAIN, "--run", "runs/second")
    for command in ("finetune", "evaluate", "encode", "reconstruct", "score"):
        assert trained.does(command, "--run", "runs/first").strip().endswith(" --run runs/first")


@pytest.mark.parametrize(
    "command", ["pretrain", "finetune", "evaluate", "encode", "score", "sweep", "compare", "doctor", "verify"]
)
def test_json_is_one_document_on_stdout(trained: Shell, command: str) -> None:
    document = json.loads(trained.does(*arguments_of(command), "--json"))
    assert isinstance(document, dict)
    if command not in ("sweep", "compare", "doctor", "verify"):
        assert (trained.folder / document["run"]).resolve() == trained.run


def test_json_of_a_plan_is_one_document_on_stdout(fresh: Shell) -> None:
    assert isinstance(json.loads(fresh.does(*PRETRAIN, "--dry-run", "--json")), dict)


def write_bytes(folder: Path) -> None:
    """bytes.npz: the rows of labelled.npz as uint8."""
    with np.load(folder / "labelled.npz") as arrays:
        np.savez(folder / "bytes.npz", x=np.rint(255 * arrays["x"]).astype(np.uint8), y=arrays["y"])


def test_a_plan_counts_a_byte_a_cell_of_bytes(fresh: Shell) -> None:
    write_bytes(fresh.folder)
    for name, cell in (("labelled.npz", 4), ("bytes.npz", 1)):
        plan = json.loads(fresh.does("pretrain", "--layers", LAYERS, "--data", name, "--dry-run", "--json"))
        rows = len(load_data(DataConfig(data=str(fresh.folder / name))).train.x)
        assert [layer["input_bytes"] for layer in plan["layers"]] == [rows * SIZES[0] * cell, rows * SIZES[1] * 4]


def test_every_command_reads_bytes(fresh: Shell) -> None:
    write_bytes(fresh.folder)
    fresh.does("pretrain", "--layers", LAYERS, "--data", "bytes.npz")
    for command in ("finetune", "evaluate", "encode", "reconstruct", "score"):
        fresh.does(command)
    run = Run.open(fresh.run)
    rows = scaled_rows(load_source(run.config.data), run.load_scaling())
    with torch.no_grad():
        expected = run.load_stack().encode(rows.x[:], 2).numpy()
    np.testing.assert_array_equal(np.load(run.path / "codes-layer2.npy"), expected)


def test_evaluate_reports_accuracy_and_each_layer(trained: Shell) -> None:
    document = json.loads(trained.does("evaluate", "--json"))
    assert 0 <= document["accuracy"] <= 1 and document["part"] == "test"
    assert document["rows"] == document["labelled_rows"] == np.sum(document["confusion"])
    assert [(layer["layer"], layer["n_hidden"]) for layer in document["reconstruction"]] == [(1, 6), (2, 4)]
    for layer in document["reconstruction"]:
        assert layer["squared_error"] == pytest.approx(SIZES[0] * layer["mean_squared_error"])


@pytest.mark.parametrize("part", ["test", "validation", "train"])
def test_evaluate_reads_the_part_it_is_asked_for(trained: Shell, part: str) -> None:
    document = json.loads(trained.does("evaluate", "--part", part, "--json"))
    assert document["part"] == part and (trained.run / f"confusion-{part}.png").read_bytes().startswith(PNG)


def expected_codes(shell: Shell, weights: str, number: int) -> np.ndarray:
    run = Run.open(shell.run)
    rows = scaled_rows(load_source(DataConfig(data=str(shell.folder / "labelled.npz"))), run.load_scaling())
    model = run.load_stack() if weights == "pretrained" else run.load_head("classifier")[0]
    with torch.no_grad():
        codes: np.ndarray = model.encode(rows.x, number).numpy()
    return codes


@pytest.mark.parametrize("weights", ["pretrained", "finetuned"])
@pytest.mark.parametrize("number", [1, 2])
def test_encode_writes_the_codes_of_the_scaled_rows(trained: Shell, weights: str, number: int) -> None:
    trained.does("encode", "--layer", number, "--weights", weights)
    codes = np.load(trained.run / f"codes-layer{number}.npy")
    assert codes.shape == (60, SIZES[number]) and codes.dtype == np.float32
    np.testing.assert_array_equal(codes, expected_codes(trained, weights, number))


@pytest.mark.parametrize("weights", ["pretrained", "finetuned"])
def test_encode_writes_the_codes_of_all_layers_side_by_side(trained: Shell, weights: str) -> None:
    told = trained.does("encode", "--layer", "all", "--weights", weights, "--out", "all.csv", "--force")
    assert "60 rows of 10, all layers" in told
    header = (trained.folder / "all.csv").read_text().splitlines()[0].split(",")
    assert header[:2] == ["row", "layer1_h1"] and header[6:8] == ["layer1_h6", "layer2_h1"] and len(header) == 11
    trained.does("encode", "--layer", "all", "--weights", weights)
    both = np.concatenate([expected_codes(trained, weights, number) for number in (1, 2)], axis=1)
    np.testing.assert_array_equal(np.load(trained.run / "codes-all.npy"), both)
    says(trained.refuses(2, "encode", "--layer", "every"), "--layer: expected 1 to 2, or all, got every")


def test_encode_means_the_top_and_other_data_when_told(trained: Shell) -> None:
    np.save(trained.folder / "three.npy", np.load(trained.folder / "unlabelled.npy")[:3])
    trained.does("encode", "--data", "three.npy", "--out", "codes.npy")
    np.testing.assert_allclose(  # another batch size may be summed in another order
        np.load(trained.folder / "codes.npy"), expected_codes(trained, "pretrained", len(SIZES) - 1)[:3], rtol=1e-6
    )


@pytest.mark.parametrize("extra", [(), ("--layer", "1"), ("--count", "1"), ("--part", "train", "--count", "20")])
def test_reconstruct_draws_a_picture(trained: Shell, extra: tuple[str, ...]) -> None:
    trained.draws = True
    trained.does("reconstruct", *extra, "--out", "picture.png")
    assert (trained.folder / "picture.png").read_bytes().startswith(PNG)


def test_an_existing_file_is_replaced_by_force(trained: Shell) -> None:
    for command, name in (("encode", "codes.npy"), ("reconstruct", "picture.png")):
        out = trained.folder / name
        out.write_bytes(b"old")
        trained.does(command, "--out", name, "--force")
        assert len(out.read_bytes()) > 3


def test_commands_work_from_any_folder(trained: Shell, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = Shell(tmp_path_factory.mktemp("elsewhere"))
    for command in ("finetune", "evaluate", "encode", "reconstruct"):
        elsewhere.does(command, "--run", trained.run)
    assert list(elsewhere.folder.iterdir()) == []


# ---- the same asks give the same


def test_a_configuration_reproduces_its_run_bit_for_bit(trained: Shell) -> None:
    old = trained.run
    trained.does("pretrain", "--config", "runs/latest/config.toml", "--run", "again")
    assert layer_bytes(trained.folder / "again") == layer_bytes(old)
    assert settings(trained.folder / "again")["pretrain"] == settings(old)["pretrain"]
    for record, other in zip(records(trained.folder / "again"), records(old), strict=False):
        assert record["loss"] == other["loss"]


def test_a_configuration_reproduces_the_weights(trained: Shell) -> None:
    trained.does("pretrain", "--config", "runs/latest/config.toml", "--run", "again")
    for number in (1, 2):
        name = f"layer{number}.safetensors"
        old, new = load_file(trained.folder / "runs" / "first" / name), load_file(trained.folder / "again" / name)
        assert old.keys() == new.keys() and all(torch.equal(old[key], new[key]) for key in old)


def test_finetuning_twice_gives_the_same_bits(trained: Shell) -> None:
    before = load_file(trained.run / "classifier.safetensors")
    trained.does("finetune")
    after = load_file(trained.run / "classifier.safetensors")
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_another_seed_gives_other_weights(trained: Shell) -> None:
    old = trained.run
    trained.does("pretrain", "--config", "runs/latest/config.toml", "--seed", 1)
    assert trained.run != old
    assert all(new != was for new, was in zip(layer_bytes(trained.run), layer_bytes(old), strict=True))


def test_file_then_environment_then_flag(trained: Shell) -> None:
    again = ("pretrain", "--config", "runs/first/config.toml")
    trained.does(*PRETRAIN, "--batch-size", 20, "--run", "runs/first", "--force")
    for extra, environment, wanted in (
        ((), {}, 20),
        ((), {"STACKAE_BATCH_SIZE": "30"}, 30),
        (("--batch-size", 40), {"STACKAE_BATCH_SIZE": "30"}, 40),
        (("--batch-size", 40), {}, 40),
    ):
        trained.does(*again, *extra, **environment)
        assert {layer["batch_size"] for layer in settings(trained.run)["pretrain"]["layers"]} == {wanted}


def test_values_of_each_layer_arrive_in_the_configuration(fresh: Shell) -> None:
    each: dict[str, list[Any]] = {
        "activation": ["tanh", "sigmoid"],
        "output-activation": ["linear", "linear"],
        "corruption": ["masking:0.1", "gaussian:0.2"],
        "sparsity": ["none", "kl:0.05:0.5"],
        "weight-decay": [0.25, 0.5],
        "learning-rate": [0.125, 0.0625],
        "epochs": [1, 2],
    }
    options = [word for name, values in each.items() for word in (f"--{name}", ",".join(map(str, values)))]
    fresh.does(*PRETRAIN, "--weights", "tied", *options)
    layers = settings(fresh.run)["pretrain"]["layers"]
    assert [layer["tied"] for layer in layers] == [True, True]
    for name, values in each.items():
        key = "max_epochs" if name == "epochs" else name.replace("-", "_")
        assert [layer[key] for layer in layers] == values


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), "step     fused on cpu (fp32, products by "),
        (("--engine", "eager"), "step     eager on cpu (engine eager, requested)"),
    ],
)
def test_the_summary_names_the_step_and_why(fresh: Shell, options: tuple[str, ...], line: str) -> None:
    for command in (PRETRAIN, ["finetune"]):
        result = fresh(*command, *options)
        assert result.code == 0 and line in result.err


@pytest.mark.parametrize(
    ("layers", "kind", "line"),
    [
        ("8,6", "variational", "step     eager on cpu (fp32, products by "),
        ("8,6,4", "dense,variational", "step     fused on cpu (fp32, products by "),
        ("8,6,4", "dense,variational", "; layer 2 eager: kind variational)"),
    ],
)
def test_the_summary_names_layers_that_are_trained_by_another_step(
    fresh: Shell, layers: str, kind: str, line: str
) -> None:
    given = [layers if word == "8,6,4" else word for word in PRETRAIN]
    assert line in fresh(*given, "--kind", kind, "--dry-run").err


def test_a_precision_that_no_layer_has_is_refused(fresh: Shell) -> None:
    error = fresh.refuses(2, *PRETRAIN, "--dropout", "0.2", "--precision", "tf32")
    assert "precision tf32: expected a layer that the fused step trains, got dropout 0.2:0.2 in layer 1; use" in error


def test_l1_sparsity_comes_back_from_the_run_folder(fresh: Shell) -> None:
    fresh.does(*PRETRAIN, "--sparsity", "l1:0.01,none")
    config = tomllib.loads((fresh.run / "config.toml").read_text())
    assert [layer["sparsity"] for layer in config["pretrain"]["layers"]] == ["l1:0.01", "none"]
    assert config["pretrain"]["precision"] == "fp32"


def test_a_dry_run_writes_nothing(fresh: Shell) -> None:
    before = fresh.files()
    plan = fresh.does(*PRETRAIN, "--dry-run")
    assert "8-6-8" in plan and "6-4-6" in plan and "masking:0.3" in plan
    options = (
        "--sparsity",
        "kl:0.1:0.2,none",
        "--contraction",
        "0.1,0",
        "--weights",
        "tied,untied",
        "--dropout",
        "0,0.2",
    )
    layers = json.loads(fresh.does(*PRETRAIN, *options, "--corruption", "none", "--dry-run", "--json"))["layers"]
    wanted = [["kl:0.1:0.2", "contraction 0.1"], ["untied", "dropout 0.2:0.2"]]
    assert [layer["settings"] for layer in layers] == wanted
    assert fresh.files() == before and not (fresh.folder / "runs").exists()
