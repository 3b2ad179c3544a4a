"""Counter-based random numbers: the same (seed, purpose, layer, counter) gives the same bits, whatever ran before.

The generator has no state, so a run stores none to resume, and neither the order of calls nor the number of threads
changes a draw. Words come from Philox-4x32-10 with key ``seed`` and counter (block, epoch or step, purpose and layer),
in chunks of 64: word e of a chunk is lane e // 16 of its block e % 16. The extension computes the same words
(csrc/philox.h).

Salmon, Moraes, Dror & Shaw (2011), Parallel random numbers: as easy as 1, 2, 3.
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

CHUNK_WORDS = 64
EVALUATION_COUNTER = 1 << 62  # beyond every training step, which are counted from 0
_BLOCKS, _LANES, _ROUNDS = 16, 4, 10
_MULTIPLIERS = np.array([[0xD2511F53], [0xCD9E8D57]], dtype=np.uint64)
_KEY_STEP = np.array([0x9E3779B9, 0xBB67AE85], dtype=np.uint32)


class Purpose(IntEnum):
    """The purpose of a draw; each has a stream of its own."""

    ORDER = 1
    CORRUPTION = 2
    INITIALISATION = 3
    SPLIT = 4
    LATENT = 5
    REVIVAL = 6
    LABELS = 7
    BOOTSTRAP = 8
    LABELLED_BATCH = 9


def philox(counters: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Philox-4x32-10 of (4, n) uint32 counters under a (2,) uint32 key -> (4, n) uint32 words."""
    words = counters
    for _ in range(_ROUNDS):
        products = words[0::2].astype(np.uint64) * _MULTIPLIERS
        high, low = (products >> np.uint64(32)).astype(np.uint32), products.astype(np.uint32)
        words = np.stack((high[1] ^ words[1] ^ key[0], low[1], high[0] ^ words[3] ^ key[1], low[0]))
        key = key + _KEY_STEP
    return words


def raw_words(count: int, *, seed: int, purpose: Purpose, layer: int = 0, counter: int = 0) -> np.ndarray:
    """Draw (count,) uint32 words of the stream; count <= 2^34, seed and counter below 2^64, layer below 2^24."""
    chunks = -(-count // CHUNK_WORDS)
    counters = np.empty((4, chunks * _BLOCKS), dtype=np.uint32)
    counters[0] = np.arange(chunks * _BLOCKS, dtype=np.uint32)
    counters[1:] = [[counter & 0xFFFFFFFF], [counter >> 32], [int(purpose) << 24 | layer]]
    words = philox(counters, np.array([seed & 0xFFFFFFFF, seed >> 32], dtype=np.uint32))
    return words.reshape(_LANES, chunks, _BLOCKS).transpose(1, 0, 2).reshape(-1)[:count]


def row_words(rows: int, width: int, *, seed: int, purpose: Purpose, layer: int = 0, counter: int = 0) -> np.ndarray:
    """Draw (rows, width padded to whole chunks) uint32 words: every row begins a chunk of its own."""
    padded = -(-width // CHUNK_WORDS) * CHUNK_WORDS
    return raw_words(rows * padded, seed=seed, purpose=purpose, layer=layer, counter=counter).reshape(rows, padded)


def to_unit(words: np.ndarray) -> np.ndarray:
    """Convert words to float32 in [0, 1): the upper 24 bits, times 2^-24."""
    return (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def uniform(shape: tuple[int, ...], *, seed: int, purpose: Purpose, layer: int = 0, counter: int = 0) -> Tensor:
    """Draw uniform float32 in [0, 1): ``to_unit`` of the stream's words."""
    words = raw_words(math.prod(shape), seed=seed, purpose=purpose, layer=layer, counter=counter)
    return torch.from_numpy(to_unit(words)).view(shape)


def normal_rows(rows: int, width: int, *, seed: int, purpose: Purpose, layer: int = 0, counter: int = 0) -> Tensor:
    """Draw (rows, width) float32 standard normal numbers, by the Box-Muller transform.

    In each chunk, the uniform numbers u_e and u_(e+32) give √(−2 ln(1−u_e)) times cos and sin of 2π u_(e+32).
    """
    words = row_words(rows, width, seed=seed, purpose=purpose, layer=layer, counter=counter)
    pairs = torch.from_numpy(to_unit(words)).view(-1, 2, CHUNK_WORDS // 2)
    radius = torch.sqrt(-2.0 * torch.log1p(-pairs[:, 0]))
    angle = 2.0 * math.pi * pairs[:, 1]
    both = torch.stack((radius * torch.cos(angle), radius * torch.sin(angle)), dim=1)
    return both.view(words.shape)[:, :width]


def permutation(count: int, *, seed: int, purpose: Purpose, layer: int = 0, counter: int = 0) -> Tensor:
    """Draw a permutation (count,) int64: the order that sorts ``count`` random 64-bit keys."""
    words = raw_words(2 * count, seed=seed, purpose=purpose, layer=layer, counter=counter)
    return torch.from_numpy(np.argsort(words.view(np.uint64), kind="stable"))
