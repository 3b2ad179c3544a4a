"""Keep the labels of a few rows, drawn by a seed, so that one data set shows what any number of labels is worth."""

from __future__ import annotations

import numpy as np

from stackae.data.targets import groups_of
from stackae.errors import DataError, argument
from stackae.random import Purpose, permutation


def kept_labels(y: np.ndarray, count: int, seed: int, per_class: bool = False) -> np.ndarray:
    """Draw ``count`` labelled rows, in all: the ascending int64 indices of the rows that keep their labels.

    Each class keeps its share of ``count``, by the largest remainders, and at least one label. Within a class the rows
    are drawn in an order that depends on (seed, class) alone, so that more labels of one seed include fewer.

    Args:
        y: (n,) classes from 0, -1 for none; or (n, k) targets, NaN where one is missing: rows with any form one class.
        count: labels to keep, at least one per class and at most as many as there are.
        seed: the same seed draws the same rows.
        per_class: keep ``count`` of each class instead, or all where it has fewer.

    Raises:
        DataError: fewer labels than classes, or more than there are.
    """
    groups = groups_of(y)
    assert groups is not None
    names, sizes = np.unique(groups[groups >= 0], return_counts=True)
    if count < 1 or not (per_class or len(names) <= count <= sizes.sum()):
        raise DataError(
            f"{argument('labels')}: expected {max(1, len(names)):,} to {sizes.sum():,} labels, one per class or more "
            f"and no more than the training rows have, got {count:,}; use a number between, or all"
        )
    kept = []
    shares = [count] * len(names) if per_class else _shares(sizes, count)
    for name, share in zip(names.tolist(), shares, strict=True):
        rows = np.flatnonzero(groups == name)
        order = permutation(len(rows), seed=seed, purpose=Purpose.LABELS, counter=name).numpy()
        kept.append(rows[order[:share]])
    return np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *kept]))


def _shares(sizes: np.ndarray, count: int) -> list[int]:
    """Apportion ``count`` to groups of these sizes: one each, and the rest by the largest remainders."""
    quotas = count * sizes / sizes.sum()
    shares = np.maximum(np.floor(quotas).astype(np.int64), 1)
    while shares.sum() < count:
        shares[np.argmax(np.where(shares < sizes, quotas - shares, -np.inf))] += 1
    while shares.sum() > count:
        shares[np.argmax(np.where(shares > 1, shares - quotas, -np.inf))] -= 1
    return [int(share) for share in shares]
