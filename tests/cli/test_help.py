"""What help texts say of defaults is what the code does without the option."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
import typer.main
from pydantic import BaseModel, ValidationError

from stackae.cli.main import app
from stackae.cli.sweep import BESIDE
from stackae.config import DataConfig, FinetuneConfig, LayerConfig, PretrainConfig
from stackae.workflows.sweeping import usual_layers

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
OF_RUN = {"data", "data_root", "target", "target_kind", "scale", "validation_fraction", "test_fraction"}
RENAMED = {"epochs": "max_epochs"}


def told(command: str) -> dict[str, str]:
    """The default of each option that tells one."""
    found = {}
    for each in COMMANDS[command].params:
        default = re.search(r"\\\[default: (.*?)\]\[/dim\]", getattr(each, "help", None) or "")
        if default:
            found[each.name] = default[1]
    return found


def says(text: str, model: type[BaseModel], name: str) -> bool:
    """Whether a help text tells the default of a setting, perhaps with an explanation behind a colon."""
    needed: dict[str, Any] = {"n_hidden": 1} if model is LayerConfig else {"n_visible": 2, "layers": ({"n_hidden": 1},)}
    given = needed if model in (LayerConfig, PretrainConfig) else {}
    for value in (text, text.split(":")[0]):
        with contextlib.suppress(ValidationError):
            if getattr(model.model_validate(given | {name: value}), name) == model.model_fields[name].default:
                return True
    return False


def test_there_are_commands_that_read_a_run() -> None:
    reading = [name for name, command in COMMANDS.items() if {"run", "data"} <= {each.name for each in command.params}]
    assert {"finetune", "evaluate", "predict", "encode", "reconstruct", "sample", "score", "resume"} <= set(reading)


@pytest.mark.parametrize(
    "command", ["finetune", "evaluate", "predict", "encode", "reconstruct", "sample", "score", "resume"]
)
def test_what_reads_a_run_reads_the_runs_own_data(command: str) -> None:
    defaults = told(command)
    of_run = OF_RUN & defaults.keys()
    assert {name: defaults[name] for name in of_run} == dict.fromkeys(of_run, "the run's own")
    assert "data" in defaults


@pytest.mark.parametrize("command", ["pretrain", "finetune", "sweep"])
def test_defaults_of_settings_are_those_of_the_configuration(command: str) -> None:
    models: list[Any] = [FinetuneConfig] if command == "finetune" else [DataConfig, PretrainConfig, LayerConfig]
    own = {"activation", "corruption", "init"} if command == "sweep" else {"data", "data_root", "seed"}
    own |= {"target", "target_kind"} if command == "finetune" else {"weights", "target"}
    compared = 0
    for name, text in told(command).items():
        field = RENAMED.get(name, name)
        for model in models:
            if field in model.model_fields and (name not in own or (command == "pretrain" and name != "target")):
                assert says(text, model, field), f"{command} --{name}: {text}"
                compared += 1
    assert compared > 10


def test_a_sweep_says_what_its_layers_are() -> None:
    usual, defaults = usual_layers({}, {}, [8], 4), told("sweep")
    for name, value in usual.items():
        first, _, second = defaults[name].partition("; ")
        assert first == value and says(second.removesuffix(f" {BESIDE}"), LayerConfig, name)
