"""Rows with what is to be made of them: clean rows beside noisy ones, and cells that are missing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stackae.data.minibatches import in_order
from stackae.errors import DataError

ROWS_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class PairedRows:
    """Inputs x (n, d) and targets t (n, d), float32, NaN where a cell is missing: ``rows[index]`` are the inputs.

    A layer that reads x_i is trained to make t_i of it: of noisy rows the clean ones, and of rows with missing cells,
    which x has filled, the cells that are known. Missing cells have no part in the loss: the error of cell ij has the
    weight w_ij = n d / |O| where it is one of the set O of known cells, and 0 elsewhere, so that the mean over rows of
    Σ_j w_ij e_ij is d times the mean error of a known cell, whatever share is missing. Raises DataError where the
    shapes differ, x has a cell that is missing, and where no cell is known.
    """

    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        if self.inputs.shape != self.targets.shape or self.inputs.dim() != 2:
            raise DataError(
                f"data: expected as many clean rows as noisy ones, and as wide, got shapes {tuple(self.targets.shape)} "
                f"and {tuple(self.inputs.shape)}; give a clean row for each"
            )
        if len(self.inputs) and not self._known:
            raise DataError("data: expected a cell that is known, got none but missing ones; leave out empty rows")

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """(rows, d) float32: the inputs of a slice, of int64 indices, or of a mask (n,)."""
        return self.inputs[index]

    @property
    def shape(self) -> torch.Size:
        return self.inputs.shape

    @property
    def device(self) -> torch.device:
        return self.inputs.device

    @property
    def nbytes(self) -> int:
        return self.inputs.nbytes + self.targets.nbytes

    def to(self, device: torch.device | str) -> PairedRows:
        """The same rows on a device."""
        return PairedRows(self.inputs.to(device), self.targets.to(device))

    def subset(self, index: Tensor | np.ndarray) -> PairedRows:
        """The rows of int64 indices or of a mask (n,); weights are those of these rows alone."""
        index = torch.as_tensor(index)
        return PairedRows(self.inputs[index], self.targets[index])

    def min(self) -> Tensor:
        """0-dim float32: the smallest known target."""
        return torch.where(self.targets.isnan(), torch.inf, self.targets).amin()

    def max(self) -> Tensor:
        """0-dim float32: the largest known target."""
        return torch.where(self.targets.isnan(), -torch.inf, self.targets).amax()

    @cached_property
    def _known(self) -> int:
        return sum(int((~self.targets[part].isnan()).sum()) for part in in_order(len(self), ROWS_AT_ONCE))

    @property
    def missing(self) -> float:
        """The share of cells that are missing, 0 to 1."""
        return 1 - self._known / max(1, self.targets.numel())

    @cached_property
    def noisy(self) -> bool:
        """Whether some input differs from its known target."""
        pairs = ((self.inputs[part], self.targets[part]) for part in in_order(len(self), ROWS_AT_ONCE))
        return any(bool(((x != t) & ~t.isnan()).any()) for x, t in pairs)

    @property
    def weight(self) -> float:
        """w of the known cells: n d / |O|."""
        return self.targets.numel() / self._known

    def known(self, index: slice | Tensor) -> Tensor:
        """(rows, d) bool: which cells of these rows are not missing."""
        return ~self.targets[index].isnan()

    def aim(self, index: slice | Tensor) -> Aim:
        """What is to be made of these rows; the target of a missing cell is its input, for what weighs nothing."""
        x, t = self.inputs[index], self.targets[index]
        if self._known == self.targets.numel():
            return Aim(x, t)
        absent = t.isnan()
        weight = torch.where(absent, 0.0, t.new_full((), self.weight))
        return Aim(x, torch.where(absent, x, t), weight)


class Aim(NamedTuple):
    """Rows x that are read, the targets t that are to be made of them, and the weight w of the error of each cell, all
    (rows, d); without w, every weight is 1."""

    x: Tensor
    target: Tensor
    weight: Tensor | None = None

    def to(self, device: torch.device) -> Aim:
        """The same on a device."""
        x, weight = self.x.to(device), None if self.weight is None else self.weight.to(device)
        return Aim(x, x if self.target is self.x else self.target.to(device), weight)
