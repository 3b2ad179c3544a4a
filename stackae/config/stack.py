"""A stack: its widths and its layers, from a command line, a table, or both."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from stackae.config.activations import ACTIVATIONS
from stackae.config.layer import LayerConfig
from stackae.config.training import TrainingConfig
from stackae.config.values import Width, validated
from stackae.errors import ConfigError, argument

Shape = tuple[int, int, int]


class PretrainConfig(TrainingConfig):
    """Greedy pretraining: the input width, then an entry per layer, bottom first; ConfigError where they do not fit."""

    n_visible: Width
    """Width of the input, in features, or auto: that of the rows as they are prepared; 0 until they are read."""
    layers: Annotated[tuple[LayerConfig, ...], Field(min_length=1)]
    """Layers of the stack, bottom first."""
    codes: Literal["auto", "device", "memory", "disk", "recompute"] = "auto"
    """Where the codes of a layer lie while the next one reads them: device, memory, disk, or recompute (made of the
    rows below whenever they are read); auto: the first of these with room. It changes no bit of the weights."""

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """(n_visible, n_hidden of layer 1, n_hidden of layer 2, ...)"""
        return (self.n_visible, *(layer.n_hidden for layer in self.layers))

    def of_width(self, width: int) -> Self:
        """The same with the width of the rows where it is auto. Raises ConfigError where a layer does not fit it."""
        return self if self.n_visible else validated(type(self), {**dict(self), "n_visible": width})

    @model_validator(mode="after")
    def _a_layer_has_the_precision(self) -> Self:
        device = "cuda" if self.precision == "tf32" else self.device
        reasons = [layer.lacks_on(device, self.precision) or self.trains_eagerly(device) for layer in self.layers]
        if self.precision != "fp32" and all(reasons):
            raise ValueError(
                f"precision {self.precision}: expected a layer that the fused step trains, got {reasons[0]} in layer "
                "1; use precision fp32"
            )
        return self

    @model_validator(mode="after")
    def _the_optimizer_fits(self) -> Self:
        for number, layer in enumerate(self.layers, start=1):
            if self.optimizer == "lbfgs" and (found := layer.changes_its_objective):
                raise ValueError(
                    f"optimizer lbfgs: expected an objective that is the same in every step, got {found} in layer "
                    f"{number}; use optimizer adam, or leave it out"
                )
        return self

    @model_validator(mode="after")
    def _codes_fit_the_loss(self) -> Self:
        for below, layer in zip(self.layers, self.layers[1:], strict=False):
            if layer.loss == "bce" and below.activation != "auto" and not ACTIVATIONS[below.activation].in_unit:
                raise ValueError(
                    f"loss bce on a layer above activation {below.activation}: expected codes in [0, 1] below it; "
                    "use loss mse there, or activation sigmoid below"
                )
        return self

    @model_validator(mode="after")
    def _kinds_stand_on_each_other(self) -> Self:
        for number, layer in enumerate(self.layers, start=1):
            below = self.layers[number - 2] if number > 1 else None
            if layer.row.top_only and number < len(self.layers):
                raise ValueError(
                    f"kind {layer.kind}: expected at the top of the stack, got in layer {number} of "
                    f"{len(self.layers)}; put it last, or train what stands above it on its codes as a stack of its own"
                )
            n = self.layer_sizes[number - 1] or layer.n_hidden  # auto is checked by ``of_width``
            if layer.closed_form and layer.n_hidden > n:
                closed = layer.kind if layer.row.solved else f"init {layer.init}"
                raise ValueError(
                    f"{closed}: expected a code of at most the {n} inputs of layer {number}, got {layer.n_hidden}; "
                    "make it narrower, or use kind dense with init random"
                )
            if layer.shape is not None and math.prod(layer.shape) != n:
                found = "x".join(map(str, layer.shape))
                raise ValueError(
                    f"kind {layer.kind}: expected an image of {n} numbers below layer "
                    f"{number}, got {found}; write the layers as 28x28x1,conv16,pool,300"
                )
            if layer.row.images and below is not None and not below.row.images:
                raise ValueError(
                    f"kind {layer.kind}: expected an image below layer {number}, got the flat code of a layer of kind "
                    f"{below.kind}; put convolutions first"
                )
        return self

    @classmethod
    def from_options(cls, layers: str | None, *, base: Mapping[str, Any] | None = None, **options: Any) -> Self:
        """The configuration that a command line names.

        ``layers`` is "784,300,150", or "auto,300,150". Options of a layer may be comma lists ("sigmoid,tanh"), lists or
        tuples with one value per layer; a single value serves all layers. Options that are None are left as ``base``, a
        [pretrain] table, has them (its layers too, where their number is the same; what it says beside them of a
        layer's settings serves those that do not say it), else at their defaults.
        """
        settings = dict(base or {})
        if layers is None and "layers" not in settings:
            raise ConfigError(
                f"{argument('layers')}: expected the widths of the stack, such as "
                f"{argument('layers', '784,300,150')}, or auto,300,150, got none"
            )
        each = settings.pop("layers", [])
        if not isinstance(each, list) or not all(isinstance(layer, dict) for layer in each):
            raise ConfigError(f"pretrain: layers: expected a list of tables, got {each!r}")
        each = [dict(layer) for layer in each]
        shared = {name: settings.pop(name) for name in LayerConfig.model_fields if name in settings}
        each = [{**shared, **layer} for layer in each]
        if layers is not None:
            n_visible, found = parse_layers(layers)
            each = each if len(each) == len(found) else [dict(shared) for _ in found]
            settings["n_visible"] = n_visible
            each = [
                {**(layer if "shape" in own or "shape" not in layer else shared), **own}
                for layer, own in zip(each, found, strict=True)
            ]
        for name, value in options.items():
            if value is None:
                continue
            if name in cls.model_fields:
                settings[name] = value
                continue
            for layer, item in zip(each, per_layer(name, value, len(each)), strict=True):
                if name != "kind" or "shape" not in layer:  # a convolution is one by its place in the layers
                    layer[name] = item
        return validated(cls, {**settings, "layers": each})


def parse_layers(text: str) -> tuple[int, list[dict[str, Any]]]:
    """The input width, and what each layer is, of "784,300,150" or "28x28x1,conv16,pool,conv8,pool,64".

    An image HEIGHTxWIDTHxCHANNELS may be given in the place of the width; convolutional layers with that many channels
    stand on it, each with the pool that follows it, then dense ones. The width of "auto,300" is 0: that of the rows.
    """
    words = [word.strip() for word in text.split(",")]
    shape = _shape(words[0], text)
    n_visible = 0 if words[0] == "auto" else _width(words[0], text) if shape is None else math.prod(shape)
    layers: list[dict[str, Any]] = []
    for word in words[1:]:
        if word.startswith("conv"):
            layers.append(_convolution(word, shape, text))
            shape = shape_of_code(layers[-1])
        elif word == "pool":
            if not layers or layers[-1].get("pool", True):
                raise ConfigError(
                    f"{argument('layers')}: expected pool after a convolution, such as conv16,pool, got '{text}'"
                )
            layers[-1] |= {"pool": True}
            shape = shape_of_code(layers[-1])
            layers[-1]["n_hidden"] = math.prod(shape)
        else:
            layers.append({"n_hidden": _width(word, text)})
            shape = None
    if not layers:
        raise ConfigError(
            f"{argument('layers')}: expected the input width and at least one code width, such as "
            f"{text.strip()},300, got '{text}'"
        )
    return n_visible, layers


def shape_of_code(layer: Mapping[str, Any]) -> Shape:
    """(height, width, channels) of what a convolutional layer makes."""
    height, width, _ = layer["shape"]
    return (-(-height // 2), -(-width // 2), layer["channels"]) if layer["pool"] else (height, width, layer["channels"])


def _shape(word: str, text: str) -> Shape | None:
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})x(\d{1,5})", word)
    if found is None:
        return None
    shape = int(found[1]), int(found[2]), int(found[3])
    if min(shape) < 1:
        raise ConfigError(f"{argument('layers')}: expected an image of at least 1x1x1, got '{word}' in '{text}'")
    return shape


def _width(word: str, text: str) -> int:
    if word == "auto":
        raise ConfigError(
            f"{argument('layers')}: expected auto in the first place alone, the width of the rows, got '{text}'; give "
            "each code its width"
        )
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", word):
        raise ConfigError(
            f"{argument('layers')}: expected whole numbers such as 784,300,150, or auto,300,150, or "
            f"28x28x1,conv16,pool,64, got '{word}' in '{text}'"
        )
    if int(word) < 1:
        raise ConfigError(f"{argument('layers')}: expected widths of at least 1, got {int(word)} in '{text}'")
    return int(word)


def _convolution(word: str, shape: Shape | None, text: str) -> dict[str, Any]:
    channels = word.removeprefix("conv")
    if not re.fullmatch(r"[1-9][0-9]{0,5}", channels):
        raise ConfigError(
            f"{argument('layers')}: expected conv and a number of channels, such as conv16, got '{word}' in '{text}'"
        )
    if shape is None:
        raise ConfigError(
            f"{argument('layers')}: expected an image below {word}, got a flat row of numbers in '{text}'; begin with "
            "HEIGHTxWIDTHxCHANNELS, such as 28x28x1,conv16,pool,64, and put convolutions before widths"
        )
    layer = {"kind": "convolutional", "shape": shape, "channels": int(channels), "pool": False}
    return {**layer, "n_hidden": math.prod(shape_of_code(layer))}


def per_layer(name: str, value: Any, count: int) -> list[Any]:
    """One value per layer: those of a text with commas, of a list or a tuple, else the same for all.

    Raises:
        ConfigError: another number of them.
    """
    if isinstance(value, str):
        items = [item.strip() for item in value.split(",")]
    else:
        items = list(value) if isinstance(value, (list, tuple)) else [value]
    if len(items) not in (1, count):
        raise ConfigError(
            f"{argument(name)}: expected one value, or {count} (one per layer), got {len(items)} in '{value}'"
        )
    return items * count if len(items) == 1 else items
