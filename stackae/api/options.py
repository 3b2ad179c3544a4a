"""Settings of the data from arguments of Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from stackae.config import DataConfig
from stackae.config.run import Missing
from stackae.config.values import validated
from stackae.data.provenance import FROM_ARRAY
from stackae.errors import ConfigError, legible

Names: TypeAlias = str | Sequence[str] | None
"""Names of columns: "A", "A,B", or a sequence of them."""


def data_config(
    names: Mapping[str, Names], ordinal: str | Mapping[str, Sequence[str]] | None, missing: Missing, target_kind: str
) -> DataConfig:
    """The settings of rows that Python gives. Raises ConfigError for a comma in one of several names."""
    options = {name: joined(name, value) for name, value in names.items()}
    if isinstance(ordinal, Mapping):
        ordinal = joined("ordinal", [f"{column}:{'<'.join(order)}" for column, order in ordinal.items()])
    given = {"data": FROM_ARRAY, "ordinal": ordinal, "missing": missing, "target_kind": target_kind}
    return validated(DataConfig, options | given, "data")


def joined(option: str, names: Names) -> str | None:
    """Names with commas between them. Raises ConfigError for a comma in one of several."""
    if names is None or isinstance(names, str):
        return names
    found = [*map(str, names)]
    if len(found) > 1 and (wrong := next((each for each in found if "," in each), None)) is not None:
        raise ConfigError(f"{option}: expected names without commas, got '{legible(wrong)}'; rename the column")
    return ",".join(found) or None
