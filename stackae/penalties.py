"""Penalties on a layer's code."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from stackae.engine import Engine


@dataclass(frozen=True)
class L1Sparsity:
    """(λ/B) Σ_i Σ_j |h_ij|: pulls codes towards 0, of any activation.

    Olshausen & Field (1996), Emergence of simple-cell receptive field properties by learning a sparse code.
    """

    weight: float

    def __call__(self, h: Tensor, activation: str, engine: Engine) -> Tensor:
        """h: (batch, n_hidden) -> scalar."""
        return self.weight * h.abs().sum() / max(1, len(h))


@dataclass(frozen=True)
class KlSparsity:
    """β Σ_j KL(ρ ‖ ρ̂_j): pulls each unit's mean activation ρ̂_j over the batch towards the target ρ.

    A sigmoid code is taken as it is; a tanh code is mapped into (0, 1) by (h+1)/2 first.

    Ng (2011), CS294A lecture notes: Sparse autoencoder.
    """

    target: float
    weight: float

    def __call__(self, h: Tensor, activation: str, engine: Engine) -> Tensor:
        """h: (batch, n_hidden) -> scalar."""
        unit = (h + 1) / 2 if activation == "tanh" else h
        return self.weight * engine.sparsity_kl(unit, self.target)
