"""Validated models of what a user can ask for, in and out of TOML.

Every value is checked here, once, and kept as it was asked; ``auto`` values are settled when the data are known, and
the settled configuration is what a run folder keeps. Needs pydantic and the standard library alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import tomli_w
from pydantic import Field, model_serializer, model_validator

from stackae.errors import ConfigError, nearest
from stackae.fields import (
    CORRUPTIONS,
    SCALES,
    Activation,
    Count,
    Device,
    Engine,
    Epochs,
    Fraction,
    Loss,
    Model,
    NonNegative,
    Optimizer,
    OutputActivation,
    Positive,
    Precision,
    Schedule,
    one_of,
    read_toml,
    validated,
)


class CorruptionConfig(Model):
    """Noise on a layer's input: ``none``, ``gaussian:SD``, ``masking:P`` or ``salt-and-pepper:P``."""

    kind: Annotated[str, one_of(*CORRUPTIONS)] = "none"
    level: NonNegative = 0.0

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        kind, _, level = value.partition(":")
        if kind == "none":
            return _nothing_more(value, level)
        return {"kind": kind, "level": _number(level, f"{kind}:LEVEL, such as {kind}:0.2", value)}

    @model_validator(mode="after")
    def _level_fits(self) -> Self:
        if self.kind in ("masking", "salt-and-pepper") and self.level > 1:
            raise ValueError(f"expected a share of the inputs between 0 and 1, got {self.kind}:{self.level:g}")
        return self

    @model_serializer
    def _to_text(self) -> str:
        return "none" if self.kind == "none" else f"{self.kind}:{self.level!r}"


class SparsityConfig(Model):
    """Sparsity of a layer's code: ``none``, ``kl:RHO:WEIGHT`` or ``l1:WEIGHT``."""

    kind: Annotated[str, one_of("none", "kl", "l1")] = "none"
    target: Annotated[float, Field(gt=0, lt=1)] = 0.05
    weight: NonNegative = 0.0

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        kind, _, rest = value.partition(":")
        if kind == "none":
            return _nothing_more(value, rest)
        if kind == "l1":
            return {"kind": kind, "weight": _number(rest, "l1:WEIGHT, such as l1:0.001", value)}
        if kind != "kl":
            return {"kind": kind}
        target, _, weight = rest.partition(":")
        form = f"{kind}:RHO:WEIGHT, such as kl:0.05:0.1"
        return {"kind": kind, "target": _number(target, form, value), "weight": _number(weight, form, value)}

    @model_serializer
    def _to_text(self) -> str:
        forms = {"none": "none", "kl": f"kl:{self.target!r}:{self.weight!r}", "l1": f"l1:{self.weight!r}"}
        return forms[self.kind]


def _nothing_more(whole: str, rest: str) -> dict[str, Any]:
    if rest:
        raise ValueError(f"expected none alone, got '{whole}'")
    return {}


def _number(text: str, form: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"expected {form}, got '{whole}'") from None


class DataConfig(Model):
    """Which data, and how they are divided and scaled."""

    data: str = "digits"
    data_root: str = "data"
    target: str | None = None
    scale: Annotated[str, one_of(*SCALES)] = "auto"
    validation_fraction: Fraction = 0.1
    test_fraction: Fraction = 0.2


class LayerConfig(Model):
    """One layer of the stack: its autoencoder, its objective, its training."""

    n_hidden: Count
    activation: Activation = "sigmoid"
    output_activation: OutputActivation = "auto"
    tied: bool = True
    loss: Loss = "mse"
    corruption: CorruptionConfig = CorruptionConfig(kind="masking", level=0.3)
    sparsity: SparsityConfig = SparsityConfig()
    weight_decay: NonNegative = 1e-5
    learning_rate: Positive = 3e-3
    max_epochs: Epochs = "auto"

    @model_validator(mode="after")
    def _objective_is_defined(self) -> Self:
        if self.sparsity.kind == "kl" and self.activation not in ("sigmoid", "tanh"):
            raise ValueError(
                f"sparsity {self.sparsity.model_dump()}: expected a code in (0, 1), got activation {self.activation}; "
                "use activation sigmoid, or tanh (mapped by (h+1)/2)"
            )
        if self.loss == "bce" and self.output_activation not in ("auto", "sigmoid"):
            raise ValueError(
                f"loss bce: expected output_activation sigmoid, got {self.output_activation}; "
                "use output_activation sigmoid, or loss mse"
            )
        return self


class TrainingConfig(Model):
    """How any stage is trained."""

    batch_size: Count = 128
    optimizer: Optimizer = "adam"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    schedule: Schedule = "cosine"
    patience: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    engine: Engine = "auto"
    precision: Precision = "fp32"
    device: Device = "auto"


class PretrainConfig(TrainingConfig):
    """Greedy pretraining: the input width, then one entry a layer, bottom first."""

    batch_size: Count = 64
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
        layers too, where their number is the same), else at their defaults.
        """
        settings = dict(base or {})
        if layers is None and "layers" not in settings:
            raise ConfigError("--layers: expected the widths of the stack, such as --layers 784,300,150, got none")
        each = settings.pop("layers", [])
        if not isinstance(each, list) or not all(isinstance(layer, dict) for layer in each):
            raise ConfigError(f"pretrain: layers: expected a list of tables, got {each!r}")
        each = [dict(layer) for layer in each]
        if layers is not None:
            sizes = parse_layers(layers)
            each = each if len(each) == len(sizes) - 1 else [{} for _ in sizes[1:]]
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


class FinetuneConfig(TrainingConfig):
    """Supervised training of a head on the stack, alone or with every layer below it."""

    head: Annotated[str, one_of("classifier")] = "classifier"
    init: Annotated[str, one_of("pretrained", "random")] = "pretrained"
    train: Annotated[str, one_of("head", "all")] = "all"
    learning_rate: Positive = 3e-3
    weight_decay: NonNegative = 1e-5
    max_epochs: Epochs = "auto"


class RunConfig(Model):
    """All that a run was asked to do: what its config.toml holds. ``finetune_data`` is data where None."""

    data: DataConfig
    pretrain: PretrainConfig
    finetune: FinetuneConfig | None = None
    finetune_data: DataConfig | None = None

    def to_toml(self) -> str:
        return tomli_w.dumps(self.model_dump(exclude_none=True))


def read_tables(path: Path | None) -> dict[str, dict[str, Any]]:
    """The tables of a user's configuration file, each complete or not; none at all without a file."""
    tables = read_toml(path) if path else {}
    for name, table in tables.items():
        if name not in RunConfig.model_fields:
            raise ConfigError(
                f"{path}: expected the tables {', '.join(RunConfig.model_fields)}, "
                f"got '{name}'{nearest(name, RunConfig.model_fields)}"
            )
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {name}: expected a table, got {table!r}")
    return tables


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
