"""A configuration file to start from: every setting with its docstring, its values and its default, as a comment."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import tomli_w

from stackae.config.documented import Setting, settings_of
from stackae.config.layer import LayerConfig
from stackae.config.run import DataConfig
from stackae.config.stack import PretrainConfig
from stackae.config.training import FinetuneConfig
from stackae.config.values import Model

WIDTH = 100
HEADING = (
    "Settings of stackae: `stackae pretrain --config FILE`, then `stackae finetune --config FILE`. A line that begins "
    "with # is not in force: remove the # and change the value. Options of the command line override this file. "
    "`stackae config check FILE` says whether it holds, `stackae config show pretrain --config FILE` what it makes."
)
OF_ALL_LAYERS = "Settings of all layers; a layer's own table below may have others."
WRITTEN_IN_LAYERS = ("n_hidden", "shape", "channels", "pool", "kernel")  # by the words of --layers


def template(layers: str = "auto,300,150") -> str:
    """The text of a configuration file for a stack of these layers, in which all other settings are comments.

    Raises ConfigError as ``PretrainConfig.from_options`` for layers that are none.
    """
    stack = PretrainConfig.from_options(layers)
    lines = [*_comment(HEADING), ""]
    lines += ["[data]", *_settings(DataConfig, DataConfig().model_dump())]
    lines += ["[pretrain]", f"n_visible = {_toml(stack.n_visible or 'auto')}", ""]
    own = stack.model_dump()
    lines += _settings(PretrainConfig, own, without=("n_visible", "layers"))
    plain = PretrainConfig.from_options("auto,300").model_dump()["layers"][0]
    lines += [*_comment(OF_ALL_LAYERS), "", *_settings(LayerConfig, plain, without=WRITTEN_IN_LAYERS)]
    for layer in own["layers"]:
        lines.append("[[pretrain.layers]]")
        named = ("kind", *WRITTEN_IN_LAYERS) if layer["shape"] else ("n_hidden",)
        lines += [*(f"{name} = {_toml(layer[name])}" for name in named), ""]
    lines += ["[finetune]", *_settings(FinetuneConfig, FinetuneConfig().model_dump())]
    return "\n".join(lines)


def _settings(model: type[Model], values: dict[str, Any], without: tuple[str, ...] = ()) -> Iterator[str]:
    for name, setting in settings_of(model.__name__).items():
        if name not in without:
            yield from _comment(_told(setting))
            given = values[name]
            yield f"# {name} = {_toml(given)}" if given is not None else f"# {name} ="
            yield ""


def _told(setting: Setting) -> str:
    """The docstring, and in brackets the values where it does not say them."""
    kind = setting.metavar.strip("<>").replace("|", ", ")
    return setting.help if setting.choices or kind == "text" else f"{setting.text} ({kind})"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH - 2)]


def _toml(value: Any) -> str:
    return tomli_w.dumps({"value": value}).removeprefix("value = ").rstrip("\n")
