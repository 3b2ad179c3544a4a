"""Passes over rows that ranks divide: each rank makes some pieces, turn by turn, and all are put in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from stackae.ranks import ALONE, Ranks, here

Item = TypeVar("Item")
T = TypeVar("T")
TURN = 4  # pieces that a rank makes between two exchanges

_dividing = [ALONE]


@contextmanager
def dividing() -> Iterator[None]:
    """Divide passes ``in_turns`` meanwhile among the ranks that share the work at hand; all make the same passes."""
    with _divided_among(here()):
        yield


@contextmanager
def _divided_among(ranks: Ranks) -> Iterator[None]:
    _dividing.append(ranks)
    try:
        yield
    finally:
        _dividing.pop()


def in_turns(items: Sequence[Item], work: Callable[[Item], T]) -> Iterator[T]:
    """Yield work(item) of every item in order, on every rank: under ``dividing``, each makes its turns.

    Raises what ``Ranks.sum`` raises.
    """
    own = _dividing[-1]
    if not own.several:
        yield from map(work, items)
        return
    turns = _turns(items)
    for start in range(0, len(turns), own.count):
        together = turns[start : start + own.count]
        made = _made(together[own.rank], work) if own.rank < len(together) else None
        for rank in range(len(together)):
            yield from own.agreed(made, rank)


def to_first(items: Sequence[Item], work: Callable[[Item], T]) -> Iterator[T]:
    """Yield work(item) of every item in order on rank 0; the others, where ranks share, make their turns and yield
    nothing.

    Whatever is not yielded yet takes the memory of one turn. Raises what ``Ranks.sum`` raises.
    """
    own = here()
    if not own.several:
        yield from map(work, items)
        return
    for number, turn in enumerate(_turns(items)):
        rank = number % own.count
        if own.leads:
            yield from _made(turn, work) if rank == 0 else own.receive(rank)
        elif rank == own.rank:
            own.send(_made(turn, work))


def _turns(items: Sequence[Item]) -> list[Sequence[Item]]:
    return [items[start : start + TURN] for start in range(0, len(items), TURN)]


def _made(turn: Sequence[Item], work: Callable[[Item], T]) -> list[T]:
    """Make the items of a turn; a pass within one of them is this rank's own."""
    with _divided_among(ALONE):
        return [work(item) for item in turn]
