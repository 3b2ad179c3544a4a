"""A chain of dense layers with batch normalization while it is trained, which folds back into plain dense layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stackae.autoencoders.dense import Dense
from stackae.data.minibatches import in_order
from stackae.data.rows import Rows
from stackae.models.stack import ROWS_AT_ONCE
from stackae.ops.reference import ACTIVATIONS

FLOOR = 1e-5  # added to variances


class NormalizedLayer(nn.Module):
    """f(γ ẑ + β), ẑ = (x Wᵀ − μ) / σ, with the mean and the standard deviation of the batch."""

    def __init__(self, dense: Dense) -> None:
        super().__init__()
        self.weight = nn.Parameter(dense.weight.detach().clone())
        self.gain = nn.Parameter(torch.ones_like(dense.bias))
        self.bias = nn.Parameter(dense.bias.detach().clone())
        self.activation, self.engine = dense.activation, dense.engine

    def project(self, x: Tensor) -> Tensor:
        """x (batch, n_in) -> x Wᵀ (batch, n_out)."""
        return self.engine.dense_act(x, self.weight, None, "linear")

    def activate(self, z: Tensor) -> Tensor:
        """ẑ (batch, n_out) -> f(γ ẑ + β)."""
        return ACTIVATIONS[self.activation](torch.addcmul(self.bias, z, self.gain))


def normalized(z: Tensor) -> Tensor:
    """z (batch, width) -> (z − μ) / √(σ² + FLOOR), by the batch; one row alone becomes 0."""
    return torch.batch_norm(z, None, None, None, None, True, 0.0, FLOOR, False)


class NormalizedNetwork(nn.Module):
    """The layers of a fine-tuned model, normalized by the batch; at first it computes what the model computes.

    Args:
        parts: the dense layers, bottom first; they are copied.
        sample: rows whose statistics initialize γ and β, so that the normalized network is the given one on them.

    Ioffe & Szegedy (2015), Batch normalization.
    """

    def __init__(self, parts: Sequence[Dense], sample: Rows) -> None:
        super().__init__()
        self.layers = nn.ModuleList(map(NormalizedLayer, parts))
        for layer, (mean, deviation) in zip(self.chain, self._statistics(sample, plain=True), strict=True):
            with torch.no_grad():
                layer.gain.copy_(deviation)
                layer.bias.add_(mean)

    @property
    def chain(self) -> list[NormalizedLayer]:
        return [layer for layer in self.layers if isinstance(layer, NormalizedLayer)]

    @property
    def trained(self) -> list[Tensor]:
        """The parameters, layer by layer: weight, gain, bias."""
        return [each for layer in self.chain for each in (layer.weight, layer.gain, layer.bias)]

    @property
    def device(self) -> torch.device:
        return self.chain[0].weight.device

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, n_visible) -> outputs (batch, n_out), by the statistics of this batch."""
        for layer in self.chain:
            x = layer.activate(normalized(layer.project(x)))
        return x

    @torch.no_grad()
    def fold(self, parts: Sequence[Dense], sample: Rows) -> None:
        """Fill dense layers with weights that compute the same, by the statistics of the sample: W γ/σ, β − μ γ/σ."""
        for part, layer, (mean, deviation) in zip(parts, self.chain, self._statistics(sample), strict=True):
            scale = layer.gain / deviation
            part.weight.copy_(layer.weight * scale[:, None])
            part.bias.copy_(layer.bias - mean * scale)

    @torch.no_grad()
    def _statistics(self, sample: Rows, plain: bool = False) -> list[tuple[Tensor, Tensor]]:
        """Return μ and √(σ² + FLOOR) (n_out,) of each layer's projections; ``plain`` leaves out the normalization."""
        found: list[tuple[Tensor, Tensor]] = []
        codes = [sample[part].to(self.device) for part in in_order(len(sample), ROWS_AT_ONCE)]
        for layer in self.chain:
            projected = [layer.project(code) for code in codes]
            variance, mean = torch.var_mean(torch.cat(projected).double(), dim=0, correction=0)
            mean, deviation = mean.to(layer.bias), (variance + FLOOR).sqrt().to(layer.bias)
            found.append((mean, deviation))
            if plain:
                codes = [ACTIVATIONS[layer.activation](z + layer.bias) for z in projected]
            else:
                codes = [layer.activate((z - mean) / deviation) for z in projected]
        return found
