"""The arguments of estimators as settings of stackae."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from sklearn.utils import check_random_state

from stackae.analysis.comparison.planning import usual_layers
from stackae.config import FinetuneConfig, PretrainConfig
from stackae.config.heads import HeadName
from stackae.config.values import Model, validated
from stackae.errors import ConfigError

if TYPE_CHECKING:
    from stackae.sklearn.base import StackEstimator

RandomState: TypeAlias = int | np.random.RandomState | None
Settings: TypeAlias = Mapping[str, object]
"""Settings by name."""
OWN = {
    "kind": "kind",
    "activation": "activation",
    "tied": "tied",
    "corruption": "corruption",
    "sparsity": "sparsity",
    "weight_decay": "weight_decay",
    "epochs": "max_epochs",
    "batch_size": "batch_size",
    "learning_rate": "learning_rate",
}
"""Arguments that are settings of layers, and the names of these; None leaves each at its default."""


def seed_of(random_state: RandomState) -> int:
    """The seed of a fit: an integer is itself, as ``stackae.pretrain`` has it; a generator is drawn from."""
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def pretraining(estimator: StackEstimator, width: int, seed: int, changed: Settings) -> PretrainConfig:
    """The settings of the stack of an estimator, for rows of this width; ``changed`` are given in place of its own.

    Raises:
        ConfigError: settings that cannot work, or that are given twice.
    """
    given = {name: _plain(getattr(estimator, own)) for own, name in OWN.items()}
    options, base = _told("config", estimator.config, PretrainConfig)
    if twice := sorted(name for name, value in given.items() if value is not None and name in options):
        raise ConfigError(f"config: expected settings that are no arguments, got {', '.join(twice)} as both; give one")
    given = {**options, **given, **changed, "seed": seed, "device": estimator.device}
    words = None if base is not None and estimator.layers == "auto" else layers_of(estimator.layers, width)
    return PretrainConfig.from_options(words, base=base, **given).of_width(width)


def layers_of(layers: int | str | Sequence[int | str], width: int) -> str:
    """Layers in stackae's words, such as 30,16,8; auto is two codes as wide as the rows, of 16 to 256 units."""
    if isinstance(layers, str) and layers == "auto":
        return usual_layers(width)
    words = [layers] if isinstance(layers, (int, np.integer, str)) else [*layers]
    first = str(words[0]) if words else ""
    return ",".join([*([] if "x" in first else [str(width)]), *map(str, words)])


def finetuning(
    config: Settings | FinetuneConfig | None,
    head: HeadName,
    given: Settings,
    seed: int,
    stack: PretrainConfig,
) -> FinetuneConfig:
    """The settings of a head: those of ``config``, with what an estimator's arguments say.

    Raises:
        ConfigError: settings that cannot work, of another head, or given twice.
    """
    options, base = _told("finetune_config", config, FinetuneConfig)
    told = options if base is None else base
    if told.get("head", head) != head:
        raise ConfigError(f"finetune_config: expected settings of head {head}, got {told['head']}; leave head out")
    if base is None and (twice := sorted(given.keys() & told.keys())):
        raise ConfigError(
            f"finetune_config: expected settings that are no arguments, got {', '.join(twice)} as both; give one"
        )
    shared = {"seed": seed, "engine": stack.engine, "device": stack.device, "head": head}
    return validated(FinetuneConfig, {**shared, **given, **told, "head": head, "seed": seed})


def _told(
    name: str, config: Settings | Model | None, model: type[Model]
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Options by name, and a whole configuration, whichever it is."""
    if config is None:
        return {}, None
    if isinstance(config, model):
        dumped = config.model_dump()
        if "layers" in dumped:
            dumped["layers"] = list(dumped["layers"])
        return {}, dumped
    if isinstance(config, Mapping):
        return dict(config), None
    raise ConfigError(
        f"{name}: expected a dict of settings or a {model.__name__}, got {type(config).__name__}; give one of them"
    )


def _plain(value: Any) -> Any:
    """The value, of an array a list."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
