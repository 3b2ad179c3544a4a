"""The JSON schema of a configuration file, by which an editor completes and checks it while it is written.

A file need not be whole, since options are added to it: no table and no setting is required in it.
"""

from __future__ import annotations

from typing import Any

from stackae.config.run import RunConfig

DRAFT = "https://json-schema.org/draft/2020-12/schema"
NOTATIONS = ("Corruption", "Dropout", "Emphasis", "Initial", "Ramp", "Revive", "Sparsity")
"""Of whose models a file has the short text."""


def file_schema() -> dict[str, Any]:
    """The JSON schema, draft 2020-12, of what ``--config`` reads; a file that it refuses is refused there too."""
    schema: dict[str, Any] = {"$schema": DRAFT} | RunConfig.model_json_schema()
    kinds = schema["$defs"]
    for name in NOTATIONS:
        kinds[f"{name}Config"] = _text_or_table(kinds[f"{name}Config"])
    pretrain, layer = kinds["PretrainConfig"], kinds["LayerConfig"]
    shared = {name: dict(value) for name, value in layer["properties"].items()}
    for name, value in shared.items():
        value["description"] = f"{value['description']} Of all layers that do not say it themselves."
        pretrain["properties"].setdefault(name, value)
    pretrain["properties"]["n_visible"] = _or(pretrain["properties"]["n_visible"], {"const": "auto"})
    for table in (schema, *kinds.values()):
        table.pop("required", None)
    return schema


def _text_or_table(table: dict[str, Any]) -> dict[str, Any]:
    return _or(table, {"type": ["string", "number"]})


def _or(found: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Either of the two, under the first one's description."""
    told: dict[str, Any] = {name: found[name] for name in ("title", "description") if name in found}
    return {**told, "anyOf": [other, {name: value for name, value in found.items() if name not in told}]}
