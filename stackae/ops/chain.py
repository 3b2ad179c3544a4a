"""A layer of a chain, as the fused step has it (``stackae.ops``)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class DenseLayer(NamedTuple):
    """f(y Wᵀ + b), a link of a chain; weight (n_out, n_in), or None where W is layer ``tied_to``'s, transposed."""

    weight: Tensor | None
    bias: Tensor
    activation: str
    tied_to: int = -1
