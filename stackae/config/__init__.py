"""Validated models of what a user can ask for, in and out of TOML; and the tables of activations, kinds and heads.

Every value is checked here, once, and kept as it was asked; ``auto`` values are settled when the data are known, and
the settled configuration is what a run folder keeps. The models need pydantic and the standard library alone and are
loaded on first use; the tables need the standard library alone, so that help texts can be made of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stackae.config.layer import LayerConfig
    from stackae.config.run import DataConfig, RunConfig, read_tables
    from stackae.config.stack import PretrainConfig, parse_layers
    from stackae.config.texts import CorruptionConfig, DropoutConfig, EmphasisConfig, SparsityConfig
    from stackae.config.training import FinetuneConfig, TrainingConfig

_HOMES = {
    "layer": ("LayerConfig",),
    "run": ("DataConfig", "RunConfig", "read_tables"),
    "stack": ("PretrainConfig", "parse_layers"),
    "texts": ("CorruptionConfig", "DropoutConfig", "EmphasisConfig", "SparsityConfig"),
    "training": ("FinetuneConfig", "TrainingConfig"),
}

__all__ = [
    "CorruptionConfig",
    "DataConfig",
    "DropoutConfig",
    "EmphasisConfig",
    "FinetuneConfig",
    "LayerConfig",
    "PretrainConfig",
    "RunConfig",
    "SparsityConfig",
    "TrainingConfig",
    "parse_layers",
    "read_tables",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"stackae.config.{home}"), name)
    raise AttributeError(f"module 'stackae.config' has no attribute {name!r}")
