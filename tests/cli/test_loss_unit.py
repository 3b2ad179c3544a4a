"""Losses are shown per row or per feature; what is stored is per row."""

from __future__ import annotations

import json
import re

import pytest
from shell import Shell

OPTIONS = ("--layers", "8,6,4", "--data", "unlabelled.npy", "--epochs", "2", "--corruption", "masking:0.2")


def losses_of(told: str, word: str) -> list[float]:
    """What follows a word in the lines of epochs."""
    return [float(found) for found in re.findall(rf"{word} ([-.0-9e]+)", told)]


@pytest.mark.parametrize("seeds", [(), ("--seeds", "2")], ids=["one", "together"])
def test_losses_per_feature_are_those_per_row_by_the_width_of_the_layers_input(
    fresh: Shell, seeds: tuple[str, ...]
) -> None:
    shown = {
        unit: fresh("pretrain", *OPTIONS, *seeds, "--run", f"runs/{unit}", "--loss-unit", unit)
        for unit in ("row", "feature")
    }
    for word in ("loss", "validation", "under noise"):
        row, feature = (losses_of(shown[unit].err, word) for unit in ("row", "feature"))
        assert len(row) == len(feature) == 4
        assert feature == pytest.approx([loss / width for loss, width in zip(row, (8, 8, 6, 6), strict=True)], rel=1e-3)
    assert "losses per feature" in shown["feature"].out and "losses per feature" not in shown["row"].out
    stored = [
        [
            [json.loads(line)["loss"] for line in path.read_text().splitlines()]
            for path in sorted((fresh.folder / "runs" / unit).rglob("metrics.jsonl"))
        ]
        for unit in ("row", "feature")
    ]
    assert stored[0] and stored[0] == stored[1]


def test_the_table_of_one_stack_is_in_that_unit(fresh: Shell) -> None:
    fresh.does("pretrain", *OPTIONS, "--run", "runs/a", "--json")
    (first, second) = json.loads(fresh.does("pretrain", *OPTIONS, "--run", "runs/b", "--json"))["layers"]
    printed = fresh.does("pretrain", *OPTIONS, "--run", "runs/c", "--loss-unit", "feature")
    for layer, width in ((first, 8), (second, 6)):
        assert f"{layer['loss'] / width:.3g}" in printed and f"{layer['validation_loss'] / width:.3g}" in printed


def test_a_width_of_auto_is_that_of_the_rows_in_every_file_and_message(fresh: Shell) -> None:
    options = ("--data", "unlabelled.npy", "--epochs", "2", "--loss-unit", "feature")
    told = [
        fresh("pretrain", "--layers", layers, *options, "--run", f"runs/{layers[:4]}")
        for layers in ("auto,6,4", "8,6,4")
    ]
    assert losses_of(told[0].err, "validation") == losses_of(told[1].err, "validation") != []
    assert "layer 1/2 8-6-8" in told[0].err and "rows of 8" in told[0].err
    for name in ("config.toml", "layer1.safetensors", "layer2.safetensors", "metrics.jsonl"):
        auto, number = ((fresh.folder / "runs" / run / name).read_text("latin-1") for run in ("auto", "8,6,"))
        assert name == "metrics.jsonl" or auto == number
    plan = fresh.does("pretrain", "--layers", "auto,6,4", *options[:2], "--dry-run", "--json")
    assert json.loads(plan)["layers"][0]["sizes"] == "8-6-8"
    resumed = fresh.does("pretrain", "--layers", "auto,6,4", *options, "--run", "runs/auto", "--resume")
    assert "nothing is left to do" in resumed


def test_another_unit_is_refused(fresh: Shell) -> None:
    told = fresh.refuses(2, "pretrain", *OPTIONS, "--loss-unit", "rows")
    assert "--loss-unit: expected row or feature, got 'rows'; did you mean 'row'?" in told
