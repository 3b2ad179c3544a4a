"""What pretraining would make of rows, before it does: how many samples, of how many groups, are in which part."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stackae.config import DataConfig
from stackae.data.division import divided
from stackae.data.order.held_out import BORDER, LEFT_OUT, TEST, TRAIN, VALIDATION, at_borders, check_parts
from stackae.data.order.windows import placed
from stackae.data.source import Source

PARTS = {"training": TRAIN, "validation": VALIDATION, "test": TEST, "none": BORDER}


class Parted(NamedTuple):
    """Samples by their part, and groups; a sample is a row, or a window of them, of ``width`` numbers.

    ``groups`` is empty where there are none; notes are sentences that a person should read.
    """

    windows: bool
    width: int
    samples: dict[str, int]
    groups: dict[str, int]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of it."""
        return {"of": "windows" if self.windows else "rows", "width": self.width, "samples": self.samples} | (
            {"groups": self.groups} if self.groups else {}
        )


def parted(source: Source, config: DataConfig) -> Parted:
    """How the rows of a source would be made samples and divided; nothing but their number, labels and order is read.

    Raises DataError and ConfigError as ``placed``, ``divided`` and ``check_parts`` do.
    """
    found = placed(source._replace(notes=()), config, filled=False)
    parts = divided(found, config)
    check_parts(found.name, found.places, parts, config)
    kept = np.where(parts & LEFT_OUT, BORDER, parts)
    samples = {name: int((kept == part).sum()) for name, part in PARTS.items()}
    groups = {}
    if found.places is not None and found.places.by:
        of = found.places.groups
        groups = {name: len(np.unique(of[kept[: len(of)] == part])) for name, part in PARTS.items()}
    notes = (*found.notes, *at_borders(parts))
    return Parted(config.window is not None, found.x.shape[1], samples, groups, notes)
