"""The settings of a run beside the defaults, with why they were settled so; its environment; how to make it again."""

from __future__ import annotations

import shlex

from stackae import __version__
from stackae.config import LayerConfig, PretrainConfig, RunConfig
from stackae.config.run import DataConfig
from stackae.config.training import FinetuneConfig
from stackae.errors import shown
from stackae.pages.markup import Child, Markup, joined, table, tag
from stackae.pages.page import Section, facts
from stackae.runs.differences import PLACES, differences
from stackae.workflows.reporting.facts import Facts

SIZES = ("kind", "n_hidden", "shape", "channels", "kernel", "pool")
ALIASES = {"max_epochs": "epochs", "tied": "weights"}
MOST_LINES = 400


def usual(config: RunConfig) -> RunConfig:
    """Return the defaults of a run on the same data and of the same layers, ``auto`` where data settle a setting."""
    layers = tuple(LayerConfig(**{name: getattr(layer, name) for name in SIZES}) for layer in config.pretrain.layers)
    own = config.finetune
    return RunConfig(
        data=DataConfig(data=config.data.data, data_root=config.data.data_root, storage=config.data.storage),
        pretrain=PretrainConfig(n_visible=config.pretrain.n_visible, layers=layers),
        finetune=None if own is None else FinetuneConfig(head=own.head),
        finetune_data=None if config.finetune_data is None else DataConfig(data=config.finetune_data.data),
    )


def settings_section(found: Facts) -> Section:
    """Show what differs from the defaults, and the whole configuration."""
    rows = []
    typed = " ".join(command.line for command in found.commands)
    for each in differences(usual(found.config), found.config)[:MOST_LINES]:
        if each.name.rpartition(".")[2] in PLACES:
            continue
        default, own = each.values
        rows.append((each.name, own, default, _why(found, each.name, default, typed)))
    lead = (
        "What differs from the defaults. A default of auto is settled by the data; the reason is what was seen in them."
    )
    listed = (
        table(("setting", "here", "default", "why"), rows, "Settings that differ", "texts")
        if rows
        else tag("p", "Every setting is the default.")
    )
    whole = tag("details", tag("summary", "The whole config.toml"), tag("pre", joined(_lines(found.config.to_toml()))))
    return Section("settings", "Configuration", lead, tag("div", listed, whole, class_="card"))


def _lines(text: str) -> list[Markup]:
    return [joined(line, Markup("\n")) for line in text.rstrip().split("\n")]


def _why(found: Facts, name: str, default: str, typed: str) -> str:
    """Say who chose a setting: a command, or the data, by what was seen in them."""
    setting = name.rpartition(".")[2]
    option = "--" + ALIASES.get(setting, setting).replace("_", "-")
    if any(word.partition("=")[0] == option for word in typed.split()):
        return f"given: {option}"
    layer = name.removeprefix("pretrain.layer").partition(".")[0]
    if name.startswith("pretrain.layer") and "auto" in default and layer.isdigit():
        known = found.measured.reasons
        return f"settled: {known[int(layer) - 1]}" if int(layer) <= len(known) else "settled by the data"
    return "settled by the data" if name.startswith("data.") else ""


def environment_section(found: Facts) -> Section:
    """Show what computed the run, and the data that it read."""
    config, pretrain = found.config, found.config.pretrain
    pairs: list[tuple[str, Child]] = [("data", config.data.data)]
    if config.finetune_data is not None and config.finetune_data.data != config.data.data:
        pairs.append(("labels from", config.finetune_data.data))
    for versions in dict.fromkeys(command.versions for command in found.commands if command.versions):
        pairs.append(("computed by", versions))
    pairs += [
        ("engine", pretrain.engine),
        ("device", pretrain.device),
        ("precision", pretrain.precision),
        ("seed", str(pretrain.seed)),
    ]
    pairs.append(("run folder", str(shown(found.run.path))))
    pairs.append(("page written by", f"stackae {__version__}"))
    return Section("environment", "Environment", "", tag("div", facts(pairs), class_="card"))


def reproduce_section(found: Facts) -> Section:
    """Show the command lines that made the run, and the one that makes it from its settings."""
    trained = [
        each.line
        for each in found.commands
        if each.typed and each.line.split()[1:2] in (["pretrain"], ["finetune"], ["resume"])
    ]
    place = shlex.quote(str(shown(found.run.path / "config.toml")))
    again = [f"stackae pretrain --config {place}"]
    if found.config.finetune is not None:
        again.append(f"stackae finetune --config {place}")
    content: list[Markup] = []
    if trained:
        content += [
            tag("p", "The commands that wrote this run, as they were typed:"),
            tag("pre", joined(_lines("\n".join(trained)))),
        ]
    content += [
        tag("p", "From its configuration, which holds every setting as it was settled:"),
        tag("pre", joined(_lines("\n".join(again)))),
    ]
    lead = "The same data, settings, versions and number of threads give the same weights, bit for bit."
    return Section("reproduce", "How to reproduce", lead, tag("div", content, class_="card"))
