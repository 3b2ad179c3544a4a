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
MOST_SORTED = 1 << 20  # rows whose order is sorted keys, as it was before there were larger sets; others store nothing
EVALUATION_COUNTER = 1 << 62  # beyond every training step, which are counted from 0
_BLOCKS, _LANES, _ROUNDS = 16, 4, 10
_FEISTEL_ROUNDS = 8
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
    BLOCK_ORDER = 10


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
    words: np.ndarray = _words(count, range(counter, counter + 1), seed=seed, purpose=purpose, layer=layer)[0]
    return words


def _words(count: int, counters: range, *, seed: int, purpose: Purpose, layer: int) -> np.ndarray:
    """(k, count) uint32: ``raw_words`` of each of k counters, drawn at once."""
    chunks, streams = -(-count // CHUNK_WORDS), len(counters)
    blocks = np.empty((_LANES, streams, chunks * _BLOCKS), dtype=np.uint32)
    blocks[0] = np.arange(chunks * _BLOCKS, dtype=np.uint32)
    blocks[1] = np.array([each & 0xFFFFFFFF for each in counters], dtype=np.uint32)[:, None]
    blocks[2] = np.array([each >> 32 for each in counters], dtype=np.uint32)[:, None]
    blocks[3] = int(purpose) << 24 | layer
    words = philox(blocks.reshape(_LANES, -1), np.array([seed & 0xFFFFFFFF, seed >> 32], dtype=np.uint32))
    dealt: np.ndarray = words.reshape(_LANES, streams, chunks, _BLOCKS).transpose(1, 2, 0, 3).reshape(streams, -1)
    return dealt[:, :count]


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
    return permutations(count, range(counter, counter + 1), seed=seed, purpose=purpose, layer=layer)[0]


def permutations(count: int, counters: range, *, seed: int, purpose: Purpose, layer: int = 0) -> Tensor:
    """Draw ``permutation`` of each of k counters at once, (k, count) int64: of few rows, in a tenth of the time."""
    words = np.ascontiguousarray(_words(2 * count, counters, seed=seed, purpose=purpose, layer=layer))
    return torch.from_numpy(np.argsort(words.view(np.uint64), axis=1, kind="stable"))


class KeyedPermutation:
    """A permutation of range(count) of which nothing is stored: ``order[a:b]`` (b - a,) int64 is computed when asked.

    A Feistel network of eight rounds on pairs (l, r) of Z_a x Z_b, a b >= count, whose round functions mix in 64 bits
    and are keyed by the stream's words; an image beyond count is mapped again until it is not.

    Black & Rogaway (2002), Ciphers with arbitrary finite domains.
    """

    def __init__(self, count: int, *, seed: int, purpose: Purpose, layer: int = 0, counter: int = 0) -> None:
        self._count = count
        self._left = max(1, math.isqrt(max(0, count - 1)) + 1)
        self._right = max(1, -(-count // self._left))
        words = raw_words(2 * _FEISTEL_ROUNDS, seed=seed, purpose=purpose, layer=layer, counter=counter)
        self._keys = words.view(np.uint64)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, places: slice) -> Tensor:
        start, stop, _ = places.indices(self._count)
        return torch.from_numpy(self.at(np.arange(start, stop)))

    def at(self, places: np.ndarray) -> np.ndarray:
        """(k,) int64, the images of places (k,) int64 from 0 to count - 1."""
        found = self._mapped(places.astype(np.uint64))
        while (beyond := np.flatnonzero(found >= self._count)).size:
            found[beyond] = self._mapped(found[beyond])
        return found.astype(np.int64)

    def _mapped(self, x: np.ndarray) -> np.ndarray:
        a, b = np.uint64(self._left), np.uint64(self._right)
        left: np.ndarray = x % a
        right: np.ndarray = x // a
        for number, key in enumerate(self._keys):
            if number % 2:
                right = (right + _mixed(left + key) % b) % b
            else:
                left = (left + _mixed(right + key) % a) % a
        return left + a * right


def shuffled(count: int, *, seed: int, purpose: Purpose, layer: int = 0, counter: int = 0) -> Tensor | KeyedPermutation:
    """A permutation of range(count), cut by ``order[a:b]``, that stores nothing where the count is large."""
    kind = permutation if count <= MOST_SORTED else KeyedPermutation
    return kind(count, seed=seed, purpose=purpose, layer=layer, counter=counter)


def _mixed(x: np.ndarray) -> np.ndarray:
    """The finalizer of MurmurHash3 in 64 bits: every bit of the input changes half of those of the output."""
    x = (x ^ x >> np.uint64(33)) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ x >> np.uint64(33)) * np.uint64(0xC4CEB9FE1A85EC53)
    mixed: np.ndarray = x ^ x >> np.uint64(33)
    return mixed
