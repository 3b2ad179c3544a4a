"""The arguments and the result of a training step: layers, the batches of a call, and the call's progress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class DenseLayer(NamedTuple):
    """f(y Wᵀ + b), a layer of a chain; weight W (n_out, n_in), or None where W is layer ``tied_to``'s, transposed.

    The layer learns at ``rate`` times the given learning rate from step ``begins`` on, with which Adam begins to count,
    and stands still before; its weight decays only where ``decays`` says so.
    """

    weight: Tensor | None
    bias: Tensor
    activation: str
    tied_to: int = -1
    rate: float = 1.0
    begins: int = 0
    decays: bool = True


class Batches(NamedTuple):
    """The batches of one network in a call.

    Args:
        rows: (k,) int64 row indices, on the CPU, cut into batches in their order.
        learning_rates: one per batch.
        total: the loss of the earlier batches, in a pass that takes several calls; the call adds to it.
    """

    rows: Tensor
    learning_rates: Sequence[float]
    total: float = 0.0


class StepResult(NamedTuple):
    """The progress of one network in a call.

    Args:
        total: the total given to the call plus the loss of each batch times its rows, summed in float64 one after the
            other, so that it does not depend on how a pass is cut into calls. The loss is that before the batch's
            step; the loss of a refused batch is added too.
        steps: the number of steps taken. If the call had more batches, step number ``step + steps`` was refused, and
            no later one was taken.
    """

    total: float
    steps: int
