"""All that a run was asked to do, in and out of TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import tomli_w

from stackae.config.stack import PretrainConfig
from stackae.config.training import FinetuneConfig
from stackae.errors import ConfigError, nearest
from stackae.fields import SCALES, Fraction, Model, one_of, read_toml


class DataConfig(Model):
    """Which data, and how they are divided and scaled.

    ``leave_out`` names classes, with commas between them, that take no part in training and validation; the test part
    stays as it is, so that they can be asked for there. ``unlabelled`` names classes whose rows are background: they
    take part in pretraining, and have no label for a head. ``ignore`` names columns, likewise, that are no features.
    """

    data: str = "digits"
    data_root: str = "data"
    target: str | None = None
    target_kind: Annotated[str, one_of("classes", "numbers")] = "classes"
    leave_out: str | None = None
    unlabelled: str | None = None
    ignore: str | None = None
    scale: Annotated[str, one_of(*SCALES)] = "auto"
    validation_fraction: Fraction = 0.1
    test_fraction: Fraction = 0.2


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
