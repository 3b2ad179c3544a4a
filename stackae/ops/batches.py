"""What a training step is asked to do, and how far it came: the two sides of every ``advance``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


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
