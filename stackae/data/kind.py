"""What rows are, as far as the settings of a layer that reads them depend on it."""

from __future__ import annotations

from typing import NamedTuple

import torch

from stackae.data.paired import PairedRows
from stackae.data.rows import Rows, aim_of

MOST_ROWS, MOST_CELLS = 4096, 1 << 22  # evenly spaced rows that are looked at
STRIP = 32  # columns that are held in float64 at a time
CONTRAST = 0.7  # from which on pixels are nearly zeros and ones
IMAGE = 64  # columns from which on rows within [0, 1] count as pixels
FAR = 20.0  # standard deviations, all cells alike, beyond which a value is far


class RowsKind(NamedTuple):
    """What the rows (n, d) are: their range, and of evenly spaced ones the zeros, the variance and the farthest value.

    ``variance`` is the sum of the variances of the columns j, and ``farthest`` max |x - μ_j| / s, with s the root of
    their mean; 0 where all rows are equal. ``contrast`` is the variance of rows within [0, 1] over that of zeros and
    ones of the same means, Σ_j μ_j (1 - μ_j). Of pairs, all are those of the targets; ``noisy`` says that the inputs
    differ from them, and ``missing`` which share of the cells is missing.
    """

    width: int
    in_unit: bool
    binary: bool
    zeros: float
    variance: float
    contrast: float
    farthest: float
    noisy: bool = False
    missing: float = 0.0

    @property
    def pixels(self) -> bool:
        """Whether they are like pixels: many columns within [0, 1]."""
        return self.in_unit and self.width >= IMAGE

    @property
    def inked(self) -> bool:
        """Whether most cells are nearly 0 or 1, as strokes of ink are, and photographs are not."""
        return self.in_unit and self.contrast >= CONTRAST

    @property
    def far(self) -> bool:
        """Whether some values are so far from the others that units which saturate would cut them off."""
        return self.farthest > FAR

    def __str__(self) -> str:
        beside = "noisy rows, of which the clean ones are to be made: " if self.noisy else ""
        gaps = f", {self.missing:.0%} missing, without part in the loss" if self.missing else ""
        return f"{beside}{self._values}{gaps}"

    @property
    def _values(self) -> str:
        if self.binary:
            return f"zeros and ones, {self.zeros:.0%} zeros"
        if self.pixels:
            return f"pixels {'near 0 or 1' if self.inked else 'in [0, 1]'}, {self.zeros:.0%} zeros"
        if self.far:
            return f"columns of numbers, the farthest {self.farthest:.0f} standard deviations away"
        return "columns in [0, 1]" if self.in_unit else "columns of numbers"


def most_looked_at(width: int) -> int:
    """Return the maximum number of rows of a width that ``kind_of`` looks at."""
    return max(1, min(MOST_ROWS, MOST_CELLS // max(1, width)))


@torch.no_grad()
def kind_of(x: Rows) -> RowsKind:
    """Look at rows x (n, d), n >= 1: at all of them for their range, else at no more than 4,096."""
    count, width = x.shape
    rows = aim_of(x, torch.arange(0, count, -(-count // most_looked_at(width)))).target
    low, high = float(x.min()), float(x.max())
    moments = [torch.var_mean(strip.double(), dim=0, correction=0) for strip in torch.split(rows, STRIP, dim=1)]
    variances, mean = (torch.cat(each) for each in zip(*moments, strict=True))
    variance = float(variances.sum())
    binary_variance = float((mean * (1 - mean)).sum())
    scale = (variance / width) ** 0.5
    farthest = max(float((end - mean).abs().max()) for end in rows.aminmax(dim=0)) / scale if scale > 0 else 0.0
    zeros = rows == 0
    return RowsKind(
        width,
        in_unit=low >= 0 and high <= 1,
        binary=low == 0 and high == 1 and bool((zeros | (rows == 1)).all()),
        zeros=int(zeros.count_nonzero()) / max(1, zeros.numel()),
        variance=variance,
        contrast=variance / binary_variance if binary_variance > 0 else 0.0,
        farthest=farthest,
        noisy=isinstance(x, PairedRows) and x.noisy,
        missing=x.missing if isinstance(x, PairedRows) else 0.0,
    )
