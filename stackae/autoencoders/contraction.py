"""The contraction of an encoder, without its Jacobian."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": lambda a: torch.sigmoid(a) * torch.sigmoid(-a),
    "tanh": lambda a: 1 - torch.tanh(a).square(),
    "relu": lambda a: (a > 0).to(a),
    "leaky_relu": lambda a: torch.where(a > 0, torch.ones_like(a), 0.01),
    "elu": lambda a: torch.exp(a.clamp(max=0)),
    "softplus": torch.sigmoid,
    "gelu": lambda a: torch.special.ndtr(a) + a * torch.exp(-0.5 * a.square()) / math.sqrt(2 * math.pi),
    "linear": torch.ones_like,
}
"""f′(a) of each activation f, as a function of what goes into it."""


def contraction(a: Tensor, weight: Tensor, activation: str) -> Tensor:
    """(1/B) Σ_i ‖∂h_i/∂x_i‖²_F = (1/B) Σ_i Σ_j f′(a_ij)² ‖W_j‖², of h = f(a), a = x Wᵀ + b.

    a (batch, n_hidden), weight (n_hidden, n_visible) -> scalar. Exact for every elementwise activation; the Jacobian of
    n_hidden x n_visible numbers a row is never made.

    Rifai, Vincent, Muller, Glorot & Bengio (2011), Contractive auto-encoders.
    """
    return (SLOPES[activation](a).square() @ weight.square().sum(dim=1)).sum() / max(1, len(a))
