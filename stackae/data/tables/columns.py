"""What each column of a table is taken for: all that a run keeps of how its rows became numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["number", "boolean", "category", "ordinal", "time", "target", "id", "left out"]
FEATURES = ("number", "boolean", "category", "ordinal", "time")
"""The kinds whose columns become features: a category one for each of its texts, any other one."""


@dataclass(frozen=True)
class Taken:
    """A column, what it is taken for, and ``why`` in a few words.

    ``categories`` are the texts of a category, those of an ordinal in their order (0, 1, ...), and how a boolean is
    written (0, 1): ValueError where it lacks them. ``order`` is that of year, month and day, of times that are written.
    ``indicator`` says that another feature is 1 where a cell is missing, and ``missing`` counts such cells. Of a number
    or a time, low and high are the smallest and the largest one and ``typical`` is about the median of absolute
    values that are not 0; None without any.
    """

    name: str
    kind: Kind
    why: str
    categories: tuple[str, ...] = ()
    order: str = ""
    indicator: bool = False
    missing: int = 0
    low: float | None = None
    high: float | None = None
    typical: float | None = None

    def __post_init__(self) -> None:
        if self.kind in ("boolean", "category", "ordinal") and len(self.categories) < 1 + (self.kind == "boolean"):
            raise ValueError(f"{self.kind} '{self.name}' without its categories")

    @property
    def width(self) -> int:
        """How many features it becomes."""
        if self.kind not in FEATURES:
            return 0
        return (len(self.categories) if self.kind == "category" else 1) + self.indicator

    @property
    def features(self) -> list[str]:
        """Their names: COLUMN, or COLUMN=CATEGORY of each; then "COLUMN missing"."""
        if self.kind not in FEATURES:
            return []
        values = [f"{self.name}={each}" for each in self.categories] if self.kind == "category" else [self.name]
        return [*values, f"{self.name} missing"] if self.indicator else values

    @property
    def becomes(self) -> str:
        """What is done to it, in words."""
        if self.kind not in FEATURES:
            return {"target": "target", "id": "kept beside the rows"}.get(self.kind, "left out")
        one = {"number": "as it is", "boolean": "0 or 1", "time": "seconds since 1970"}
        if self.kind == "category":
            done = f"one-hot, {len(self.categories):,} feature{'s' * (len(self.categories) != 1)}"
        else:
            done = one.get(self.kind) or f"0 to {len(self.categories) - 1:,}"
        return f"{done}, and one that says where it is missing" if self.indicator else done


@dataclass(frozen=True)
class Encoding:
    """The columns of a table in the order of the file; features come in the same order."""

    columns: tuple[Taken, ...]
    names: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", _distinct([name for each in self.columns for name in each.features]))

    @classmethod
    def of_numbers(cls, names: Sequence[str]) -> Encoding:
        """Of a run that keeps the names of its columns alone: all are numbers, as they always were."""
        return cls(tuple(Taken(name, "number", "as the run was trained") for name in names))

    @property
    def featured(self) -> list[Taken]:
        return [each for each in self.columns if each.width]

    def of_kind(self, kind: Kind) -> list[Taken]:
        return [each for each in self.columns if each.kind == kind]

    @property
    def plain(self) -> bool:
        """Whether every feature is a column of numbers, as it is."""
        return all(each.kind == "number" and not each.indicator for each in self.featured)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names, of which one that was there before is followed by .1, .2, ..."""
    seen, found = set[str](), list[str]()
    for name in names:
        new, count = name, 0
        while new in seen:
            count += 1
            new = f"{name}.{count}"
        seen.add(new)
        found.append(new)
    return tuple(found)
