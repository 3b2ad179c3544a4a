"""Sample weights: a row of weight w is read w times in an epoch, so that it weighs in every loss, mean and penalty.

Weights of whole numbers are repetitions, bit for bit. Others are rounded: to multiples of a sixteenth of the mean
weight where rows are few, by systematic sampling, whose sums over any run of rows are off by less than one copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

COPIES = 16  # of a row of mean weight, where weights are no whole numbers and rows are few
MOST_COPIES = 1 << 17  # in all, and at least two per row


class Repeated(NamedTuple):
    """Rows by their places, in the order that they are trained on; a place comes as often as its row weighs."""

    places: np.ndarray
    changed: bool


def repeated(parts: Sequence[np.ndarray], weight: np.ndarray | None) -> Repeated:
    """The places (k,) of rows in training, as often as they weigh; ``changed`` where they are not 0, 1, ... n - 1.

    Rows of whole weights and the same rows repeated give the same training, in whatever order they come: where a row
    comes more than once, rows are sorted by what they hold.

    Args:
        parts: what rows hold, (n,) or (n, k) each: features and targets.
        weight: (n,) float64 of at least 0, not all 0; None is 1 for each.
    """
    count, held = len(parts[0]), [np.ascontiguousarray(part).view(np.uint8).reshape(len(part), -1) for part in parts]
    copies = np.ones(count, dtype=np.int64) if weight is None else copies_of(weight)
    places = np.repeat(np.arange(count), copies)
    several = bool((copies > 1).any()) or len({_hash_of(row) for row in zip(*held, strict=True)}) < count
    if several:
        keys = np.ascontiguousarray(np.concatenate(held, axis=1))
        rank = np.empty(count, dtype=np.int64)
        rank[np.argsort(keys.view(np.dtype((np.void, keys.shape[1]))).reshape(-1), kind="stable")] = np.arange(count)
        places = places[np.argsort(rank[places], kind="stable")]
    return Repeated(places, several or len(places) < count)


def _hash_of(row: tuple[np.ndarray, ...]) -> int:
    return hash(tuple(part.tobytes() for part in row))


def copies_of(weight: np.ndarray) -> np.ndarray:
    """(n,) int64: how often rows of these weights (n,) are read in an epoch; no row where the weight is 0."""
    most = max(MOST_COPIES, 2 * len(weight))
    if bool((weight == np.floor(weight)).all()) and weight.sum() <= most:
        return weight.astype(np.int64)
    share = weight / weight.sum()
    ends = np.cumsum(share) / np.sum(share) * min(most, COPIES * len(weight))
    copies: np.ndarray = np.diff(np.floor(ends + 0.5), prepend=0.0).astype(np.int64)
    return copies
