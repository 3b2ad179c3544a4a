"""64-bit words in which every bit matters, and factors that differ per place: what row sums are made of."""

from __future__ import annotations

import numpy as np

ROW_STREAM, COLUMN_STREAM = 1 << 62, 1 << 63


def factors(start: int, count: int, stream: int) -> np.ndarray:
    """(count,) odd uint64, drawn by place and stream."""
    places = np.arange(start, start + count, dtype=np.uint64) + np.uint64(stream)
    return scrambled(places) | np.uint64(1)


def scrambled(words: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea & Flood, 2014): a bijection of words in which every bit matters."""
    scrambled: np.ndarray = words + np.uint64(0x9E3779B97F4A7C15)
    shifted = scrambled >> np.uint64(30)
    scrambled ^= shifted
    scrambled *= np.uint64(0xBF58476D1CE4E5B9)
    scrambled ^= np.right_shift(scrambled, np.uint64(27), out=shifted)
    scrambled *= np.uint64(0x94D049BB133111EB)
    scrambled ^= np.right_shift(scrambled, np.uint64(31), out=shifted)
    return scrambled
