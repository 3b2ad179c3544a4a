"""Validated models of what a user can ask for, in and out of TOML.

Every value is checked here, once, and kept as it was asked; ``auto`` values are settled when the data are known, and
the settled configuration is what a run folder keeps. Needs pydantic and the standard library alone.
"""

from stackae.config.layer import LayerConfig
from stackae.config.run import DataConfig, RunConfig, read_tables
from stackae.config.stack import PretrainConfig, parse_layers
from stackae.config.texts import CorruptionConfig, DropoutConfig, EmphasisConfig, SparsityConfig
from stackae.config.training import FinetuneConfig, TrainingConfig

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
