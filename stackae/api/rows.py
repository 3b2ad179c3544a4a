"""Training and validation rows that a caller gives, divided and scaled as the command line does it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from stackae.config import DataConfig
from stackae.data import Part
from stackae.data.arraylike import ArrayLike, rows_of, targets_of
from stackae.data.division import TRAIN, VALIDATION, divided
from stackae.data.loading import part_of_rows
from stackae.data.scaling import Scaling
from stackae.data.source import Source
from stackae.errors import ConfigError, DataError


class Divided(NamedTuple):
    """The two parts of a training, the scaling of both, and their ``order``, as ``Parts`` has it."""

    train: Part
    validation: Part
    scaling: Scaling
    order: Tensor | None


def check_made(name: str, value: object, *kinds: type) -> None:
    """ConfigError, which names the argument, unless it is one of what ``pretrain``, ``finetune`` and ``load`` give."""
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise ConfigError(
            f"{name}: expected a {wanted}, got {type(value).__name__}; give what stackae.pretrain or stackae.load gives"
        )


def source_of(x: ArrayLike, y: ArrayLike | None, kind: str | None, names: tuple[str, str] = ("x", "y")) -> Source:
    """Rows, with their classes or numbers where ``kind`` says which; errors call the two by these names.

    Raises:
        DataError: as ``rows_of`` and ``targets_of``; or targets that nothing learns from.
    """
    rows = rows_of(names[0], x)
    if y is None:
        return Source(names[0], rows)
    if kind is None:
        raise DataError(f"{names[1]}: expected none, since rows alone are read here, got some; leave it out")
    found = targets_of(names[1], y, len(rows), kind)
    classes, targets = (found.names, ()) if kind == "classes" else ((), found.names)
    return Source(names[0], rows, found.y, classes=classes, targets=targets)


def others_of(validation: Any, kind: str | None) -> Source | float | None:
    """What ``validation`` is: None, a share, rows, or a pair of rows and targets of that kind.

    Raises:
        DataError: as ``source_of``, or rows without targets.
    """
    if validation is None or isinstance(validation, (int, float)):
        return validation
    if kind is None:
        return source_of(validation, None, None, ("validation", ""))
    if not isinstance(validation, tuple) or len(validation) != 2:
        raise DataError(
            f"validation: expected a share of x, or a pair (x, y) of rows and their targets, got "
            f"{type(validation).__name__}; give (x_validation, y_validation)"
        )
    return source_of(*validation, kind, ("validation[0]", "validation[1]"))


def divided_rows(source: Source, validation: Source | float | None, scaling: Scaling | str) -> Divided:
    """The rows in parts, by which share is held out as the command line holds it out, or with others beside them.

    Args:
        scaling: a scaling, or the kind of one, which is fitted on the training part.

    Raises:
        ConfigError: no such share, or kind of scaling. DataError: rows of another width than the scaling's.
    """
    if isinstance(validation, Source):
        train, held_out, others = np.arange(len(source.x)), np.arange(len(validation.x)), validation
    else:
        share = validation or 0.0
        if not 0 <= share < 1:
            raise ConfigError(f"validation: expected rows, or a share of x from 0 to below 1, got {share}; use 0.1")
        parts = divided(source, DataConfig(validation_fraction=share, test_fraction=0.0))
        train, held_out, others = np.flatnonzero(parts == TRAIN), np.flatnonzero(parts == VALIDATION), source
    fitted = scaling if isinstance(scaling, Scaling) else Scaling.fit(scaling, source.x[train])
    for each in (source, others):
        fitted.check_width(each.x.shape, each.name)
    first, second = part_of_rows(source.x, source.y, train, fitted), part_of_rows(others.x, others.y, held_out, fitted)
    order = None if others is validation else torch.from_numpy(np.concatenate((train, held_out))).argsort()
    return Divided(first, second, fitted, order)
