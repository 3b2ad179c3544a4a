"""Training and validation rows that a caller gives, divided and scaled as the command line does it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from stackae.config import DataConfig
from stackae.data import Part
from stackae.data.arraylike import ArrayLike, image_shape
from stackae.data.division import TRAIN, VALIDATION, divided
from stackae.data.given_rows import Given, rows_known
from stackae.data.loading import part_of_rows
from stackae.data.provenance import Known
from stackae.data.scaling import Scaling
from stackae.data.source import Source
from stackae.data.stored.array import rows_at
from stackae.errors import ConfigError, DataError


class Divided(NamedTuple):
    """The two parts of a training, the scaling of both, their ``order``, as ``Parts`` has it, and the ``parts`` of all
    rows, those of validation last where they are given apart."""

    train: Part
    validation: Part
    scaling: Scaling
    order: Tensor | None
    parts: np.ndarray


def check_made(name: str, value: object, *kinds: type) -> None:
    """ConfigError, which names the argument, unless it is one of what ``pretrain``, ``finetune`` and ``load`` give."""
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise ConfigError(
            f"{name}: expected a {wanted}, got {type(value).__name__}; give what stackae.pretrain or stackae.load gives"
        )


def others_of(
    validation: Any, kind: str | None, known: Known, fills: bool, y: ArrayLike | str | None = None
) -> Source | float | None:
    """What ``validation`` is: None, a share, rows, or a pair of rows and targets of that kind; where y names a column,
    the rows have it too.

    Raises:
        DataError: as ``rows_known``, or rows without targets.
    """
    if validation is None or isinstance(validation, (int, float)):
        return validation
    if kind is None:
        return rows_known(Given(validation, names=("validation", "", "")), known, fills, leaves_out=True)
    if isinstance(y, str) and not isinstance(validation, tuple):
        return rows_known(Given(validation, y, kind, names=("validation", "y", "")), known, fills, leaves_out=True)
    if not isinstance(validation, tuple) or len(validation) != 2:
        raise DataError(
            f"validation: expected a share of x, or a pair (x, y) of rows and their targets, got "
            f"{type(validation).__name__}; give (x_validation, y_validation)"
        )
    given = Given(*validation, kind, names=("validation[0]", "validation[1]", ""))
    return rows_known(given, known, fills, leaves_out=True)


def divided_rows(source: Source, validation: Source | float | None, scaling: Scaling | str) -> Divided:
    """The rows in parts, by which share is held out as the command line holds it out, or with others beside them.

    Args:
        scaling: a scaling, or the kind of one, which is fitted on the training part.

    Raises:
        ConfigError: no such share, or kind of scaling. DataError: rows of another width than the scaling's.
    """
    if isinstance(validation, Source):
        train, held_out, others = np.arange(len(source.x)), np.arange(len(validation.x)), validation
        parts = np.repeat(np.array([TRAIN, VALIDATION], dtype=np.uint8), [len(train), len(held_out)])
    else:
        share = validation or 0.0
        if not 0 <= share < 1:
            raise ConfigError(f"validation: expected rows, or a share of x from 0 to below 1, got {share}; use 0.1")
        parts = divided(source, DataConfig(validation_fraction=share, test_fraction=0.0))
        train, held_out, others = np.flatnonzero(parts == TRAIN), np.flatnonzero(parts == VALIDATION), source
    fitted = scaling if isinstance(scaling, Scaling) else Scaling.fit(scaling, rows_at(source.x, train), source.gaps)
    for each in (source, others):
        fitted.check_width(each.x.shape, each.name)
    paired = source.clean is not None or others.clean is not None
    first, second = (
        part_of_rows(each.x, each.y, rows, fitted, each.clean_or_x if paired else None)
        for each, rows in ((source, train), (others, held_out))
    )
    order = None if others is validation else torch.from_numpy(np.concatenate((train, held_out))).argsort()
    return Divided(first, second, fitted, order, parts)


def widths_of(x: ArrayLike, layers: Sequence[int | str] | int | str, n_visible: int) -> str:
    """Widths with that of the input, or the shape of its images, in front."""
    if isinstance(layers, Iterable) and not isinstance(layers, str):
        layers = ",".join(map(str, layers))
    words = str(layers).split(",") if layers != "" else []
    if words and re.fullmatch(r"\d+x\d+x\d+", words[0].strip()):
        return ",".join(words)
    image = image_shape("x", x) if any(word.strip().startswith("conv") for word in words) else None
    return ",".join([str(n_visible) if image is None else "x".join(map(str, (*image, 1)[:3])), *words])
