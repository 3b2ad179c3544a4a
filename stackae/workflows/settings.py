"""Settings of a training, from options by name: those of a file of settings, and others on top of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stackae.config import DataConfig, FinetuneConfig, LayerConfig, PretrainConfig, RunConfig, read_tables
from stackae.config.values import Model, validated
from stackae.errors import ConfigError, argument, nearest
from stackae.workflows.inputs import absolute, overridden

Tables = dict[str, dict[str, Any]]


def run_settings(options: Mapping[str, Any], config: Path | None = None) -> RunConfig:
    """The data and layers of a pretraining: defaults < ``config``, a TOML file < options that are not None.

    Options of layers are values for all layers, or texts with commas between those of each: ``{"data": "mnist",
    "layers": "784,300,150", "activation": "relu,sigmoid"}``. Others than these settings are ignored.

    Raises:
        ConfigError: no layers, or a value that cannot work.
    """
    tables = read_tables(config)
    return RunConfig(data=data_settings(options, tables), pretrain=pretrain_settings(options, tables))


def data_settings(options: Mapping[str, Any], tables: Tables) -> DataConfig:
    """What the options say of the data, on top of the tables of a file; its paths are absolute."""
    return absolute(validated(DataConfig, overridden(tables.get("data", {}), _given(options, DataConfig)), "data"))


def pretrain_settings(options: Mapping[str, Any], tables: Tables) -> PretrainConfig:
    """What the options say of layers and their training, on top of the tables of a file."""
    given = _given(options, PretrainConfig, LayerConfig)
    layers = given.pop("layers", None)
    if (weights := options.get("weights")) is not None:
        given["tied"] = ",".join(_tied(word.strip()) for word in weights.split(","))
    return PretrainConfig.from_options(layers, base=tables.get("pretrain"), **given)


def finetune_settings(options: Mapping[str, Any], config: Path | None = None) -> FinetuneConfig:
    """Settings of a head: defaults < ``config``, a TOML file < options that are not None. Raises ConfigError."""
    return validated(FinetuneConfig, read_tables(config).get("finetune", {}) | _given(options, FinetuneConfig))


def _given(options: Mapping[str, Any], *kinds: type[Model]) -> dict[str, Any]:
    """Those of the options that are settings of these kinds, and not None."""
    names = {name for kind in kinds for name in kind.model_fields}
    found = {name: value for name, value in options.items() if value is not None and name in names}
    if options.get("epochs") is not None and "max_epochs" in names:
        found["max_epochs"] = options["epochs"]
    return found


def _tied(word: str) -> str:
    if word not in ("tied", "untied"):
        raise ConfigError(
            f"{argument('weights')}: expected tied or untied, got '{word}'{nearest(word, ('tied', 'untied'))}"
        )
    return "true" if word == "tied" else "false"
