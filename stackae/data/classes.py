"""Which classes a classifier is made for, and labels that index its own classes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from stackae.data import Part


class Matched(NamedTuple):
    """Labels y (n,) of the classifier's classes from 0, then of ``unseen``, the names of others that rows are of."""

    y: Tensor | None
    unseen: tuple[str, ...] = ()


def match_classes(
    y: Tensor | None, names: Sequence[str], classes: Sequence[str], left_out: Collection[str] = ()
) -> Matched:
    """Labels that index ``names``, as labels that index the classifier's ``classes``; -1 stays -1.

    Classes that it was not trained on, those of ``left_out`` among them, come after its own, in their order.
    """
    if y is None:
        return Matched(None)
    place = {name: index for index, name in enumerate(classes) if name not in left_out}
    present = torch.bincount(y[y >= 0], minlength=len(names)).tolist()
    unseen = tuple(name for name, rows in zip(names, present, strict=True) if rows and name not in place)
    place |= {name: len(classes) + index for index, name in enumerate(unseen)}
    index = torch.tensor([place.get(name, -1) for name in names] + [-1])
    return Matched(index[y], unseen)


def trained_classes(y: Tensor | None, classes: Sequence[str]) -> tuple[str, ...]:
    """The classes that some training row is of: those that a head is made for. y (n,) indexes ``classes``."""
    if y is None or y.is_floating_point():
        return tuple(classes)
    rows = torch.bincount(y[y >= 0], minlength=len(classes)).tolist()
    return tuple(name for name, count in zip(classes, rows, strict=True) if count)


def of_classes(part: Part, names: Sequence[str], classes: Sequence[str]) -> Part:
    """The part with y that indexes ``classes`` in the place of ``names``; rows of others have no label (-1)."""
    y = match_classes(part.y, names, classes).y
    return part if y is None else part._replace(y=torch.where(y < len(classes), y, -1))
