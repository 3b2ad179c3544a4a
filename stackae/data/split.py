"""Holding rows out: which ones is a function of (labels, fraction, seed) alone."""

from __future__ import annotations

import numpy as np

from stackae.random import Purpose, permutation


def hold_out(
    labels: np.ndarray | None, count: int, fraction: float, seed: int, which: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two ascending int64 index arrays that part range(count): the rows kept, the rows held out.

    round(fraction * n) of the n rows of each label are held out, never all of them; rows without a label (-1) are a
    group like any other, and labels None is one group. When that leaves none held out, one row of the largest group
    is, if fraction > 0 and there are two rows. ``which`` tells apart splits of the same rows. No errors.
    """
    groups = np.zeros(count, dtype=np.int64) if labels is None else labels + 1
    held = np.zeros(count, dtype=bool)
    numbers, sizes = np.unique(groups, return_counts=True)
    shares = [min(round(fraction * size), size - 1) for size in sizes.tolist()]
    if fraction > 0 and count >= 2 and not any(shares):
        shares[int(np.argmax(sizes))] = 1
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(sizes)[:-1])  # of each group, ascending
    for number, share, rows in zip(numbers.tolist(), shares, members, strict=True):
        order = permutation(len(rows), seed=seed, purpose=Purpose.SPLIT, layer=which, counter=number).numpy()
        held[rows[order[:share]]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
