"""Corruption of a layer's input, from which the clean input is to be reconstructed.

Vincent, Larochelle, Lajoie, Bengio & Manzagol (2010), Stacked denoising autoencoders, JMLR 11.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stackae.random import Purpose, normal, raw_words


@dataclass(frozen=True)
class Corruption:
    """x̃ ~ q(x̃ | x), drawn anew every step, by (seed, layer, step) alone.

    - ``none``: x̃ = x.
    - ``gaussian``: x̃ = x + level · ε, ε standard normal.
    - ``masking``: each entry is 0 with probability level; the others are left as they are, not rescaled.
    - ``salt-and-pepper``: with probability level an entry becomes ``low`` or ``high``, with equal chance.
    """

    kind: str = "none"
    level: float = 0.0
    low: float = 0.0
    high: float = 1.0

    def __call__(self, x: Tensor, *, seed: int, layer: int, step: int) -> Tensor:
        """x: (batch, n_visible) -> x̃ of the same shape, dtype and device; x is left alone."""
        if self.kind == "none" or self.level == 0:
            return x
        if self.kind == "gaussian":
            noise = normal(tuple(x.shape), seed=seed, purpose=Purpose.CORRUPTION, layer=layer, counter=step)
            return x + self.level * noise.to(x)
        words = raw_words(x.numel(), seed=seed, purpose=Purpose.CORRUPTION, layer=layer, counter=step)
        if self.kind == "masking":
            return x * self._below(words, 1.0 - self.level, x)
        salted, struck = self._below(words, self.level / 2, x), self._below(words, self.level, x)
        values = torch.where(salted, self.high, self.low).to(x.dtype)
        return torch.where(struck, values, x)

    @staticmethod
    def _below(words: np.ndarray, probability: float, like: Tensor) -> Tensor:
        """(batch, n_visible) bool: where a word, read as a number in [0, 1), is below the probability."""
        chosen = words < np.float64(probability * 2.0**32) if probability < 1 else np.ones(words.shape, dtype=bool)
        return torch.from_numpy(chosen).view(like.shape).to(like.device)
