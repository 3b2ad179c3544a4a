"""Validated models of what a user can ask for, in and out of TOML; and the tables of activations, kinds and heads.

Every value is checked here, once, and kept as it was asked; ``auto`` values are settled when the data are known, and
the settled configuration is what a run folder keeps. The models need pydantic and the standard library alone and are
loaded on first use; the tables need the standard library alone, so that help texts can be made of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackae.lazy import lazily

if TYPE_CHECKING:
    from stackae.config.layer import LayerConfig as LayerConfig
    from stackae.config.notation import CorruptionConfig as CorruptionConfig
    from stackae.config.notation import DropoutConfig as DropoutConfig
    from stackae.config.notation import EmphasisConfig as EmphasisConfig
    from stackae.config.notation import ReviveConfig as ReviveConfig
    from stackae.config.notation import SparsityConfig as SparsityConfig
    from stackae.config.run import DataConfig as DataConfig
    from stackae.config.run import RunConfig as RunConfig
    from stackae.config.run import read_tables as read_tables
    from stackae.config.stack import PretrainConfig as PretrainConfig
    from stackae.config.stack import parse_layers as parse_layers
    from stackae.config.training import FinetuneConfig as FinetuneConfig
    from stackae.config.training import TrainingConfig as TrainingConfig

__getattr__, __dir__ = lazily(__name__, __file__)
