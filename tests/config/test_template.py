"""The configuration file to start from, and the schema that editors check it by, hold what the models hold."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from stackae.config import DataConfig, FinetuneConfig, LayerConfig, PretrainConfig, RunConfig
from stackae.config.schema import file_schema
from stackae.config.template import template
from stackae.errors import ConfigError

LAYERS = ("784,300,150", "auto,32", "28x28x1,conv16,pool,conv8,30")
SCHEMA = Draft202012Validator(file_schema())


def in_force(text: str) -> dict[str, Any]:
    """The tables of a template of which every comment that is a setting with a value is made one."""
    return tomllib.loads(re.sub(r"^# (\w+ = .+)$", r"\1", text, flags=re.MULTILINE))


@pytest.mark.parametrize("layers", LAYERS)
def test_a_template_is_the_defaults_whether_its_comments_are_in_force_or_not(layers: str) -> None:
    text, wanted = template(layers), PretrainConfig.from_options(layers)
    dense = "conv" not in layers  # a convolution refuses settings of dense layers, defaults too
    for tables in (tomllib.loads(text), *([in_force(text)] if dense else [])):
        assert PretrainConfig.from_options(None, base=tables["pretrain"]) == wanted
        assert DataConfig(**tables["data"]) == DataConfig()
        assert FinetuneConfig(**tables["finetune"]) == FinetuneConfig()


def test_a_template_names_every_setting_once_in_its_table() -> None:
    tables = re.split(r"^\[+([\w.]+)\]+$", template("auto,3"), flags=re.MULTILINE)
    for place, models in (("data", (DataConfig,)), ("pretrain", (PretrainConfig, LayerConfig))):
        body = tables[tables.index(place) + 1]
        found = re.findall(r"^(?:# )?(\w+) =", body, flags=re.MULTILINE)
        known = [name for model in models for name in model.model_fields]
        assert sorted(found) == sorted(set(known) - {"layers", "n_hidden", "shape", "channels", "pool", "kernel"})
    assert all(len(line) <= 100 for line in template().split("\n"))


def test_a_template_of_no_layers_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected the input width and at least one code width"):
        template("784")


@pytest.mark.parametrize("layers", LAYERS)
def test_the_schema_takes_what_a_file_may_hold(layers: str) -> None:
    Draft202012Validator.check_schema(file_schema())
    whole = RunConfig(data=DataConfig(), pretrain=PretrainConfig.from_options(layers), finetune=FinetuneConfig())
    noisy = {"pretrain": {"corruption": "masking:0.3", "dropout": 0.2, "activation": "relu"}}
    for tables in (tomllib.loads(whole.to_toml()), tomllib.loads(template(layers)), in_force(template(layers)), noisy):
        assert [error.message for error in SCHEMA.iter_errors(tables)] == []


@pytest.mark.parametrize(
    "tables",
    [
        {"pretrain": {"activation": "sigmod"}},
        {"pretrain": {"layrs": []}},
        {"pretrain": {"layers": [{"n_hidden": 0}]}},
        {"finetune": {"max_epochs": "many"}},
        {"data": {"storage": "disc"}},
        {"dta": {}},
    ],
)
def test_the_schema_refuses_what_the_command_refuses(tables: dict[str, Any]) -> None:
    assert list(SCHEMA.iter_errors(tables))
