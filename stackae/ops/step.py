"""What a training step takes and gives: the layers of a chain, the batches of a call, and how far the call came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class DenseLayer(NamedTuple):
    """f(y Wᵀ + b), a link of a chain; weight (n_out, n_in), or None where W is layer ``tied_to``'s, transposed."""

    weight: Tensor | None
    bias: Tensor
    activation: str
    tied_to: int = -1


class Batches(NamedTuple):
    """What a call trains one network on.

    Args:
        rows: (k,) int64, on the CPU, cut into batches in their order.
        learning_rates: one for each batch.
        total: the loss of the batches before, in a pass that takes several calls; the call adds to it.
    """

    rows: Tensor
    learning_rates: Sequence[float]
    total: float = 0.0


class StepResult(NamedTuple):
    """How far a call came with one network.

    Args:
        total: the total that the call was given, to which the loss of each batch, times its rows, was added: float64,
            one after another, so that it does not depend on how a pass is cut into calls. The loss is the one before
            the batch's step; that of a batch which was refused is added too.
        steps: how many steps were taken. Fewer than the call had batches: step number ``step + steps`` was refused,
            and nothing after it was done.
    """

    total: float
    steps: int
