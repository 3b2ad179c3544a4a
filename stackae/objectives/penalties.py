"""Sparsity penalties on a layer's code, and the max-norm constraint on weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from stackae.config import SparsityConfig
from stackae.objectives.share import Share
from stackae.ops.engine import Engine
from stackae.ops.reference import kl_of_means


@dataclass(frozen=True)
class L1Sparsity:
    """(λ/B) Σ_i Σ_j |h_ij|: penalizes codes of any activation for their distance from 0.

    Olshausen & Field (1996), Emergence of simple-cell receptive field properties by learning a sparse code.
    """

    weight: float

    @property
    def kernel(self) -> tuple[str, float, float]:
        """Kind, target and weight, as ``stackae.ops.training`` takes them; l1 has no target."""
        return "l1", 0.5, self.weight

    def __call__(self, h: Tensor, activation: str, engine: Engine, share: Share) -> Tensor:
        """h: (batch, n_hidden), the codes of a share of a batch -> scalar."""
        return self.weight * h.abs().sum() / max(1, len(h))


@dataclass(frozen=True)
class KlSparsity:
    """β Σ_j KL(ρ ‖ ρ̂_j): drives each unit's mean activation ρ̂_j over the batch towards the target ρ.

    A sigmoid code is used as it is; a tanh code is first mapped into (0, 1) by (h+1)/2.

    Ng (2011), CS294A lecture notes: Sparse autoencoder.
    """

    target: float
    weight: float

    @property
    def kernel(self) -> tuple[str, float, float]:
        return "kl", self.target, self.weight

    def __call__(self, h: Tensor, activation: str, engine: Engine, share: Share) -> Tensor:
        """h: (batch, n_hidden), the codes of a share of a batch -> scalar."""
        unit = (h + 1) / 2 if activation == "tanh" else h
        if share.alone:
            return self.weight * engine.sparsity_kl(unit, self.target)
        wide = unit.double()
        means = share.mean(torch.stack((wide.mean(dim=0), (1 - wide).mean(dim=0))))
        return self.weight * kl_of_means(means[0], means[1], self.target).to(h.dtype)


def penalty_of(sparsity: SparsityConfig) -> KlSparsity | L1Sparsity | None:
    """Build the penalty that the settings describe; None without sparsity, and for top-k, which is no penalty."""
    if sparsity.kind == "kl":
        return KlSparsity(sparsity.target, sparsity.weight)
    return L1Sparsity(sparsity.weight) if sparsity.kind == "l1" else None


@torch.no_grad()
def clip_norms(weights: Iterable[Tensor], longest: float) -> None:
    """w_j ← w_j · min(1, c / ‖w_j‖) in place, for each row w_j of each weight (n_out, ...): a unit's incoming weights.

    Srebro & Shraibman (2005); Srivastava et al. (2014), Dropout, section 5.1.
    """
    for weight in weights:
        rows = weight.view(len(weight), -1)
        norms = rows.norm(dim=1, keepdim=True)
        rows.mul_(torch.where(norms > longest, longest / norms, 1.0))
