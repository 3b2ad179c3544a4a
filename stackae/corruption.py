"""Corruption of a layer's input, from which the clean input is to be reconstructed.

Vincent, Larochelle, Lajoie, Bengio & Manzagol (2010), Stacked denoising autoencoders, JMLR 11.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from stackae.engine import Engine


@dataclass(frozen=True)
class Corruption:
    """x̃ ~ q(x̃ | x), drawn anew every step, by (seed, layer, step) alone; ``stackae.ops.corrupt`` says how."""

    kind: str = "none"
    level: float = 0.0
    low: float = 0.0
    high: float = 1.0

    def __call__(self, x: Tensor, engine: Engine, *, seed: int, layer: int, step: int) -> Tensor:
        """x: (batch, n_visible) -> x̃ of the same shape, dtype and device; x is left alone."""
        if self.kind == "none" or self.level == 0:
            return x
        return engine.corrupt(x, self.kind, self.level, self.low, self.high, seed, layer, step)
