"""In which order rows are read: one of (seed, layer, epoch), or that of the rows."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from stackae.random import Purpose, permutation


def epoch_order(count: int, *, seed: int, layer: int, epoch: int) -> Tensor:
    """(count,) int64 that holds each of range(count) once, shuffled; batches are cut from it in turn. No errors."""
    return permutation(count, seed=seed, purpose=Purpose.ORDER, layer=layer, counter=epoch)


def in_order(count: int, batch_size: int) -> Iterator[slice]:
    """Slices of at most batch_size rows that cover range(count) in order. No errors."""
    for start in range(0, count, batch_size):
        yield slice(start, min(start + batch_size, count))
