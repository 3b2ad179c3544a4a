"""Reconstruction losses: summed over features, averaged over rows (as reported by Theano, pylearn2 and Hinton)."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from stackae.ops.reference import SLOPES


class Decoder(Protocol):
    """The part of an autoencoder that a loss calls."""

    def decode(self, h: Tensor) -> Tensor: ...

    def decode_logits(self, h: Tensor) -> Tensor: ...


def squared_error(decoder: Decoder, h: Tensor, x: Tensor, weight: Tensor | None = None) -> Tensor:
    """(1/B) Σ_i Σ_j w_ij (z_ij − x_ij)², z = decode(h). h (batch, n_hidden), x and w (batch, n_visible) -> scalar.

    Without ``weight``, w is 1.
    """
    z = decoder.decode(h)
    total = F.mse_loss(z, x, reduction="sum") if weight is None else (weight * (z - x).square()).sum()
    return total / max(1, len(x))


def binary_cross_entropy(decoder: Decoder, h: Tensor, x: Tensor, weight: Tensor | None = None) -> Tensor:
    """−(1/B) Σ_i Σ_j w_ij (x_ij ln z_ij + (1−x_ij) ln(1−z_ij)), x in [0, 1], in nats.

    Computed from the decoder's pre-activation, so that a saturated output keeps its gradient z − x.
    """
    logits = decoder.decode_logits(h)
    return F.binary_cross_entropy_with_logits(logits, x, weight, reduction="sum") / max(1, len(x))


LOSSES = {"mse": squared_error, "bce": binary_cross_entropy}


CURVATURES = {"mse": 2.0, "bce": 1 / 16}
"""The second derivative of a row's loss with respect to an output's pre-activation s: of a linear output under squared
error, and about, z (1 − z), of a sigmoid output that is near 0 or 1 under cross-entropy."""


@torch.no_grad()
def residual(
    decoder: Decoder, h: Tensor, x: Tensor, weight: Tensor | None, loss: str, output_activation: str
) -> Tensor:
    """e = −(B / q) ∂L/∂s: the step of s, where z = g(s), that a loss L of the curvature q asks for.

    It is w (x − z) g′(s) of a squared error, x − z of a linear output, and 16 w (x − z) of a cross-entropy.
    h (batch, n_hidden), x and w (batch, n_visible) -> (batch, n_visible).
    """
    left = x - decoder.decode(h)
    if loss == "bce":
        left = left / CURVATURES[loss]
    elif output_activation != "linear":
        left = left * SLOPES[output_activation](decoder.decode_logits(h))
    return left if weight is None else weight * left
