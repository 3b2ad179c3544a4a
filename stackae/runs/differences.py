"""Compare two sets of settings, setting by setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel

from stackae.runs.state import Work

PLACES = ("data", "data_root", "storage")  # where the rows are stored, not which rows they are
MACHINES = ("device", "engine", "codes")  # what computes, not what is computed


class Difference(NamedTuple):
    """One setting and its two values; None where it is not set."""

    name: str
    first: Any
    second: Any

    @property
    def values(self) -> tuple[str, str]:
        """Return both values as text for people."""
        return _shown(self.first), _shown(self.second)

    def __str__(self) -> str:
        return f"{self.name}: {self.values[0]} there, {self.values[1]} here"


def differences(first: BaseModel, second: BaseModel) -> list[Difference]:
    """List every setting that differs, by its full name, such as ``pretrain.layer2.learning_rate``."""
    one, other = dict(flat("", first.model_dump(mode="json"))), dict(flat("", second.model_dump(mode="json")))
    names = dict.fromkeys([*one, *other])
    found = [Difference(name, one.get(name), other.get(name)) for name in names]
    return [each for each in found if each.first != each.second]


def flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Each setting of nested ones by its full name, that of a table before those in it."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from flat(f"{name}.{key}" if name else key, each)
    elif isinstance(value, list) and all(isinstance(each, dict) for each in value):
        for number, each in enumerate(value, start=1):
            yield from flat(f"{name.removesuffix('layers')}layer{number}", each)
    else:
        yield name, value


def mathematical(found: list[Difference]) -> list[Difference]:
    """Return the differences that change what is computed."""
    return [each for each in found if each.name.split(".")[-1] not in (*PLACES, *MACHINES)]


def of_work(first: Work, second: Work) -> list[Difference]:
    """List the ``differences`` between all networks that train together, and in their number and data."""
    found = [Difference("seeds", ", ".join(first.runs), ", ".join(second.runs))] if first.runs != second.runs else []
    pairs = zip(first.settings, second.settings, strict=False)
    each = [difference for pair in pairs for difference in differences(*pair)]
    if not mathematical(found + each) and first.data != second.data:
        found.append(Difference("digest of the rows and labels", first.data[:12], second.data[:12]))
    return found + list(dict.fromkeys(each))


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)
