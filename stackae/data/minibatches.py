"""Which rows make up each batch: a function of (seed, layer, epoch), or the order of the rows."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from stackae.random import Purpose, permutation


def minibatches(count: int, batch_size: int, *, seed: int, layer: int, epoch: int) -> Iterator[Tensor]:
    """int64 index tensors that hold each of range(count) once, shuffled; the last may be smaller. No errors."""
    order = permutation(count, seed=seed, purpose=Purpose.ORDER, layer=layer, counter=epoch)
    for piece in in_order(count, batch_size):
        yield order[piece]


def in_order(count: int, batch_size: int) -> Iterator[slice]:
    """Slices of at most batch_size rows that cover range(count) in order. No errors."""
    for start in range(0, count, batch_size):
        yield slice(start, min(start + batch_size, count))
