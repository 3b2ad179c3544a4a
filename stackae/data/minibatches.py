"""In which order rows are read: one of (seed, layer, epoch), or that of the rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

from torch import Tensor

from stackae.random import Purpose, permutation


def epoch_order(count: int, *, seed: int, layer: int, epoch: int) -> Tensor:
    """(count,) int64 that holds each of range(count) once, shuffled; batches are cut from it in turn. No errors."""
    return permutation(count, seed=seed, purpose=Purpose.ORDER, layer=layer, counter=epoch)


def epoch_orders(
    count: int, seeds: Callable[[], Collection[int]], *, layer: int, epochs: int, first: int = 1
) -> Generator[dict[int, Tensor]]:
    """``epoch_order`` for epochs ``first`` to ``epochs``, by seed; a thread computes the next while one is in use.

    ``seeds`` is asked one epoch ahead, when the order before is handed out. The thread ends with the iterator: close
    one that is not exhausted. An error of the thread is raised where its order would have been handed out.
    """

    def of_epoch(epoch: int, wanted: Collection[int]) -> dict[int, Tensor]:
        return {seed: epoch_order(count, seed=seed, layer=layer, epoch=epoch) for seed in wanted}

    with ThreadPoolExecutor(1, "epoch-order") as worker:
        following = worker.submit(of_epoch, first, seeds())
        for epoch in range(first, epochs):
            orders = following.result()
            following = worker.submit(of_epoch, epoch + 1, seeds())
            yield orders
        yield following.result()


def in_order(count: int, batch_size: int) -> Iterator[slice]:
    """Slices of at most batch_size rows that cover range(count) in order. No errors."""
    for start in range(0, count, batch_size):
        yield slice(start, min(start + batch_size, count))
