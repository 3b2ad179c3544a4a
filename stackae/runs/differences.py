"""What tells two settings apart, setting by setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel

PLACES = ("data", "data_root")  # where the rows lie, but not which they are
MACHINES = ("device", "engine")  # who computes, but not what


class Difference(NamedTuple):
    """One setting; None where it is not set at all."""

    name: str
    first: Any
    second: Any

    def __str__(self) -> str:
        return f"{self.name}: {_shown(self.first)} there, {_shown(self.second)} here"


def differences(first: BaseModel, second: BaseModel) -> list[Difference]:
    """Every setting that differs, by its full name, such as ``pretrain.layer2.learning_rate``."""
    one, other = dict(_flat("", first.model_dump(mode="json"))), dict(_flat("", second.model_dump(mode="json")))
    names = dict.fromkeys([*one, *other])
    found = [Difference(name, one.get(name), other.get(name)) for name in names]
    return [each for each in found if each.first != each.second]


def mathematical(found: list[Difference]) -> list[Difference]:
    """Those that change what is computed."""
    return [each for each in found if each.name.split(".")[-1] not in (*PLACES, *MACHINES)]


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _flat(f"{name}.{key}" if name else key, each)
    elif isinstance(value, list) and all(isinstance(each, dict) for each in value):
        for number, each in enumerate(value, start=1):
            yield from _flat(f"{name.removesuffix('layers')}layer{number}", each)
    else:
        yield name, value


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)
