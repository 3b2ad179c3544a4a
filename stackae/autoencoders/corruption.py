"""Noise on a layer during training: corruption of its input, emphasis of corrupted inputs in the loss, and dropout.

Vincent, Larochelle, Lajoie, Bengio & Manzagol (2010), Stacked denoising autoencoders, JMLR 11.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stackae.ops.engine import Engine

PLACES = 1 << 20  # layers below this number have separate streams for corruption and each dropout


@dataclass(frozen=True)
class Corruption:
    """x̃ ~ q(x̃ | x), drawn at every step by (seed, layer, step) alone; ``stackae.ops.corrupt`` defines q."""

    kind: str = "none"
    level: float = 0.0
    low: float = 0.0
    high: float = 1.0

    def __bool__(self) -> bool:
        """True where x̃ may differ from x."""
        return self.kind != "none" and self.level > 0

    def __call__(self, x: Tensor, engine: Engine, *, seed: int, layer: int, step: int) -> Tensor:
        """Corrupt x (batch, n_visible) -> x̃ of the same shape, dtype and device; x is unchanged."""
        if not self:
            return x
        return engine.corrupt(x, self.kind, self.level, self.low, self.high, seed, layer, step)

    def mask(self, x: Tensor, engine: Engine, *, seed: int, layer: int, step: int) -> Tensor:
        """Return which inputs ``__call__`` corrupts by masking or salt-and-pepper noise, (batch, n_visible) bool.

        Salt-and-pepper noise corrupts the entries that masking noise of the same level and stream sets to 0.
        """
        ones = torch.ones_like(x)
        return engine.corrupt(ones, "masking", self.level, 0.0, 1.0, seed, layer, step) == 0


@dataclass(frozen=True)
class Emphasis:
    """w_ij = α where input ij was corrupted, else β: the weight of its error (Vincent et al. 2010, section 5.1)."""

    corrupted: float
    others: float

    def __call__(
        self, x: Tensor, corruption: Corruption, engine: Engine, *, seed: int, layer: int, step: int
    ) -> Tensor:
        """x: (batch, n_visible) -> w of the same shape."""
        mask = corruption.mask(x, engine, seed=seed, layer=layer, step=step)
        return torch.where(mask, torch.full_like(x, self.corrupted), self.others)


@dataclass(frozen=True)
class Dropout:
    """x_ij m_ij / (1 − p), m_ij ~ Bernoulli(1 − p), drawn at every step by (seed, layer, step) and ``place`` alone.

    Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov (2014), Dropout, JMLR 15.
    """

    level: float
    place: int

    def __call__(self, x: Tensor, engine: Engine, *, seed: int, layer: int, step: int) -> Tensor:
        """Drop entries of x (batch, width) -> the same shape; x is unchanged."""
        if self.level == 0:
            return x
        stream = PLACES * self.place + layer
        mask = engine.corrupt(torch.ones_like(x), "masking", self.level, 0.0, 1.0, seed, stream, step)
        return x * mask / (1 - self.level)
