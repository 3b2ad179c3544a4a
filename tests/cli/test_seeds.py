"""Laws of `stackae pretrain --seeds`: what it leaves is one complete run a seed, as if each had been trained alone."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest
from cli_cases import DIVERGING, PNG, PRETRAIN, READERS, says, settings
from shell import Shell

SEEDS = (*PRETRAIN, "--seeds", 3, "--seed", 2, "--run", "runs/many")
NAMES = ["seed-2", "seed-3", "seed-4"]


KEPT = {"checkpoints", "lock", "log.txt", "manifest.json"}


def files_of(folder: Path) -> set[str]:
    """But for the log, the lock, and what a training goes on from."""
    return {path.name for path in folder.iterdir()} - KEPT


def test_there_is_a_complete_run_for_each_seed_and_a_picture_of_all(fresh: Shell) -> None:
    fresh.draws = True
    fresh.does(*SEEDS)
    folder = fresh.folder / "runs" / "many"
    assert files_of(folder) == {"curves.png", *NAMES}
    assert (folder / "curves.png").read_bytes().startswith(PNG)
    names = ("scaling", "division", "calibration", "layer1", "layer2")
    stages = {f"{name}.safetensors" for name in names}
    pictures = {"curves.png", "filters.png", "reconstructions.png", "codes.png"}
    for seed, name in enumerate(NAMES, start=2):
        run = folder / name
        assert files_of(run) == stages | pictures | {"config.toml", "data.json", "explained.json", "metrics.jsonl"}
        assert settings(run)["pretrain"]["seed"] == seed
    assert fresh.run == (folder / "seed-2").resolve()


def test_each_is_the_run_that_its_seed_gives_alone(fresh: Shell) -> None:
    fresh.does(*SEEDS)
    for seed, name in enumerate(NAMES, start=2):
        fresh.does(*PRETRAIN, "--seed", seed, "--run", f"alone/{name}")
        one, other = fresh.folder / "runs" / "many" / name, fresh.folder / "alone" / name
        assert files_of(one) == files_of(other)
        for file in files_of(one):
            assert (one / file).read_bytes() == (other / file).read_bytes()


def test_every_command_takes_a_run_of_them_and_says_so_of_all_of_them(fresh: Shell) -> None:
    fresh.does(*SEEDS)
    for command in READERS:
        fresh.does(command, "--run", "runs/many/seed-3")
        sentence = fresh.refuses(4, command, "--run", "runs/many")
        says(sentence, "runs/many: expected a run folder, got a folder of 3 runs", "--run runs/many/seed-2")
    fresh.does("finetune")
    assert (fresh.folder / "runs" / "many" / "seed-2" / "classifier.safetensors").exists()


@pytest.mark.parametrize("fraction", ["0.1", "0"])
def test_the_summary_is_of_the_kept_epochs_of_all_seeds(fresh: Shell, fraction: str) -> None:
    document = json.loads(fresh.does(*SEEDS, "--validation-fraction", fraction, "--json"))
    assert [seed["seed"] for seed in document["seeds"]] == [2, 3, 4]
    measure = "loss" if fraction == "0" else "validation_loss"
    for number, layer in enumerate(document["layers"]):
        each = [seed["layers"][number] for seed in document["seeds"]]
        losses = [entry[measure] for entry in each]
        assert layer["measure"] == measure and layer["kept_epochs"] == [entry["kept_epoch"] for entry in each]
        assert layer["mean"] == pytest.approx(fmean(losses)) and layer["sd"] == pytest.approx(stdev(losses))
        assert (layer["lowest"], layer["highest"]) == (min(losses), max(losses))
    assert (fresh.folder / document["run"]).resolve() == fresh.run.parent


def test_what_is_printed_names_the_newest_and_the_next_command(fresh: Shell) -> None:
    result = fresh(*SEEDS)
    lines = [line.strip() for line in result.out.splitlines()]
    says(result.out, "3 of 3 seeds: validation loss", "layer 1  8-6-8", "layer 2  6-4-6", "lowest", "highest")
    assert "latest      runs/latest is seed-2" in lines and "runs/many/seed-2 to seed-4" in lines
    assert lines[-1] == "next        stackae finetune --head classifier"
    says(result.err, "seeds    2 to 4, trained together", "layer 1/2 8-6-8, 3 seeds  epoch 1/2  loss ")


def test_one_seed_is_a_population_of_one(fresh: Shell) -> None:
    document = json.loads(fresh.does(*PRETRAIN, "--seeds", 1, "--json"))
    assert [seed["seed"] for seed in document["seeds"]] == [0] and document["layers"][0]["sd"] is None
    (folder,) = (path for path in (fresh.folder / "runs").iterdir() if path.name != "latest")
    assert folder.name.endswith("-labelled-8-6-4-1-seeds") and [path.name for path in folder.iterdir()].count("seed-0")


def test_a_dry_run_shows_how_many_and_writes_nothing(fresh: Shell) -> None:
    before = fresh.files()
    assert "Plan of 5 stacks, trained together" in fresh.does(*PRETRAIN, "--seeds", 5, "--dry-run")
    plans = [json.loads(fresh.does(*PRETRAIN, "--seeds", k, "--dry-run", "--json")) for k in (1, 5)]
    assert [plan["seeds"] for plan in plans] == [[0], [0, 1, 2, 3, 4]]
    one, five = ([layer["input_bytes"] for layer in plan["layers"]] for plan in plans)
    assert five == [one[0], 5 * one[1]]
    assert fresh.files() == before


@pytest.mark.parametrize("seeds", ["0", "-1", "1001", "many", "1.5", ""])
def test_numbers_of_seeds_that_cannot_be(fresh: Shell, seeds: str) -> None:
    says(fresh.refuses(2, *PRETRAIN, "--seeds", seeds), f"--seeds: expected 1 to 1000, got {seeds}".rstrip())


def test_a_seed_beyond_the_largest(fresh: Shell) -> None:
    sentence = fresh.refuses(2, *PRETRAIN, "--seeds", 2, "--seed", 2**63 - 1)
    says(sentence, "seed: expected a number less than", f"got {2**63}")


def test_seeds_are_not_overwritten_but_by_force(fresh: Shell) -> None:
    fresh.does(*SEEDS)
    for again in (SEEDS, (*PRETRAIN, "--run", "runs/many")):
        says(fresh.refuses(2, *again), "runs/many: expected a new folder, got an existing run", "add --force")
    fresh.does(*PRETRAIN, "--seeds", 2, "--run", "runs/many", "--force")
    folder = fresh.folder / "runs" / "many"
    assert files_of(folder) == {"curves.png", "seed-0", "seed-1"}
    (folder / "diary.txt").write_text("mine")
    sentence = fresh.refuses(2, *SEEDS, "--force")
    says(sentence, "runs/many: expected a run and nothing besides, got diary.txt", "move away what is yours")


LINEAR = ("--scale", "none", "--activation", "linear", "--output-activation", "linear", "--corruption", "none")


def test_seeds_that_all_diverge_leave_nothing(fresh: Shell) -> None:
    sentence = fresh.refuses(5, *SEEDS, *LINEAR, *DIVERGING)
    says(sentence, "layer 1/2 8-6-8: expected a finite loss", "in epoch 1 at learning rate 1e+30")


@pytest.mark.parametrize("layer", [1, 2])
def test_a_seed_that_diverges_is_named_and_the_others_are_kept(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch, layer: int
) -> None:
    """Seed 2's weights are spoilt as they are made, in the one layer or the other."""
    from stackae.training.layer import Autoencoder

    made = Autoencoder.__init__

    def spoilt(self: Autoencoder, *arguments: Any, **named: Any) -> None:
        made(self, *arguments, **named)
        if (named.get("seed"), named.get("layer")) == (2, layer):
            self.encoder.weight.data.fill_(np.inf)

    with monkeypatch.context() as patched:
        patched.setattr(Autoencoder, "__init__", spoilt)
        shown = fresh(*SEEDS)
        document = json.loads(fresh.does(*SEEDS, "--force", "--json"))
    says(shown.err, f"seed 2 diverged: layer {layer}/2 ")
    says(shown.out, "Pretrained, 2 of 3 seeds", "runs/latest is seed-3")
    assert shown.code == 0 and fresh.run.name == "seed-3"
    assert document["seeds"][0]["diverged"].startswith(f"layer {layer}/2 ") and "layers" in document["seeds"][1]
    assert len(document["layers"][0]["kept_epochs"]) == 2
    fresh.does("finetune")
    says(fresh.refuses(4, "evaluate", "--run", "runs/many/seed-2"), f"layer{layer}.safetensors: expected")
