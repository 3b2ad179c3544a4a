"""Rows for training and evaluation that stay in their file, and are read and scaled where they are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from stackae.data.scaling import Scaling
from stackae.data.stored.array import StoredArray, pieces


@dataclass(frozen=True, eq=False)
class StoredRows:
    """x[index] = scaling.transform(raw[index]), float32, for raw (n, d) in a file.

    Every read gives the bits that ``scaling.transform`` gives for the same rows. The rows cannot be read in place by
    kernels (``fed``): ``stackae.training.feed`` hands them over batch by batch.
    """

    raw: StoredArray
    scaling: Scaling

    fed = True

    def __post_init__(self) -> None:
        self.scaling.check_width(self.raw.shape)

    @property
    def as_bytes(self) -> bool:
        """Whether in memory they would be ``ByteRows``, which some sums take as integers."""
        return self.raw.dtype == np.uint8 and self.scaling.of_bytes

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """(rows, d) float32, a new tensor on the CPU: of a slice, of int64 indices from 0 to n - 1, or of a mask."""
        rows = self.raw[index.cpu().numpy() if isinstance(index, Tensor) else index]
        return torch.from_numpy(rows) if self._as_they_are else self.scaling.transform(rows)

    @property
    def shape(self) -> torch.Size:
        return torch.Size(self.raw.shape)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def nbytes(self) -> int:
        """What the rows take in memory: nothing to speak of, as they are in a file."""
        return 0 if self.raw.index is None else self.raw.index.nbytes

    def to(self, device: torch.device | str) -> StoredRows:
        """The same rows: they stay in their file, and are sent to a device batch by batch."""
        return self

    def subset(self, index: Tensor | np.ndarray) -> StoredRows:
        """The rows of int64 indices or of a mask (n,), still in the file."""
        return StoredRows(self.raw.at(torch.as_tensor(index).numpy()), self.scaling)

    def min(self) -> Tensor:
        """0-dim float32: the smallest scaled value of n >= 1 rows."""
        return self._extremes[0]

    def max(self) -> Tensor:
        """0-dim float32: the largest scaled value of n >= 1 rows."""
        return self._extremes[1]

    @cached_property
    def _as_they_are(self) -> bool:
        """Whether scaling would change no bit of them, and no copy is needed, as they were just read."""
        scaling = self.scaling
        alone = scaling.clip is None and scaling.fill is None and self.raw.dtype == np.float32
        return alone and not bool(scaling.offset.any()) and bool((scaling.scale == 1).all())

    @cached_property
    def _extremes(self) -> tuple[Tensor, Tensor]:
        return extremes(self.scaling.transform(piece) for _, piece in pieces(self.raw))


def extremes(found: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """0-dim float32: the smallest and the largest number of some pieces, one at least; NaN where one holds a NaN.

    Nothing of a piece is kept: small tensors between large ones that are freed would keep the C library's heap growing.
    """
    low, high = torch.tensor(torch.inf), torch.tensor(-torch.inf)
    for piece in found:
        least, most = piece.aminmax()
        torch.minimum(low, least.cpu(), out=low)
        torch.maximum(high, most.cpu(), out=high)
    return low, high
