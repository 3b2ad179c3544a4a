"""Evaluate a stack: the reconstruction error of each of its layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stackae.data.minibatches import in_order
from stackae.data.rows import Rows, aim_of
from stackae.errors import DataError
from stackae.models.stack import ROWS_AT_ONCE, StackedAutoencoder
from stackae.ranks.turns import in_turns


class ReconstructionReport(NamedTuple):
    """Errors of encoding up to ``layer`` and decoding back to the input, averaged over rows; of ``PairedRows``, against
    their targets, with their weights.

    squared_error: ‖z − x‖² per row. mean_squared_error: the same per feature. explained: 1 − squared_error /
    E‖x − mean row‖², so that 0 is no better than answering the mean row and 1 is perfect. cross_entropy:
    −Σ_j x_j ln z_j + (1−x_j) ln(1−z_j) per row in nats, where that is what was trained, and None elsewhere;
    mean_cross_entropy: the same per feature.
    """

    layer: int
    n_hidden: int
    squared_error: float
    mean_squared_error: float
    explained: float
    cross_entropy: float | None = None
    mean_cross_entropy: float | None = None


def evaluate_reconstruction(stack: StackedAutoencoder, x: Rows, loss: str = "mse") -> list[ReconstructionReport]:
    """Report on each layer, for x (n, n_visible) with n >= 1; with ``loss`` bce, on the cross-entropy too."""
    spread = spread_of(x)
    return [
        reconstruction_report(
            layer,
            stack.layer_sizes[layer],
            partial(stack.reconstruct, layer=layer),
            x,
            spread,
            partial(stack.logits, layer=layer) if loss == "bce" else None,
        )
        for layer in range(1, len(stack.layer_sizes))
    ]


@torch.no_grad()
def reconstruction_report(
    layer: int,
    n_hidden: int,
    reconstruct: Callable[[Tensor], Tensor],
    x: Rows,
    spread: float,
    logits: Callable[[Tensor], Tensor] | None = None,
) -> ReconstructionReport:
    """Report on reconstruct(x), for rows x (n, n_visible) of this spread; with logits(x), on cross-entropy too."""

    def sums(part: slice) -> tuple[float, float]:
        aim = aim_of(x, part)
        squares = (reconstruct(aim.x) - aim.target).double().square()
        error = (squares if aim.weight is None else squares * aim.weight).sum().item()
        if logits is None:
            return error, 0.0
        given, weight = logits(aim.x).double(), None if aim.weight is None else aim.weight.double()
        return error, F.binary_cross_entropy_with_logits(given, aim.target.double(), weight, reduction="sum").item()

    total, nats = 0.0, 0.0
    for error, more in in_turns(list(in_order(len(x), ROWS_AT_ONCE)), sums):
        total, nats = total + error, nats + more
    error = total / len(x)
    explained = 1 - error / spread if spread > 0 else float(error == 0)
    report = ReconstructionReport(layer, n_hidden, error, error / x.shape[1], explained)
    if logits is None:
        return report
    return report._replace(cross_entropy=nats / len(x), mean_cross_entropy=nats / len(x) / x.shape[1])


def spread_of(x: Rows) -> float:
    """E‖t − mean row‖² over the targets of x, which are x itself unless they are pairs, in float64, so that equal rows
    give exactly 0."""
    if len(x) == 0:
        raise DataError("data: expected rows to reconstruct, got none")
    parts = list(in_order(len(x), ROWS_AT_ONCE))
    pieces = in_turns(parts, partial(_weighed_sum, x))
    sums, weights = next(pieces)
    for more, known in pieces:  # added up at once: sums that are kept between large tensors would keep the heap growing
        sums, weights = sums.add_(more), weights.add_(known)
    mean = sums / weights.clamp(min=1e-9)
    return sum(in_turns(parts, lambda part: _weighed_squares(x, part, mean))) / len(x)


def _weighed_sum(x: Rows, part: slice) -> tuple[Tensor, Tensor]:
    """Σ_i w_ij t_ij and Σ_i w_ij, per column, in float64."""
    target, weight = aim_of(x, part)[1:]
    if weight is None:
        return target.sum(0, dtype=torch.float64), target.new_full((x.shape[1],), len(target), dtype=torch.float64)
    return (weight.double() * target).sum(0), weight.sum(0, dtype=torch.float64)


def _weighed_squares(x: Rows, part: slice, mean: Tensor) -> float:
    """Σ_ij w_ij (t_ij − mean_j)², in float64."""
    target, weight = aim_of(x, part)[1:]
    squares = (target - mean).square_()
    return float((squares if weight is None else squares.mul_(weight)).sum())
