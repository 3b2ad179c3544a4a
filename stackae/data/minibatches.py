"""In which order rows are read: one of (seed, layer, epoch), or that of the rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from stackae.random import KeyedPermutation, Purpose, permutation, permutations, shuffled

FEW = 1 << 13  # rows whose order takes less time than handing it to a thread, for several epochs at once
BLOCKS_MIXED = 8  # blocks whose rows are shuffled together


class BlockOrder:
    """Each of range(count) once: blocks of ``block`` rows in random order, and the rows of eight blocks that follow one
    another shuffled together. ``order[a:b]`` (b - a,) int64 is computed when it is asked for.

    So that a disk reads rows that lie together. What is stored is the order of the blocks.
    """

    def __init__(self, count: int, block: int, *, seed: int, layer: int, epoch: int) -> None:
        self._count, self._block = count, block
        self._stream = {"seed": seed, "layer": layer, "counter": epoch}
        blocks = -(-count // block)
        self._blocks = permutation(blocks, purpose=Purpose.ORDER, **self._stream).numpy()
        self._sizes = np.full(blocks, block)
        self._sizes[self._blocks == blocks - 1] = count - block * (blocks - 1)  # the last one may be shorter
        self._ends = np.cumsum(self._sizes)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, places: slice) -> Tensor:
        start, stop, _ = places.indices(self._count)
        span, pieces = BLOCKS_MIXED * self._block, []
        for begin in range(start // span * span, stop, span):
            pieces.append(begin + self._mixed(begin, span)[max(0, start - begin) : stop - begin].numpy())
        return torch.from_numpy(self._rows_of(np.concatenate(pieces)) if pieces else np.zeros(0, np.int64))

    def _mixed(self, begin: int, span: int) -> KeyedPermutation:
        """The order of the places from ``begin`` on, of which ``span`` are shuffled together."""
        count, stream = min(span, self._count - begin), self._stream
        key = {**stream, "seed": stream["seed"] ^ begin}
        return KeyedPermutation(count, purpose=Purpose.BLOCK_ORDER, **key)

    def _rows_of(self, places: np.ndarray) -> np.ndarray:
        """The rows at places of the blocks as they follow one another."""
        which = np.searchsorted(self._ends, places, side="right")
        rows: np.ndarray = self._blocks[which] * self._block + places - (self._ends[which] - self._sizes[which])
        return rows


Order = Tensor | KeyedPermutation | BlockOrder
"""An order of rows: len, and order[a:b] (b - a,) int64."""


def epoch_order(count: int, *, seed: int, layer: int, epoch: int, block: int = 0) -> Order:
    """An order that holds each of range(count) once, shuffled; batches are cut from it in turn.

    With ``block``, rows are shuffled in blocks of so many. No errors.
    """
    if block:
        return BlockOrder(count, block, seed=seed, layer=layer, epoch=epoch)
    return shuffled(count, seed=seed, purpose=Purpose.ORDER, layer=layer, counter=epoch)


def epoch_orders(
    count: int, seeds: Callable[[], Collection[int]], *, layer: int, epochs: int, first: int = 1, block: int = 0
) -> Generator[dict[int, Order]]:
    """``epoch_order`` for epochs ``first`` to ``epochs``, by seed; a thread computes the next while one is in use,
    where there are more than FEW rows.

    ``seeds`` is asked one epoch ahead, when the order before is handed out. The thread ends with the iterator: close
    one that is not exhausted. An error of the thread is raised where its order would have been handed out.
    """

    def of_epoch(epoch: int, wanted: Collection[int]) -> dict[int, Order]:
        return {seed: epoch_order(count, seed=seed, layer=layer, epoch=epoch, block=block) for seed in wanted}

    if count <= FEW and not block:
        yield from _few_orders(count, seeds, layer, range(first, epochs + 1))
        return
    with ThreadPoolExecutor(1, "epoch-order") as worker:
        following = worker.submit(of_epoch, first, seeds())
        for epoch in range(first, epochs):
            orders = following.result()
            following = worker.submit(of_epoch, epoch + 1, seeds())
            yield orders
        yield following.result()


def _few_orders(
    count: int, seeds: Callable[[], Collection[int]], layer: int, epochs: range
) -> Generator[dict[int, Order]]:
    """The orders of these epochs, by seed; of as many epochs at once as have FEW rows together."""
    ahead, at_once = dict[int, Tensor](), max(1, FEW // max(1, count))
    for place in range(len(epochs)):
        if place % at_once == 0:
            following = epochs[place : place + at_once]
            ahead = {
                seed: permutations(count, following, seed=seed, purpose=Purpose.ORDER, layer=layer) for seed in seeds()
            }
        yield {seed: ahead[seed][place % at_once] for seed in seeds()}


def in_order(count: int, batch_size: int) -> Iterator[slice]:
    """Slices of at most batch_size rows that cover range(count) in order. No errors."""
    for start in range(0, count, batch_size):
        yield slice(start, min(start + batch_size, count))
