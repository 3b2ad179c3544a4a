"""The auxiliary loss that brings dead units of a top-k code back: they learn what the kept units leave of a row."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stackae.autoencoders.dense import Autoencoder
from stackae.config import LayerConfig

WEIGHT = 1 / 32  # of Gao et al.; under Adam a unit that has no other gradient moves alike at any weight


class Auxiliary:
    """(α/B) (q/2) Σ_i ‖e_i − ê_i‖², ê_i = Σ_{j ∈ A_i} a_ij D_j, of dead units, which nothing else gives a gradient.

    e_i is what the reconstruction of row i lacks before its output activation (``losses.residual``), a constant, and q
    the curvature of its loss, 2 where that is a square; a_ij the pre-activation of unit j, also where f would make it
    0; D_j its decoder weights; A_i the ``count`` dead units with the largest a_ij. A unit is dead while it was not
    active in the last ``rows`` rows, as ``silent`` counts them. 0 where no unit is dead.

    Attributes:
        silent: (n_hidden,) rows since each unit was last active, at most ``rows``: the state of a training.

    Gao, Dupré la Tour, Tillman et al. (2024), Scaling and evaluating sparse autoencoders, appendix A.2.
    """

    def __init__(self, count: int, rows: int, like: Tensor) -> None:
        """``like`` is (n_hidden,), of the parameters' type and device."""
        self.count, self.rows = min(count, len(like)), rows
        self.silent = torch.zeros_like(like, requires_grad=False)
        self._next = self.silent.clone()

    def __call__(self, before: Tensor, weight: Tensor, lacking: Tensor, curvature: float = 2.0) -> Tensor:
        """before: a (batch, n_hidden); weight: D (n_visible, n_hidden); lacking: e (batch, n_visible) -> scalar."""
        dead = self.silent >= self.rows
        values, units = torch.where(dead, before, -torch.inf).topk(self.count, dim=1)
        code = torch.zeros_like(before).scatter(1, units, torch.where(dead[units], values, 0.0))
        found = (lacking - code @ weight.t()).square().sum() / max(1, len(before))
        return WEIGHT * curvature / 2 * dead.any() * found

    @torch.no_grad()
    def watch(self, active: Tensor, rows: int) -> None:
        """Note which units (n_hidden,) bool are active in some of the ``rows`` rows of a step."""
        waited = (self.silent + rows).clamp(max=self.rows)
        self._next = torch.where(active, 0.0, waited)

    def count_on(self, refused: Tensor) -> None:
        """Count the rows of the step that was watched, unless it was refused: a scalar that is not 0 then."""
        self.silent.copy_(torch.where(refused != 0, self.silent, self._next))


def auxiliary_of(layer: LayerConfig, network: nn.Module) -> Auxiliary | None:
    """Build the auxiliary loss that the settings describe; None without it."""
    if layer.revive.kind != "auxiliary" or not isinstance(network, Autoencoder):
        return None
    return Auxiliary(layer.revive.count or 2 * layer.sparsity.count, layer.revive.rows, network.encoder.bias)
