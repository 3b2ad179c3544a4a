"""Anomaly scores as graphs: the arithmetic of ``stackae.analysis`` without loops over rows, distances written out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from stackae.analysis.anomaly import QuadraticScore, ReconstructionError, Score, of_known
from stackae.analysis.combined import WEIGHTS, CombinedScore, density, roots
from stackae.errors import ConfigError
from stackae.exporting.graphs import Scaled, decoders_of, encoders_of


class Scoring(nn.Module):
    """x (batch, d) in the data's own units -> score (batch,) float64; (x_i − z_i)² of the scaled rows (batch, d), NaN
    where a missing cell has no part in the score; and the threshold, a scalar."""

    def __init__(self, scaled: Scaled, score: Score, threshold: float, masked: bool) -> None:
        super().__init__()
        if not isinstance(score, (ReconstructionError, CombinedScore)):
            raise ConfigError(
                "scorer: expected a score by the stack's codes or reconstructions, got another; leave out the method"
            )
        layer = score.layer if isinstance(score, ReconstructionError) else None
        self.scaled, self.masked = scaled, masked
        self.encode = nn.Sequential(*encoders_of(score.stack, layer))
        self.decode = nn.Sequential(*decoders_of(score.stack, layer))
        self.combined = Combining(score) if isinstance(score, CombinedScore) else None
        self.threshold: Tensor
        self.register_buffer("threshold", torch.tensor(threshold, dtype=torch.float64))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        known = ~x.isnan() if self.masked else None
        rows = self.scaled(x)
        h = self.encode(rows)
        z = self.decode(h)
        residual = (z - rows).double()
        if self.combined is None:
            score = of_known(residual, known).square().sum(dim=1)
        else:
            score = self.combined(h.double(), of_known(rows.double() - z.double(), known))
        errors = residual.square().float()
        if known is not None:
            errors = torch.where(known, errors, math.nan)
        return score.nan_to_num(nan=math.inf, posinf=math.inf), errors, self.threshold.clone()


class Combining(nn.Module):
    """``CombinedScore`` of codes h (batch, m) and residuals (batch, d), both float64 -> (batch,)."""

    def __init__(self, score: CombinedScore) -> None:
        super().__init__()
        near, code = score.neighbourhood, score.code
        self.code = QuadraticScore(code.mean.clone(), code.components.clone(), code.weights.clone(), code.rest)
        self.scale, self.neighbours = score.scale, near.neighbours
        self.rows: Tensor
        self.squares: Tensor
        self.distances: Tensor
        self.densities: Tensor
        self.mean: Tensor
        self.spread: Tensor
        self.weights: Tensor
        self.register_buffer("rows", near.rows.t().contiguous())
        self.register_buffer("squares", near.rows.square().sum(dim=1))
        self.register_buffer("distances", near.distances.clone())
        self.register_buffer("densities", near.densities)
        self.register_buffer("mean", score.mean)
        self.register_buffer("spread", score.spread)
        self.register_buffer("weights", score.mean.new_tensor(WEIGHTS))

    def forward(self, h: Tensor, residual: Tensor) -> Tensor:
        parts = roots(self.code(h), self._lonely(torch.cat((self.scale * h, residual), dim=1)))
        total = ((parts - self.mean) / self.spread) @ self.weights
        return total.clamp(min=0) + (1 + (-total.abs()).exp()).log()  # softplus, which few runtimes have in 64 bits

    def _lonely(self, x: Tensor) -> Tensor:
        """x (batch, m + d) -> (batch, 2): LOF, mean distance."""
        squared = x.square().sum(dim=1, keepdim=True) + self.squares - 2 * (x @ self.rows)
        nearest, places = squared.clamp(min=0).sqrt().topk(self.neighbours, largest=False)
        reach = torch.maximum(nearest, self.distances[places])
        factor = self.densities[places].mean(dim=1) / density(reach)
        return torch.stack((factor, nearest.mean(dim=1)), dim=1)
