"""Rows as training and evaluation read them: 32-bit numbers, bytes scaled as they are read, in a file, or pairs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from stackae.data.codes.encoded import EncodedRows
from stackae.data.paired import Aim, PairedRows
from stackae.data.scaling import Scaling
from stackae.data.stored.rows import StoredRows
from stackae.errors import DataError


@dataclass(frozen=True, eq=False)
class ByteRows:
    """x[index] = (raw[index] - offset) / scale, float32, for raw (n, d) uint8, contiguous: one byte a cell.

    Every read gives the bits that ``scaling.transform`` gives for the same rows. Raises DataError when raw is of
    another type, not contiguous, or not as wide as the scaling, and when the scaling is not ``of_bytes``.
    """

    raw: Tensor
    scaling: Scaling

    def __post_init__(self) -> None:
        if self.raw.dtype != torch.uint8 or not self.raw.is_contiguous():
            layout = "" if self.raw.is_contiguous() else ", not contiguous"
            raise DataError(
                f"rows: expected contiguous uint8, got {self.raw.dtype}{layout}; "
                "scale other numbers by Scaling.transform, and make bytes contiguous"
            )
        self.scaling.check_width(self.raw.shape)
        if not self.scaling.of_bytes:
            raise DataError(
                f"rows: expected a scaling of 32 bits that clips nothing for bytes, got {self.scaling.offset.dtype}, "
                f"clip {self.scaling.clip}; scale the rows by Scaling.transform"
            )

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """(rows, d) float32, a new tensor: those of a slice, of int64 indices from 0 to n - 1, or of a mask (n,)."""
        return self.scaling.transform(self._taken(index))

    @property
    def shape(self) -> torch.Size:
        return self.raw.shape

    @property
    def device(self) -> torch.device:
        return self.raw.device

    @property
    def nbytes(self) -> int:
        return self.raw.nbytes

    def to(self, device: torch.device | str) -> ByteRows:
        """The same rows on a device, where reading them moves nothing between devices."""
        return ByteRows(self.raw.to(device), self.scaling.to(device))

    def subset(self, index: Tensor | np.ndarray) -> ByteRows:
        """The rows of int64 indices or of a mask (n,), still bytes."""
        return ByteRows(self._taken(torch.as_tensor(index)), self.scaling)

    def min(self) -> Tensor:
        """0-dim float32: the smallest scaled value of n >= 1 rows."""
        return self._extremes.min()

    def max(self) -> Tensor:
        """0-dim float32: the largest scaled value of n >= 1 rows."""
        return self._extremes.max()

    def _taken(self, index: slice | Tensor) -> Tensor:
        if isinstance(index, Tensor) and index.dtype == torch.int64:
            return self.raw.index_select(0, index.to(self.device))  # raw[index] takes ten times as long
        return self.raw[index]

    @cached_property
    def _extremes(self) -> Tensor:
        """(2, d): scaling is monotone in each column, in exact and in rounded arithmetic, so these are enough."""
        return self.scaling.transform(torch.stack([self.raw.amin(dim=0), self.raw.amax(dim=0)]))


Rows = Tensor | ByteRows | StoredRows | EncodedRows | PairedRows
"""(n, d) rows: len, shape, device, nbytes, to, min and max, and x[slice, indices or mask] -> float32 Tensor."""


def subset(x: Rows, index: Tensor) -> Rows:
    """The rows of int64 indices or of a mask (n,), of the same kind as x: bytes stay bytes, a file a file."""
    return x[index] if isinstance(x, Tensor) else x.subset(index)


def evenly(x: Rows, most: int) -> Rows:
    """At most ``most`` of the rows, at even distances, of the same kind as x. No errors."""
    count = len(x)
    return x if count <= most else subset(x, torch.arange(most) * count // most)


def aim_of(x: Rows, index: slice | Tensor) -> Aim:
    """What is to be made of the rows of a slice or of indices: themselves, unless x are pairs."""
    if isinstance(x, PairedRows):
        return x.aim(index)
    rows = x[index]
    return Aim(rows, rows)


def known_of(x: Rows, index: slice | Tensor) -> Tensor | None:
    """Which cells of the rows of a slice or of indices are not missing, (rows, d) bool; None where x has no gaps."""
    return x.known(index) if isinstance(x, PairedRows) and x.missing else None


def is_fed(x: Rows) -> bool:
    """Whether kernels cannot read the rows in place, so that they are handed over batch by batch."""
    return bool(getattr(x, "fed", False))


def inputs_of(x: Rows) -> Tensor | ByteRows | StoredRows | EncodedRows:
    """The rows as they are read, without what is to be made of them."""
    return x.inputs if isinstance(x, PairedRows) else x
