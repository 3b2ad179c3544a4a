"""Recipes: every file is complete, and the figures of a planted one are those of the run that it trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from shell import Shell
from sklearn.cluster import KMeans

from stackae.config import LayerConfig, PretrainConfig
from stackae.config import recipe as recipes
from stackae.config.recipe import CheckConfig, RecipeConfig, read_recipe, recipe_names
from stackae.errors import ConfigError
from stackae.metrics import cluster_accuracy
from stackae.runs import Run

LAYERS = {*LayerConfig.model_fields} - {"ridge", "hidden", "beta", "shape", "channels", "kernel", "pool"}
EVERYWHERE = {"seed", "engine", "device", "precision", "codes", "shuffle"}
PLANTED = """
title = "a planted recipe"
paper = "nobody (2000)"
notes = "none"
minutes = 0.1

[data]
data = "labelled.npz"
scale = "none"
validation_rows = "last:12"

[pretrain]
n_visible = 8

[[pretrain.layers]]
n_hidden = 6
activation = "relu"
output_activation = "sigmoid"
tied = false
loss = "bce"
corruption = "masking:0.2"
init = "random"
learning_rate = 0.003
max_epochs = 4
patience = 0

[[pretrain.layers]]
n_hidden = 4
activation = "linear"
output_activation = "linear"
tied = true
loss = "mse"
corruption = "masking:0.3"
init = "random"
learning_rate = 0.003
max_epochs = 2
patience = 0

[[finetune]]
head = "classifier"
train = "all"
unlabelled = "none"
max_epochs = 40
learning_rate = 0.05
batch_size = 8

[[finetune]]
head = "reconstruction"
max_epochs = 2

[[checks]]
name = "cross-entropy"
figure = "reconstruction"
layer = 1
unit = "feature"
published = 0.5
high = 2.0

[[checks]]
name = "noisy loss"
figure = "loss"
part = "train"
rows = 10
layer = 1
corrupted = true
high = 50

[[checks]]
name = "clusters"
figure = "clusters"
part = "train"
low = 0

[[checks]]
name = "svm"
figure = "svm"
high = 100

[[checks]]
name = "mean code"
figure = "mean_code"
layer = 1
low = 0

[[checks]]
name = "dead units"
figure = "dead"
layer = 1
part = "train"
high = 100

[[checks]]
name = "error"
figure = "error"
after = 1
published = 1.0
high = 60

[[checks]]
name = "unrolled"
figure = "reconstruction"
after = 2
high = 50

[[checks]]
name = "seconds"
figure = "seconds"
after = 2
high = 1000
"""


@pytest.fixture
def planted(fresh: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A folder with data, where `planted` is the only recipe."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "planted.toml").write_text(PLANTED)
    monkeypatch.setattr(recipes, "FOLDER", tmp_path / "recipes")
    return fresh


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_says_all_that_could_change_its_figures(name: str) -> None:
    recipe = read_recipe(name)
    own = {*PretrainConfig.model_fields} - EVERYWHERE - {"n_visible", "layers"}
    assert own <= recipe.pretrain.model_fields_set
    for layer in recipe.pretrain.layers:
        needed = {
            each for each in LAYERS if layer.kind == "dense" or each in ("n_hidden", "learning_rate", "max_epochs")
        }
        assert needed <= layer.model_fields_set, needed - layer.model_fields_set
        assert "auto" not in (layer.output_activation, layer.max_epochs, layer.patience)
    for head in recipe.finetune:
        said = {"head", "init", "train", "layer_decay", "class_weight", "outputs", "initial_weights", "learning_rate"}
        said |= {"unlabelled", "weight_decay", "decaying", "max_norm", "max_epochs", "batch_size", "patience"}
        assert said | own <= head.model_fields_set
    assert {"data", "scale"} <= recipe.data.model_fields_set and recipe.data.scale != "auto"
    compared = [check for check in recipe.checks if check.published is not None or check.measured is not None]
    assert compared or "prints no figure" in recipe.notes
    assert recipe.paper and recipe.notes


def test_figures_are_those_of_the_run(planted: Shell) -> None:
    document = json.loads(planted.does("recipes", "run", "planted", "--seeds", 2, "--json"))
    figures = {each["figure"]: each["seeds"] for each in document["checks"]}
    assert document["reproduced"] and document["seeds"] == [0, 1] and all(len(own) == 2 for own in figures.values())
    folder = planted.folder / "runs" / "recipe-planted"
    assert json.loads((folder / "recipe.json").read_text()) == document
    for seed in (0, 1):
        run = Run.open(folder / f"run-{seed}")
        assert run.pretrain_config.seed == seed
        evaluated = json.loads(planted.does("evaluate", "--run", run.path, "--json"))
        assert figures["error"][seed] == pytest.approx(100 * (1 - evaluated["accuracy"]))
        assert figures["cross-entropy"][seed] == pytest.approx(evaluated["reconstruction"][0]["mean_cross_entropy"])
        assert figures["unrolled"][seed] == pytest.approx(evaluated["finetuned_reconstruction"]["cross_entropy"])
        printed = planted.does("evaluate", "--run", run.path)
        assert "cross-entropy" in printed and f"{figures['cross-entropy'][seed]:.4g}" in printed
        with np.load(planted.folder / "labelled.npz") as file:
            x = torch.from_numpy(file["x"])
        stack = run.load_stack()
        assert figures["mean code"][seed] > 0 and 0 <= figures["clusters"][seed] <= 100
        noisy = figures["noisy loss"][seed]
        clean = torch.nn.functional.binary_cross_entropy_with_logits(stack.logits(x, 1), x, reduction="sum") / len(x)
        assert float(clean.detach()) * 0.8 < noisy < float(clean.detach()) * 1.5


def test_a_recipe_goes_on_and_its_layers_can_be_run_alone(planted: Shell) -> None:
    first = json.loads(planted.does("recipes", "run", "planted", "--pretrain-only", "--json"))
    result = planted("recipes", "run", "planted", "--json")
    assert result.code == 1 and "seconds: expected at most 1000, got nan, as an earlier call trained a" in result.err
    again = json.loads(result.out)
    assert [each["figure"] for each in first["checks"]] == [each["figure"] for each in again["checks"]][:6]
    assert [each["seeds"] for each in first["checks"]] == [each["seeds"] for each in again["checks"]][:6]


def test_it_prints_published_and_ours_and_ends_with_1_outside_the_band(planted: Shell) -> None:
    path = planted.folder / "recipes" / "planted.toml"
    path.write_text(PLANTED.replace("high = 2.0", "high = 0.001"))
    result = planted("recipes", "run", "planted", "--pretrain-only")
    assert result.code == 1
    assert "planted: cross-entropy: expected at most 0.001, got 0." in result.err
    row = next(line for line in result.out.splitlines() if "cross-entropy" in line)
    assert "0.5" in row and "at most 0.001" in row and "NO" in row
    both = planted("recipes", "run", "planted", "--pretrain-only", "--json")
    assert both.code == 1 and json.loads(both.out)["reproduced"] is False


def test_list_and_show_say_what_there_is(planted: Shell) -> None:
    assert "planted" in planted.does("recipes", "list") and "a planted recipe" in planted.does("recipes", "list")
    assert [each["name"] for each in json.loads(planted.does("recipes", "list", "--json"))["recipes"]] == ["planted"]
    shown = planted.does("recipes", "show", "planted")
    assert "nobody (2000)" in shown and "[[pretrain.layers]]" in shown and "at most 60" in shown
    assert json.loads(planted.does("recipes", "show", "planted", "--json"))["title"] == "a planted recipe"


def test_what_is_not_there_is_refused(fresh: Shell) -> None:
    sentence = fresh.refuses(2, "recipes", "run", "keras-simpel")
    assert "recipe: expected one of" in sentence and "did you mean 'keras-simple'" in sentence
    assert "MNIST" in fresh.refuses(3, "recipes", "run", "keras-simple", "--data-root", "nowhere")
    assert "seeds: expected 1 to 1000, got 0" in fresh.refuses(2, "recipes", "run", "keras-simple", "--seeds", 0)


def config(**given: Any) -> RecipeConfig:
    pretrain = {"n_visible": 4, "layers": [{"n_hidden": 2}]}
    check = {"name": "loss", "figure": "loss", "high": 1.0} | given
    return RecipeConfig(title="t", paper="p", minutes=1, data={}, pretrain=pretrain, checks=[check])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"high": None}, "check loss: expected a band, low or high or both, got none; give one"),
        ({"after": 1}, "check loss: expected one of 0 fine-tunings and of 1 layers, got 1 and 0"),
        ({"layer": 2}, "check loss: expected one of 0 fine-tunings and of 1 layers, got 0 and 2"),
    ],
)
def test_checks_that_cannot_be_computed_are_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        config(**given)


def test_a_recipe_without_figures_of_its_layers_cannot_be_run_without_fine_tuning() -> None:
    recipe = config().model_copy(update={"checks": (CheckConfig(name="e", figure="error", after=1, high=1),)})
    with pytest.raises(ConfigError, match="mine: expected a figure of its layers, got none before fine-tuning"):
        recipe.of_the_layers("mine")


@pytest.mark.parametrize(("low", "high", "inside", "outside"), [(1, 2, (1, 2), (0.9, 2.1)), (None, 2, (0,), (3,))])
def test_a_band_has_its_ends_and_no_nan(low: Any, high: Any, inside: tuple[float], outside: tuple[float]) -> None:
    check = CheckConfig(name="e", figure="error", low=low, high=high)
    assert all(map(check.within, inside)) and not any(map(check.within, (*outside, float("nan"))))


def test_cluster_accuracy_is_that_of_the_best_map() -> None:
    classes = np.array([0, 0, 1, 1, 2, 2])
    assert cluster_accuracy(classes, np.array([2, 2, 0, 0, 1, 1])) == 1
    assert cluster_accuracy(classes, np.array([2, 2, 0, 1, 1, 1])) == pytest.approx(5 / 6)
    points = np.repeat(np.eye(3), 5, axis=0)
    assert cluster_accuracy(np.repeat([0, 1, 2], 5), KMeans(3, n_init=3, random_state=0).fit_predict(points)) == 1
