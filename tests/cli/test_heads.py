"""The heads on the command line, from end to end: trained, kept, resumed, evaluated, shown; and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_cases import PRETRAIN, layer_bytes, records, replaced, says, settings, stop
from shell import Shell

from stackae.models.files import opened, pack
from stackae.runs import Run

STACKS = {
    "dense": ("--layers", "8,6,4", "--corruption", "masking:0.3"),
    "convolutional": ("--layers", "2x4x1,conv3,pool,4", "--loss", "bce,mse"),
    "variational": ("--layers", "8,6,4", "--kind", "dense,variational", "--corruption", "none"),
    "marginalised": ("--layers", "8,6,4", "--kind", "marginalized"),
}


# ---- reconstruction


@pytest.mark.parametrize("kind", STACKS)
def test_a_stack_is_unrolled_trained_kept_and_used(fresh: Shell, kind: str) -> None:
    fresh.does("pretrain", *STACKS[kind], "--data", "unlabelled.npy")
    before = layer_bytes(fresh.run)
    document = json.loads(fresh.does("finetune", "--head", "reconstruction", "--epochs", 20, "--json"))
    assert document["head"] == "reconstruction" and document["squared_error"] < document["pretrained_squared_error"]
    assert layer_bytes(fresh.run) == before
    assert settings(fresh.run)["finetune"]["head"] == "reconstruction"
    evaluated = json.loads(fresh.does("evaluate", "--json"))
    assert evaluated["finetuned_reconstruction"]["squared_error"] == document["squared_error"]
    assert evaluated["reconstruction"][-1]["squared_error"] == document["pretrained_squared_error"]
    says(fresh.does("evaluate"), "layer 2 (4)", "fine-tuned 2 (4)")
    assert {record["stage"] for record in records(fresh.run) if record["event"] == "epoch"} >= {"reconstruction"}

    x = torch.from_numpy(np.load(fresh.folder / "unlabelled.npy"))
    model = Run.open(fresh.run).load_head("reconstruction")[0]
    fresh.does("encode", "--weights", "finetuned", "--out", "codes.npy")
    np.testing.assert_allclose(np.load(fresh.folder / "codes.npy"), model.encode(x).detach().numpy(), atol=1e-6)
    shown = json.loads(fresh.does("reconstruct", "--weights", "finetuned", "--json"))
    assert shown["rows"] == ["original", "layer 2", "fine-tuned"]


def test_finetuned_weights_are_those_of_the_last_head(trained: Shell) -> None:
    codes = []
    for head in ("classifier", "reconstruction", "classifier"):
        trained.does("finetune", "--head", head, "--seed", 3)
        trained.does("encode", "--weights", "finetuned", "--out", "codes.npy", "--force")
        codes.append(np.load(trained.folder / "codes.npy"))
    assert np.array_equal(codes[0], codes[2]) and not np.array_equal(codes[0], codes[1])
    document = json.loads(trained.does("evaluate", "--json"))
    assert "accuracy" in document and "finetuned_reconstruction" in document


def test_no_test_part_means_no_test_error(fresh: Shell) -> None:
    fresh.does(*PRETRAIN, "--test-fraction", 0)
    assert "squared_error" not in json.loads(fresh.does("finetune", "--head", "reconstruction", "--json"))
    fresh.does("finetune", "--head", "reconstruction")


def test_what_was_not_fine_tuned_so_is_refused(trained: Shell) -> None:
    says(
        trained.refuses(4, "reconstruct", "--weights", "finetuned"),
        "reconstruction.safetensors: expected a trained reconstruction, got none; run `stackae finetune --head "
        "reconstruction`",
    )
    for command in ("encode", "reconstruct"):
        sentence = trained.refuses(2, command, "--weights", "finetund")
        says(sentence, "--weights: expected pretrained or finetuned, got 'finetund'; did you mean 'finetuned'?")
    says(
        trained.refuses(2, "reconstruct", "--weights", "finetuned", "--layer", 1),
        "--layer: expected 2, the top of what was fine-tuned as one network, got 1; leave it out",
    )
    says(trained.refuses(2, "finetune", "--head", "reconstructor"), "head: expected one of classifier, reconstruction")


def changed(run: Path, tensors: Any = lambda each: each, **description: Any) -> bytes:
    path = run / "reconstruction.safetensors"
    with opened(path, path.read_bytes()) as (found, described):
        return pack(tensors(dict(found)), **{**described, **description})


def test_files_of_another_shape_are_refused_before_anything_is_made_of_them(trained: Shell) -> None:
    trained.does("finetune", "--head", "reconstruction")
    run = trained.run
    for content, found in (
        (changed(run, sizes=[8, 6, 8]), "sizes [8, 6, 8] instead of [8, 6, 4, 8]"),
        (changed(run, kind="classifier"), "classifier of sizes"),
        (changed(run, outputs=["tanh", "sigmoid"]), "output activations ['tanh', 'sigmoid'] instead of"),
        (changed(run, outputs=["sigmoid"]), "zip() argument 2 is longer"),
        (changed(run, lambda each: {**each, "more": torch.ones(5)}), "numbers instead of"),
        (changed(run, lambda each: {f"x.{name}": own for name, own in each.items()}), "instead of"),
        (changed(run, lambda each: {name: own / 0 for name, own in each.items()}), "holds NaN or Inf"),
        (b"nothing", "a damaged file"),
    ):
        replaced(run, "reconstruction.safetensors", content)
        for command in (("evaluate",), ("encode", "--weights", "finetuned"), ("reconstruct", "--weights", "finetuned")):
            says(trained.refuses(4, *command), "reconstruction.safetensors: expected a stage of this run", found)


# ---- how it is trained

GRADUAL = ("--train", "gradual", "--layer-decay", "0.5", "--max-norm", "0.9", "--batch-size", "16", "--epochs", "6")


@pytest.mark.parametrize("head", ["classifier", "reconstruction"])
@pytest.mark.parametrize("at", [2, 7, 14])
def test_a_gradual_training_goes_on_to_the_same_bytes(trained: Shell, head: str, at: int) -> None:
    command = ("finetune", "--head", head, *GRADUAL)
    trained.does(*command)
    whole = {name: (trained.run / name).read_bytes() for name in (f"{head}.safetensors", "config.toml")}
    epochs = [record for record in records(trained.run) if record["stage"] == head][-6:]
    stop(trained, *command, at=at)
    trained.does("resume")
    assert {name: (trained.run / name).read_bytes() for name in whole} == whole
    assert [record for record in records(trained.run) if record["stage"] == head][-6:] == epochs


def test_how_it_is_trained_is_said_and_kept(trained: Shell) -> None:
    result = trained("finetune", *GRADUAL, "--json")
    says(result.err, "head     classifier, pretrained weights, train gradual, layer decay 0.5, max norm 0.9")
    says(result.err, "step     fused on cpu (")
    document, kept = json.loads(result.out), settings(trained.run)["finetune"]
    for name, value in {"head": "classifier", "train": "gradual", "layer_decay": 0.5, "max_norm": 0.9}.items():
        assert document[name] == kept[name] == value
    says(trained("finetune").err, "head     classifier, pretrained weights, train all, as max_epochs is given\n")
    says(trained.does("finetune", "--head", "reconstruction"), "Fine-tuned: reconstruction", "validation loss")


def test_settings_of_the_training_that_do_not_fit_are_refused(trained: Shell) -> None:
    says(
        trained.refuses(2, "finetune", "--train", "head", "--layer-decay", "0.5"),
        "layer_decay 0.5: expected layers below the head that are trained, got train head; use train all or gradual",
    )
    says(
        trained.refuses(2, "finetune", "--precision", "tf32", "--max-norm", "1"),
        "precision tf32: expected a training that the fused step has, got max_norm 1; use precision fp32",
    )


# ---- numbers, and several labels


def write_targets(folder: Path) -> None:
    """table.csv: eight features, two numbers and two labels, of which some are missing; arrays.npz has the numbers."""
    x = np.load(folder / "unlabelled.npy")
    numbers, labels = np.stack([100 * x[:, 0], x[:, 1] - x[:, 2]], axis=1), x[:, 3:5] > np.median(x[:, 3:5], axis=0)
    np.savez(folder / "arrays.npz", x=x, y=np.where(np.arange(60)[:, None] % 7 == 0, np.nan, numbers))
    lines = [",".join([*(f"f{i}" for i in range(8)), "price", "rent", "wet", "hot"])]
    for i, row in enumerate(zip(x, numbers, labels, strict=True)):
        cells = [str(cell) for part in row for cell in (part.astype(float)).tolist()]
        if i % 5 == 0:
            cells[8] = ""
        if i % 6 == 0:
            cells[10:] = ["", ""]
        lines.append(",".join(cells))
    (folder / "table.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("head", ["regressor", "multilabel"])
def test_targets_are_learned_kept_resumed_and_scored(fresh: Shell, head: str) -> None:
    write_targets(fresh.folder)
    fresh.does("pretrain", "--layers", "8,6,4", "--data", "unlabelled.npy", "--run", "runs/first")
    target = "price,rent" if head == "regressor" else "wet,hot"
    drop = ("--data", "table.csv", "--target", target)
    if head == "multilabel":  # the other targets are features of this table: it is narrowed first
        lines = (fresh.folder / "table.csv").read_text().splitlines()
        kept = [",".join(cells[:8] + cells[10:]) for cells in (line.split(",") for line in lines)]
        (fresh.folder / "table.csv").write_text("\n".join(kept) + "\n")
    else:
        lines = (fresh.folder / "table.csv").read_text().splitlines()
        (fresh.folder / "table.csv").write_text("\n".join(line.rsplit(",", 2)[0] for line in lines) + "\n")
    command = ("finetune", "--head", head, *drop, "--train", "gradual", "--epochs", 6, "--batch-size", 16)
    result = fresh(*command, "--json")
    says(result.err, f"head     {head}, pretrained weights, train gradual", f"with targets {target.replace(',', ', ')}")
    document = json.loads(result.out)
    file = (fresh.run / f"{head}.safetensors").read_bytes()
    stop(fresh, *command, at=8)
    fresh.does("resume")
    assert (fresh.run / f"{head}.safetensors").read_bytes() == file
    evaluated = json.loads(fresh.does("evaluate", "--json"))[head]
    names = {"regressor": ("targets", "target", "r2"), "multilabel": ("labels", "label", "auroc")}[head]
    assert [each[names[1]] for each in evaluated[names[0]]] == target.split(",")
    assert evaluated[names[0]] == document[names[0]] and all(names[2] in each for each in evaluated[names[0]])
    says(fresh.does("evaluate"), *target.split(","), "layer 2 (4)")
    fresh.does("evaluate", "--part", "train", "--data", "unlabelled.npy")
    fresh.does("encode", "--weights", "finetuned")
    fresh.does(*command[:3], "--data", "table.csv", "--target", target)
    assert settings(fresh.run)["finetune_data"]["target_kind"] == "numbers"


def test_a_run_pretrained_beside_targets_leaves_them_out(fresh: Shell) -> None:
    write_targets(fresh.folder)
    kind = ("--target-kind", "numbers")
    fresh.does("pretrain", "--layers", "8,6,4", "--data", "table.csv", "--target", "price,rent,wet,hot", *kind)
    document = json.loads(fresh.does("finetune", "--head", "regressor", "--json"))
    assert [each["target"] for each in document["targets"]] == ["price", "rent", "wet", "hot"]
    fresh.does("pretrain", "--layers", "8,6,4", "--data", "arrays.npz", *kind)
    assert "Fine-tuned: regressor" in fresh.does("finetune", "--head", "regressor")
    says(fresh.does("data", "check", "arrays.npz", *kind), "pretraining takes the data", *kind)


def test_targets_that_do_not_fit_are_refused(fresh: Shell) -> None:
    write_targets(fresh.folder)
    fresh.does("pretrain", "--layers", "8,6,4", "--data", "arrays.npz", "--target-kind", "numbers")
    says(fresh.refuses(3, "finetune", "--head", "multilabel"), "targets: expected labels that are 0 or 1, or missing")
    says(fresh.refuses(3, "finetune", "--head", "classifier"), "expected labels y of shape (n,), integers or strings")
    says(
        fresh.refuses(3, "finetune", "--head", "regressor", "--data", "unlabelled.npy"),
        "targets: expected numbers to train a regressor, got none; use data that has them",
    )
    says(fresh.refuses(2, "evaluate", "--target-kind", "number"), "target_kind: expected one of classes, numbers")
    fresh.does("finetune", "--head", "regressor")
    table = ("--data", "table.csv", "--target", "price,rent,wet,hot")
    says(fresh.refuses(3, "evaluate", *table), "targets: expected y0, y1, got price, rent, wet, hot; name them by")


def test_files_of_other_targets_are_refused(fresh: Shell) -> None:
    write_targets(fresh.folder)
    fresh.does("pretrain", "--layers", "8,6,4", "--data", "arrays.npz", "--target-kind", "numbers")
    fresh.does("finetune", "--head", "regressor")
    path = fresh.run / "regressor.safetensors"
    with opened(path, path.read_bytes()) as (tensors, described):
        several = [
            (pack(tensors, **{**described, "targets": ["a"]}), "of sizes [8, 6, 4, 2] instead of [8, 6, 4, 1]"),
            (pack(tensors, **{**described, "kind": "multilabel"}), "multilabel of sizes"),
            (pack({**tensors, "more": torch.ones(999)}, **described), "numbers instead of"),
            (pack({name: own for name, own in tensors.items() if name != "scale"}, **described), "instead of"),
        ]
    for content, found in several:
        replaced(fresh.run, path.name, content)
        says(fresh.refuses(4, "evaluate"), "regressor.safetensors: expected a stage of this run", found)
