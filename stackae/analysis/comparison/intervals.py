"""Paired bootstrap intervals of differences between contenders, over test rows and draws of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from stackae.random import Purpose, raw_words, to_unit

REPLICATES, AT_ONCE, LEVEL = 1000, 50, 0.95


class Interval(NamedTuple):
    """A difference of mean errors, and its bootstrap interval of level LEVEL."""

    difference: float
    low: float
    high: float

    @property
    def lower(self) -> bool:
        """Whether the error is lower, beyond noise."""
        return self.high < 0

    @property
    def higher(self) -> bool:
        return self.low > 0


class Bootstrap:
    """Mean errors of contenders on resampled test rows and draws, the same ones for all: differences are paired.

    ``errors`` maps each contender to its errors (draws, rows), of the same draws and rows; one draw stands for all.
    Rows and draws are resampled with replacement, independently: Owen (2007), The pigeonhole bootstrap.
    """

    def __init__(self, errors: Mapping[str, np.ndarray], replicates: int = REPLICATES) -> None:
        draws = max(len(each) for each in errors.values())
        self._means = {name: float(each.mean(dtype=np.float64)) for name, each in errors.items()}
        rows = next(iter(errors.values())).shape[1]
        stacked = np.concatenate([np.broadcast_to(each, (draws, rows)) for each in errors.values()]).astype(np.float64)
        replicas = [
            _means(stacked, draws, min(AT_ONCE, replicates - first), first) for first in range(0, replicates, AT_ONCE)
        ]
        self._replicas = dict(zip(errors, np.concatenate(replicas).T, strict=True))

    def difference(self, first: str, second: str) -> Interval:
        """Return the mean error of the first less that of the second."""
        tail = 50 * (1 - LEVEL)
        low, high = np.percentile(self._replicas[first] - self._replicas[second], [tail, 100 - tail])
        return Interval(self._means[first] - self._means[second], float(low), float(high))


def _means(stacked: np.ndarray, draws: int, replicates: int, first: int) -> np.ndarray:
    """Mean errors (replicates, contenders) of errors (contenders * draws, rows), from replicate number ``first`` on."""
    rows = stacked.shape[1]
    of_rows = stacked @ _counts(rows, replicates, first, stream=0).T  # (contenders * draws, replicates)
    of_draws = _counts(draws, replicates, first, stream=1)
    means = (of_rows.reshape(-1, draws, replicates) * of_draws.T).sum(axis=1) / (rows * draws)
    return np.asarray(means.T)


def _counts(count: int, replicates: int, first: int, stream: int) -> np.ndarray:
    """How often each of ``count`` things is drawn in each replicate (replicates, count)."""
    words = raw_words(replicates * count, seed=0, purpose=Purpose.BOOTSTRAP, layer=stream, counter=first)
    places = (to_unit(words).astype(np.float64) * count).astype(np.int64).reshape(replicates, count)
    places += count * np.arange(replicates)[:, None]
    return np.bincount(places.ravel(), minlength=replicates * count).reshape(replicates, count).astype(np.float64)
