"""Settings as files and options make them: where each value is from, whether a file holds, how two of them differ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stackae.config import DataConfig, FinetuneConfig, PretrainConfig, read_tables
from stackae.config.template import template
from stackae.config.values import validated
from stackae.errors import ConfigError, shown
from stackae.runs.differences import Difference, flat
from stackae.runs.durable import write_whole
from stackae.runs.run import Run
from stackae.workflows.inputs import Tables, data_settings, finetune_settings, pretrain_settings
from stackae.workflows.outputs import check_out

OF_LAYERS = ("n_visible", "n_hidden", "shape", "channels", "pool", "kind")
"""Settings that --layers gives."""
OPTIONS = {"max_epochs": "epochs", "tied": "weights"}
"""Options by the settings that have another name."""


class Sourced(NamedTuple):
    """A setting by its full name, such as pretrain.layer2.activation, its value, and where that is from: an option, a
    variable of the environment, a file, or "default"."""

    name: str
    value: Any
    source: str


class CheckedFile(NamedTuple):
    """A file whose settings hold, and its tables."""

    path: Path
    tables: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `stackae config check`."""
        return {"file": str(self.path), "tables": self.tables, "holds": True}


def write_template(path: Path, layers: str | None = None, *, force: bool = False) -> None:
    """Write a file in which every setting stands with its default, as a comment; the layers are those given.

    Raises ConfigError for layers that are none, and for a file that exists, unless ``force``.
    """
    text = template(layers or "auto,300,150")
    check_out(path, (".toml",), must_be_new=not force)
    write_whole(path, text.encode())


def settings_with_sources(
    command: str, options: Mapping[str, Any], sources: Mapping[str, str], config: Path | None = None
) -> list[Sourced]:
    """Say what a command would use: defaults < ``config`` < options that are not None, each with its source.

    Args:
        command: pretrain or finetune.
        options: those of ``run_settings`` or ``finetune_settings``, by name.
        sources: of options, by name, what gave them: "--seed", or "STACKAE_SEED".
        config: a TOML file.

    Raises:
        ConfigError: what the command itself would refuse of them.
    """
    tables = read_tables(config)
    if command == "finetune":
        values = {"finetune": finetune_settings(options, config).model_dump(mode="json")}
    else:
        data, stack = data_settings(options, tables), pretrain_settings(options, tables)
        values = {"data": data.model_dump(mode="json"), "pretrain": stack.model_dump(mode="json")}
    return [Sourced(name, value, _source(name, tables, sources, config)) for name, value in flat("", values)]


def settings_of_place(path: Path) -> list[Sourced]:
    """Say what a run used, or what a file holds, and which of it are defaults. Raises what ``tables_of`` raises."""
    usual, place = _flat_defaults(), str(shown(path.absolute()))
    found = tables_of(path).items()
    each = [(name, value) for table, values in found for name, value in flat(table, values)]
    return [Sourced(name, value, "default" if value == usual.get(_of_layer_1(name)) else place) for name, value in each]


def check_file(path: Path) -> CheckedFile:
    """Return the tables of a file, of which each holds.

    Raises:
        ConfigError: some do not; a sentence per table.
    """
    return CheckedFile(path, list(tables_of(path)))


def compare_settings(first: Path, second: Path) -> list[Difference]:
    """List the settings that differ between two files, or runs; what one does not say is at its default there.

    Raises what ``tables_of`` raises.
    """
    one, other = (dict(flat("", tables_of(path))) for path in (first, second))
    usual, found = _flat_defaults(), []
    for name in dict.fromkeys([*one, *other]):
        pair = [each.get(name, usual.get(_of_layer_1(name))) for each in (one, other)]
        if pair[0] != pair[1]:
            found.append(Difference(name, *pair))
    return found


def tables_of(path: Path) -> dict[str, Any]:
    """The values in the tables of a run folder's settings, or of a file, with the defaults of what it does not say.

    Raises:
        RunError: a run without settings. ConfigError: a file that is none, or whose settings do not hold.
    """
    if path.is_dir():
        return Run.open(path).config.model_dump(mode="json", exclude_none=True)
    found, refused = {}, []
    for name, table in read_tables(path).items():
        try:
            found[name] = _values(name, table)
        except ConfigError as error:
            refused.append(f"{path}: {str(error) if str(error).startswith(name) else f'{name}: {error}'}")
    if refused:
        raise ConfigError(*refused)
    return found


def _values(name: str, table: dict[str, Any]) -> dict[str, Any]:
    if name != "pretrain":
        return validated(FinetuneConfig if name == "finetune" else DataConfig, table, name).model_dump(mode="json")
    if "layers" in table:
        return PretrainConfig.from_options(None, base=table).model_dump(mode="json")
    return _without_widths(PretrainConfig.from_options("auto,8", base=table))  # it stands beside --layers


def _without_widths(stack: PretrainConfig) -> dict[str, Any]:
    values = stack.model_dump(mode="json", exclude={"n_visible"})
    return values | {"layers": [{name: each[name] for name in each if name != "n_hidden"} for each in values["layers"]]}


def _flat_defaults() -> dict[str, Any]:
    data, finetune = DataConfig().model_dump(mode="json"), FinetuneConfig().model_dump(mode="json")
    stack = _without_widths(PretrainConfig.from_options("auto,8"))
    return dict(flat("", {"data": data, "pretrain": stack, "finetune": finetune, "finetune_data": data}))


def _of_layer_1(name: str) -> str:
    """The name of the same setting of the first layer."""
    return re.sub(r"\.layer\d+\.", ".layer1.", name)


def _source(name: str, tables: Tables, sources: Mapping[str, str], config: Path | None) -> str:
    table, *layer, field = name.split(".")
    option = OPTIONS.get(field, field)
    if option in sources:
        return sources[option]
    if field in OF_LAYERS and table == "pretrain" and "layers" in sources:
        return sources["layers"]
    if any(field in each for each in _tables_with(tables.get(table, {}), layer)):
        return str(config)
    return "default"


def _tables_with(table: dict[str, Any], layer: list[str]) -> Iterator[dict[str, Any]]:
    """The tables of a file that may hold a setting: of a layer, its own and that of all layers."""
    yield table
    if layer:
        own = table.get("layers", [])
        yield from own[int(layer[0].removeprefix("layer")) - 1 :][:1]
