"""Find dead units of a code, and resample them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stackae.autoencoders.dense import Autoencoder
from stackae.random import Purpose, uniform

SAMPLE = 2048  # rows on which dead units are counted
STILL = 1e-3  # a unit is dead below this share of the largest range of any unit


@torch.no_grad()
def dead_units(autoencoder: Autoencoder, x: Tensor) -> Tensor:
    """Compute the dead-unit mask (n_hidden,): units that are (nearly) constant over the rows of x (batch, n_visible).

    The constant is 0 for relu and sparse codes, and a bound of f for sigmoid and tanh.
    """
    return still_units(autoencoder.encode(x))


def still_units(h: Tensor) -> Tensor:
    """Compute which columns of codes h (n, n_hidden), n >= 1, are (nearly) constant, (n_hidden,) bool."""
    spread = h.amax(dim=0) - h.amin(dim=0)
    return spread <= STILL * spread.max()


@torch.no_grad()
def resample_units(
    autoencoder: Autoencoder, x: Tensor, dead: Tensor, moments: Sequence[Tensor], *, seed: int, layer: int, epoch: int
) -> None:
    """Resample dead units: point each at a row that is badly reconstructed, drawn with probability ∝ ‖z − x‖⁴.

    A unit's incoming weights become the row's deviation from the mean row, scaled to the mean norm of living units; its
    outgoing weights (where untied) get the same direction; its bias and its optimizer state become 0. The rows are
    drawn by (seed, layer, epoch).

    Args:
        x: (batch, n_visible) rows to draw from.
        dead: (n_hidden,) bool.
        moments: ``TrainStep.optimizer_state``.

    Bricken et al. (2023), Towards monosemanticity, appendix: neuron resampling.
    """
    if not bool(dead.any()):
        return
    chance = (autoencoder.reconstruct(x) - x).square().sum(dim=1).square().double().cumsum(dim=0)
    draws = uniform((int(dead.sum()),), seed=seed, purpose=Purpose.REVIVAL, layer=layer, counter=epoch)
    rows = torch.searchsorted(chance, draws.to(chance) * chance[-1]).clamp(max=len(x) - 1)
    deviation = x[rows] - x.mean(dim=0)
    direction = deviation / deviation.norm(dim=1, keepdim=True).clamp(min=1e-12)
    encoder, outgoing = autoencoder.encoder, autoencoder.decoder_weight
    encoder.weight[dead] = direction * _length(encoder.weight, ~dead)
    encoder.bias[dead] = 0
    if outgoing is not None:
        outgoing[:, dead] = direction.t() * _length(outgoing.t(), ~dead)
    for number, own in enumerate(autoencoder.trained):
        for moment in moments[2 * number : 2 * number + 2]:
            if own is outgoing:
                moment[:, dead] = 0
            elif own is encoder.weight or own is encoder.bias:
                moment[dead] = 0


def _length(weight: Tensor, living: Tensor) -> float:
    return float(weight[living].norm(dim=1).mean()) if bool(living.any()) else 1.0
