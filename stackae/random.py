"""Counter-based randomness: the same (seed, purpose, counter) gives the same bits, whatever ran before.

Nothing here has a state, so nothing has to be stored to resume a run, and no order of calls or number of threads
changes a draw. Every draw reads the raw words of Philox-4x64-10 (numpy's, whose bit stream is fixed by its
compatibility policy) under key (seed, purpose) and counter (0, layer, epoch or step, 0).

Salmon, Moraes, Dror & Shaw (2011), Parallel random numbers: as easy as 1, 2, 3.
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor


class Purpose(IntEnum):
    """What a draw is for; each purpose has a stream of its own."""

    ORDER = 1
    CORRUPTION = 2
    INITIALISATION = 3
    SPLIT = 4


def raw_words(count: int, *, seed: int, purpose: Purpose, layer: int = 0, counter: int = 0) -> np.ndarray:
    """(count,) uint32 words of the stream."""
    bits = np.random.Philox(key=[seed, int(purpose)], counter=[0, layer, counter, 0])
    words: np.ndarray = bits.random_raw((count + 1) // 2).view(np.uint32)[:count]
    return words


def uniform(shape: tuple[int, ...], *, seed: int, purpose: Purpose, layer: int = 0, counter: int = 0) -> Tensor:
    """float32 in [0, 1): the upper 24 bits of each word, times 2^-24."""
    words = raw_words(math.prod(shape), seed=seed, purpose=purpose, layer=layer, counter=counter)
    return torch.from_numpy((words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)).view(shape)


def normal(shape: tuple[int, ...], *, seed: int, purpose: Purpose, layer: int = 0, counter: int = 0) -> Tensor:
    """float32 standard normal numbers, by the Box-Muller transform of pairs of uniform ones."""
    count = math.prod(shape)
    pairs = uniform((2, (count + 1) // 2), seed=seed, purpose=purpose, layer=layer, counter=counter)
    radius = torch.sqrt(-2.0 * torch.log1p(-pairs[0]))
    angle = 2.0 * math.pi * pairs[1]
    return torch.cat((radius * torch.cos(angle), radius * torch.sin(angle)))[:count].view(shape)


def permutation(count: int, *, seed: int, purpose: Purpose, layer: int = 0, counter: int = 0) -> Tensor:
    """(count,) int64: the order that sorts ``count`` random 64-bit keys."""
    words = raw_words(2 * count, seed=seed, purpose=purpose, layer=layer, counter=counter)
    return torch.from_numpy(np.argsort(words.view(np.uint64), kind="stable"))
