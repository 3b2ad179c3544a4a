"""Ranks that are threads of one process: their sums are added in the order of ranks, between two barriers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from stackae.ranks import Ranks

T = TypeVar("T")
SECONDS = 60


class Meeting:
    """Where the threads of ranks meet; ``sums`` counts how often they did."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count, timeout=SECONDS)
        self.given: list[Tensor] = [torch.empty(0)] * count
        self.sums = 0


@dataclass(frozen=True)
class ThreadRanks(Ranks):
    """One of these; a single one adds up too."""

    meeting: Any = None

    @property
    def several(self) -> bool:
        return True

    def sum(self, numbers: Tensor) -> None:
        meeting = self.meeting
        meeting.given[self.rank] = numbers.clone()
        meeting.sums += self.rank == 0
        meeting.barrier.wait()
        total = meeting.given[0].clone()
        for each in meeting.given[1:]:
            assert each.shape == total.shape
            total += each
        meeting.barrier.wait()
        numbers.copy_(total)


def on_ranks(count: int, work: Callable[[Ranks], T]) -> list[T]:
    """What each rank makes of the work, which all do at a time."""
    meeting, found, errors = Meeting(count), [None] * count, []

    def one(rank: int) -> None:
        try:
            found[rank] = work(ThreadRanks(rank, count, meeting=meeting))
        except BaseException as error:
            errors.append(error)
            meeting.barrier.abort()

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise next((each for each in errors if not isinstance(each, threading.BrokenBarrierError)), errors[0])
    return found
