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
    total, nats = 0.0, 0.0
    for part in in_order(len(x), ROWS_AT_ONCE):
        aim = aim_of(x, part)
        squares = (reconstruct(aim.x) - aim.target).double().square()
        total += (squares if aim.weight is None else squares * aim.weight).sum().item()
        if logits is not None:
            given, weight = logits(aim.x).double(), None if aim.weight is None else aim.weight.double()
            nats += F.binary_cross_entropy_with_logits(given, aim.target.double(), weight, reduction="sum").item()
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
    sums, weights = _weighed_sum(x, parts[0])
    for part in parts[1:]:  # added up at once: sums that are kept between large tensors would keep the heap growing
        more, known = _weighed_sum(x, part)
        sums, weights = sums.add_(more), weights.add_(known)
    mean = sums / weights.clamp(min=1e-9)
    return sum(_weighed_squares(x, part, mean) for part in parts) / len(x)


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
