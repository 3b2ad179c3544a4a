"""stackae config: files that are written, shown with sources, checked and compared; and what the shell completes."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from cli_cases import says
from shell import Shell

PRETRAIN = ("config", "show", "--json", "pretrain")


def shown(shell: Shell, *arguments: object, **environment: str) -> dict[str, tuple[Any, str]]:
    """Values and sources by the names of settings."""
    document = json.loads(shell.does(*arguments, **environment))
    return {each["name"]: (each["value"], each["source"]) for each in document["settings"]}


def test_a_written_file_holds_and_trains(fresh: Shell) -> None:
    assert "next        stackae pretrain --config stackae.toml" in fresh.does("config", "init", "--layers", "8,6,4")
    assert "stackae.toml: holds (data, pretrain, finetune)" in fresh.does("config", "check", "stackae.toml")
    fresh.does("pretrain", "--config", "stackae.toml", "--data", "labelled.npz")
    found = json.loads(fresh.does("config", "diff", "stackae.toml", "runs/latest", "--json"))["settings"]
    assert {"data.data", "pretrain.layer1.max_epochs"} <= {each["name"] for each in found}
    assert all(each["first"] != each["second"] for each in found)
    assert "runs/latest" in fresh.does("config", "diff", "stackae.toml", "runs/latest")
    assert fresh.does("config", "diff", "runs/latest", "runs/latest") == "no setting differs\n"


def test_a_file_that_exists_is_kept(fresh: Shell) -> None:
    fresh.does("config", "init")
    says(fresh.refuses(2, "config", "init"), "expected a new file", "stackae.toml", "--force")
    fresh.does("config", "init", "--force", "--layers", "8,3")
    assert shown(fresh, "config", "show", "--json", "stackae.toml")["pretrain.layer1.n_hidden"] == (3, "stackae.toml")


def test_each_value_is_shown_with_its_source(fresh: Shell) -> None:
    (fresh.folder / "own.toml").write_text(
        '[pretrain]\noptimizer = "sgd"\nactivation = "tanh"\nn_visible = 8\n'
        '[[pretrain.layers]]\nn_hidden = 6\n[[pretrain.layers]]\nn_hidden = 4\nloss = "mse"\n'
    )
    found = shown(fresh, *PRETRAIN, "--config", "own.toml", "--corruption", "masking:0.3", STACKAE_SEED="5")
    assert found["pretrain.seed"] == (5, "STACKAE_SEED")
    assert found["pretrain.layer2.max_epochs"] == (2, "STACKAE_EPOCHS")
    assert found["pretrain.layer1.corruption"] == ("masking:0.3", "--corruption")
    assert found["pretrain.optimizer"] == ("sgd", "own.toml")
    assert found["pretrain.layer1.activation"] == found["pretrain.layer2.activation"] == ("tanh", "own.toml")
    assert found["pretrain.layer1.loss"] == ("auto", "default")
    assert found["pretrain.layer2.loss"] == ("mse", "own.toml")
    assert found["pretrain.layer1.n_hidden"] == (6, "own.toml")
    assert found["data.scale"] == ("auto", "default")
    override = shown(fresh, *PRETRAIN, "--config", "own.toml", "--layers", "8,5,3")
    assert override["pretrain.layer1.n_hidden"] == (5, "--layers") and override["pretrain.n_visible"][1] == "--layers"
    head = shown(fresh, "config", "show", "--json", "finetune", "--dropout", "0.2")
    assert head["finetune.dropout"] == ("0.2:0.2", "--dropout") and head["finetune.max_norm"] == (0.0, "default")


def test_defaults_are_shown_when_they_are_asked_for(fresh: Shell) -> None:
    some, every = (fresh.does("config", "show", *more, "pretrain", "--layers", "8,6") for more in ((), ("--all",)))
    assert "more are at their defaults; --all shows them" in some and "pretrain.schedule" not in some
    assert "pretrain.schedule" in every and "at their defaults" not in every


def test_what_a_run_used_is_shown(fresh: Shell) -> None:
    fresh.does("pretrain", "--layers", "8,6", "--data", "labelled.npz")
    found = shown(fresh, "config", "show", "--json", "runs/latest")
    assert found["pretrain.layer1.n_hidden"] == (6, "runs/latest")
    assert found["pretrain.schedule"] == ("cosine", "default")


def test_what_cannot_be_shown(fresh: Shell) -> None:
    says(fresh.refuses(2, "config", "show", "pretran"), "expected pretrain, finetune, a", "did you mean 'pretrain'?")
    says(fresh.refuses(2, "config", "show", "gone.toml"), "got none", "name one that exists")
    fresh.does("config", "init")
    says(fresh.refuses(2, "config", "show", "stackae.toml", "--seed", "1"), "expected no options", "got --seed")
    says(fresh.refuses(2, "config", "show", "pretrain", "--layers", "8,x"), "whole numbers", "got 'x'")


def test_a_check_names_what_is_wrong_in_every_table(fresh: Shell) -> None:
    (fresh.folder / "own.toml").write_text('[data]\nscale = "minmx"\n[pretrain]\nactivation = "sigmod"\n')
    sentence = fresh.refuses(2, "config", "check", "own.toml")
    says(sentence, "own.toml: data.scale: expected one of", "did you mean 'minmax'?")
    says(sentence, "own.toml: pretrain", "did you mean 'sigmoid'?")
    (fresh.folder / "own.toml").write_text("[pretrain]\nseed = 3\n")  # beside --layers
    assert json.loads(fresh.does("config", "check", "own.toml", "--json"))["tables"] == ["pretrain"]
    assert "pretrain.seed" in fresh.does("config", "show", "own.toml")


def test_the_schema_is_a_document(fresh: Shell) -> None:
    document = json.loads(fresh.does("config", "schema"))
    assert document["$defs"]["LayerConfig"]["properties"]["loss"]["enum"] == ["auto", "mse", "bce"]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("pretrain --activation sigmoid,re", ["sigmoid,relu"]),
        ("pretrain --corruption g", ["gaussian"]),
        ("pretrain --weights u", ["untied"]),
        ("pretrain --data m", ["mnist"]),
        ("encode --weights f", ["finetuned"]),
        ("encode --run runs/l", ["runs/latest"]),
        ("runs show runs/l", ["runs/latest"]),
        ("config show fi", ["finetune"]),
        ("config diff runs/l", ["runs/latest"]),
    ],
)
def test_the_shell_offers_values(fresh: Shell, words: str, offered: list[str]) -> None:
    (fresh.folder / "runs" / "latest").mkdir(parents=True)
    line = {"COMP_WORDS": f"stackae {words}", "COMP_CWORD": str(len(words.split()))}
    result = fresh(**line, _STACKAE_COMPLETE="complete_bash")
    assert result.out.split() == offered, os.linesep.join(result)
