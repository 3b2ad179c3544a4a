"""What help, docs/config.md and the schema say of settings is what the docstrings and the code say of them."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic import BaseModel, TypeAdapter, ValidationError

from stackae.cli.main import app
from stackae.cli.sweep import BESIDE
from stackae.config import (
    CorruptionConfig,
    DataConfig,
    FinetuneConfig,
    LayerConfig,
    PretrainConfig,
    RunConfig,
    SparsityConfig,
)
from stackae.config.documented import page, settings_of
from stackae.workflows.sweeping import usual_layers

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands
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


# ---- settings, read from their source

MODELS = (DataConfig, PretrainConfig, LayerConfig, FinetuneConfig, CorruptionConfig, SparsityConfig, RunConfig)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_settings_that_are_read_from_the_source_are_those_of_the_model(model: Any) -> None:
    read = settings_of(model.__name__)
    schema = model.model_json_schema()
    fields = schema.get("properties") or schema["$defs"][model.__name__]["properties"]
    assert list(read) == list(model.model_fields) == list(fields)
    for name, setting in read.items():
        default = model.model_fields[name].default
        assert setting.text[-1] == "." and fields[name]["description"] == setting.text
        assert list(setting.choices) == fields[name].get("enum", [])
        if setting.default:
            found = TypeAdapter(model.model_fields[name].annotation).validate_python(setting.default)
            assert found == default, name
        else:
            assert default is None or model.model_fields[name].is_required(), name


def test_the_page_of_settings_is_current() -> None:
    kept = (Path(__file__).parents[2] / "docs" / "config.md").read_text()
    assert kept == page(), "make it again by python -m stackae.config.documented"


def test_every_option_names_its_values() -> None:
    for name, command in COMMANDS.items():
        for each in command.params:
            assert each.metavar or each.is_flag or each.name == "help", f"{name} {each.name}"
