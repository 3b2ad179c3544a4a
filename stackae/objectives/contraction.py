"""The contractive penalty of an encoder, computed without its Jacobian."""

from __future__ import annotations

from torch import Tensor

from stackae.ops.reference import SLOPES


def contraction(a: Tensor, weight: Tensor, activation: str) -> Tensor:
    """(1/B) Σ_i ‖∂h_i/∂x_i‖²_F = (1/B) Σ_i Σ_j f′(a_ij)² ‖W_j‖², for h = f(a), a = x Wᵀ + b.

    a (batch, n_hidden), weight (n_hidden, n_visible) -> scalar. The formula is exact for every elementwise activation;
    the Jacobian of n_hidden x n_visible numbers per row is never materialized.

    Rifai, Vincent, Muller, Glorot & Bengio (2011), Contractive auto-encoders.
    """
    return (SLOPES[activation](a).square() @ weight.square().sum(dim=1)).sum() / max(1, len(a))
