"""What the units of each layer do on rows: how active they are, which are dead, in how many directions codes vary."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stackae.data.rows import Rows, evenly
from stackae.models.stack import StackedAutoencoder, in_batches
from stackae.training.resampling import still_units

MOST_ROWS = 2048
MOST_NUMBERS = 1 << 26  # of one layer's codes


class LayerUnits(NamedTuple):
    """The units of one layer on ``rows`` rows.

    Attributes:
        dead: (n_hidden,) bool, units whose code is (nearly) the same for every row.
        mean: (n_hidden,) mean code of each unit, ρ̂.
        active: (n_hidden,) share of the rows in which each unit's code is not 0.
        effective_rank: exp(−Σ_i p_i ln p_i), p_i the share of the codes' variance along their ith principal axis: from
            1, all codes on a line, to n_hidden, equal variance in all directions; 0 where the codes do not vary. Roy &
            Vetterli (2007), The effective rank: a measure of effective dimensionality.
    """

    layer: int
    n_hidden: int
    rows: int
    dead: Tensor
    mean: Tensor
    active: Tensor
    effective_rank: float


def units_of(stack: StackedAutoencoder, x: Rows) -> list[LayerUnits]:
    """Measure the units of each layer on at most MOST_ROWS of the rows (n, n_visible), n >= 1, at even distances."""
    codes: Rows = evenly(x, min(MOST_ROWS, max(2, MOST_NUMBERS // max(stack.layer_sizes))))
    found = []
    for number, autoencoder in enumerate(stack.autoencoders, start=1):
        codes = in_batches(autoencoder.encode, codes)
        means, active = codes.double().mean(dim=0), (codes != 0).double().mean(dim=0)
        rank = effective_rank(codes)
        found.append(LayerUnits(number, codes.shape[1], len(codes), still_units(codes), means, active, rank))
    return found


def effective_rank(codes: Tensor) -> float:
    """Return the effective rank of codes (n, m), as ``LayerUnits`` has it; 0 where they do not vary."""
    centered = codes.double() - codes.double().mean(dim=0)
    gram = centered @ centered.t() if len(centered) < centered.shape[1] else centered.t() @ centered
    variances = torch.linalg.eigvalsh(gram).clamp(min=0)
    total = float(variances.sum())
    if not total > 0:
        return 0.0
    shares = variances / total
    return float(torch.special.entr(shares).sum().exp())
