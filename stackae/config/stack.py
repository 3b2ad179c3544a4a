"""A stack: its widths and its layers, from a command line, a table, or both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from stackae.config.layer import LayerConfig
from stackae.config.training import TrainingConfig
from stackae.errors import ConfigError
from stackae.fields import Count, validated


class PretrainConfig(TrainingConfig):
    """Greedy pretraining: the input width, then one entry a layer, bottom first."""

    n_visible: Count
    layers: Annotated[tuple[LayerConfig, ...], Field(min_length=1)]

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """(n_visible, n_hidden of layer 1, n_hidden of layer 2, ...)"""
        return (self.n_visible, *(layer.n_hidden for layer in self.layers))

    @model_validator(mode="after")
    def _codes_fit_the_loss(self) -> Self:
        for below, layer in zip(self.layers, self.layers[1:], strict=False):
            if layer.loss == "bce" and below.activation != "sigmoid":
                raise ValueError(
                    f"loss bce on a layer above activation {below.activation}: expected codes in [0, 1] below it; "
                    "use loss mse there, or activation sigmoid below"
                )
        return self

    @classmethod
    def from_options(cls, layers: str | None, *, base: Mapping[str, Any] | None = None, **options: Any) -> Self:
        """The configuration that a command line names.

        ``layers`` is "784,300,150". Options of a layer may be comma lists with one value a layer ("sigmoid,tanh"); a
        single value serves all layers. Options that are None are left as ``base``, a [pretrain] table, has them (its
        layers too, where their number is the same; what it says beside them of a layer's settings serves those that do
        not say it), else at their defaults.
        """
        settings = dict(base or {})
        if layers is None and "layers" not in settings:
            raise ConfigError("--layers: expected the widths of the stack, such as --layers 784,300,150, got none")
        each = settings.pop("layers", [])
        if not isinstance(each, list) or not all(isinstance(layer, dict) for layer in each):
            raise ConfigError(f"pretrain: layers: expected a list of tables, got {each!r}")
        each = [dict(layer) for layer in each]
        shared = {name: settings.pop(name) for name in LayerConfig.model_fields if name in settings}
        each = [{**shared, **layer} for layer in each]
        if layers is not None:
            sizes = parse_layers(layers)
            each = each if len(each) == len(sizes) - 1 else [dict(shared) for _ in sizes[1:]]
            settings["n_visible"] = sizes[0]
            each = [{**layer, "n_hidden": size} for layer, size in zip(each, sizes[1:], strict=True)]
        for name, value in options.items():
            if value is None:
                continue
            if name in cls.model_fields:
                settings[name] = value
                continue
            for layer, item in zip(each, _per_layer(name, value, len(each)), strict=True):
                layer[name] = item
        return validated(cls, {**settings, "layers": each})


def parse_layers(text: str) -> tuple[int, ...]:
    """(784, 300, 150) from "784,300,150"."""
    sizes = []
    for part in text.split(","):
        if not re.fullmatch(r"[+-]?[0-9]{1,9}", part.strip()):
            raise ConfigError(f"--layers: expected whole numbers such as 784,300,150, got '{part.strip()}' in '{text}'")
        sizes.append(int(part))
    if len(sizes) < 2:
        raise ConfigError(
            f"--layers: expected the input width and at least one code width, such as {text.strip()},300, got '{text}'"
        )
    if min(sizes) < 1:
        raise ConfigError(f"--layers: expected widths of at least 1, got {min(sizes)} in '{text}'")
    return tuple(sizes)


def _per_layer(name: str, value: Any, count: int) -> list[Any]:
    items = [item.strip() for item in value.split(",")] if isinstance(value, str) else [value]
    if len(items) not in (1, count):
        option = "--" + name.replace("_", "-")
        raise ConfigError(f"{option}: expected one value, or {count} (one a layer), got {len(items)} in '{value}'")
    return items * count if len(items) == 1 else items
