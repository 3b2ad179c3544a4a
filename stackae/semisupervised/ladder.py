"""The ladder: every level of the network denoises its own code while the labels are learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stackae.autoencoders.dense import Dense
from stackae.data.rows import Rows
from stackae.models.heads.base import HEAD_NUMBER
from stackae.semisupervised.network import NormalizedNetwork, normalized
from stackae.semisupervised.objective import PseudoLabelObjective

NOISE = 0.3  # standard deviation, in that of the input and of normalized codes
WEIGHTS = (70.0, 10.0, 0.1)  # of the costs of the input, of the first code, and of all above
NOISE_LAYER = HEAD_NUMBER + 2  # layer number of the stream of the input's noise; those above follow


class Combinator(nn.Module):
    """ẑ = (z̃ − v(u)) w(u) + v(u), with v and w each a₁ σ(a₂ u + a₃) + a₄ u + a₅, per unit.

    z̃ is the noisy code of a level, and u what the level above says of it. At first v(u) = u, w(u) = 1/2.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        first = torch.tensor([[0.0, 1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.5]])
        self.parts = nn.Parameter(first[:, :, None].repeat(1, 1, width))

    def forward(self, noisy: Tensor, above: Tensor) -> Tensor:
        """z̃, u (batch, width) -> ẑ (batch, width)."""
        mean, share = (self._curve(a, above) for a in self.parts)
        return (noisy - mean) * share + mean

    @staticmethod
    def _curve(a: Tensor, u: Tensor) -> Tensor:
        curve: Tensor = a[0] * torch.sigmoid(a[1] * u + a[2]) + a[3] * u + a[4]
        return curve


class LadderNetwork(NormalizedNetwork):
    """A ``NormalizedNetwork`` with a decoder: a matrix V and a combinator per level, from the outputs to the input.

    Args:
        parts: the dense layers of the model, bottom first.
        decoders: the decoder of each layer of the stack, bottom first, whose weights V starts with; that of the outputs
            starts with the transposed weights of the head.
        sample: as for ``NormalizedNetwork``; the noise of the input is relative to its standard deviation, ``spread``.
    """

    def __init__(self, parts: Sequence[Dense], decoders: Sequence[Dense], sample: Rows) -> None:
        super().__init__(parts, sample)
        starts = [each.weight for each in decoders] + [parts[-1].weight.t()]
        self.down = nn.ParameterList(nn.Parameter(each.detach().clone().contiguous()) for each in starts)
        widths = [parts[0].sizes[0], *(part.sizes[1] for part in parts)]
        self.spread = max(1e-6, float(sample[:].var(dim=0, correction=0).mean().sqrt()))
        self.combinators = nn.ModuleList(map(Combinator, widths)).to(self.device)

    @property
    def trained(self) -> list[Tensor]:
        return [*super().trained, *self.down, *self.combinators.parameters()]

    def levels(self, x: Tensor) -> list[Tensor]:
        """Return the codes of x without noise: the input, then each layer's normalized pre-activation."""
        found = [x]
        for layer in self.chain:
            found.append(normalized(layer.project(x)))
            x = layer.activate(found[-1])
        return found

    def noisy_levels(self, x: Tensor, seed: int, step: int) -> tuple[list[Tensor], Tensor]:
        """Return ``levels`` with Gaussian noise on every level, drawn by (seed, step), and the outputs."""
        corrupt = self.chain[0].engine.corrupt
        x = corrupt(x, "gaussian", NOISE * self.spread, 0.0, 1.0, seed, NOISE_LAYER, step)
        found = [x]
        for depth, layer in enumerate(self.chain, start=1):
            z = normalized(layer.project(x))
            found.append(corrupt(z, "gaussian", NOISE, 0.0, 1.0, seed, NOISE_LAYER + depth, step))
            x = layer.activate(found[-1])
        return found, x

    def denoised(self, noisy: Sequence[Tensor], outputs: Tensor) -> list[Tensor]:
        """Decode from the outputs down: ẑ of each level, the input's first."""
        above, found = normalized(outputs), list[Tensor]()
        for level in range(len(noisy) - 1, -1, -1):
            found.append(self.combinators[level](noisy[level], above))
            if level:
                above = normalized(found[-1] @ self.down[level - 1].t())
        return found[::-1]


@dataclass(frozen=True)
class LadderObjective(PseudoLabelObjective):
    """Pseudo-labels, and Σ_l λ_l E‖z_l − ẑ_l‖² / v_l of the codes z_l without noise and ẑ_l denoised.

    v_l is the total variance of z_l, and λ = 70, 10, 0.1, 0.1, ... from the input upwards: on MNIST, the published 1000
    per squared unit of a pixel. Labels are learned on noisy codes.

    Rasmus, Valpola, Honkala, Berglund & Raiko (2015), Semi-supervised learning with ladder networks; Pezeshki, Fan,
    Brakel, Courville & Bengio (2016), Deconstructing the ladder network architecture.
    """

    network: LadderNetwork

    def evaluate(self, known: Tensor, x: Tensor, step: int) -> tuple[Tensor, Tensor]:
        both = torch.cat([known, x])
        clean = self.network.levels(both)
        noisy, outputs = self.network.noisy_levels(both, self.seed, step)
        penalty = outputs.new_zeros(())
        for level, (z, denoised) in enumerate(zip(clean, self.network.denoised(noisy, outputs), strict=True)):
            weight = WEIGHTS[min(level, len(WEIGHTS) - 1)] / (1.0 if level else self.network.spread**2)
            penalty = penalty + weight * (z - denoised).square().mean()
        return outputs, penalty
