"""The processes that train one network together: which of them this is, how they add up numbers, and how they agree.

torchrun starts them and tells each its rank, their number and where they meet; the command line joins them. Every rank
has all rows and the same weights. It computes its share of each batch, and what depends on the whole batch is added up
before it is used. Rank 0 decides and writes; the others follow it (``stackae.workflows.followers``).

A process that joined no others is alone: rank 0 of 1, with nobody to add up with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from stackae.ranks.rank import ALONE as ALONE
from stackae.ranks.rank import TIMEOUT as TIMEOUT
from stackae.ranks.rank import LostRankError as LostRankError
from stackae.ranks.rank import Ranks as Ranks
from stackae.ranks.rank import leave as leave

_groups, _sharing = [ALONE], [ALONE]
_tasks = [0]


def group() -> Ranks:
    """Return this process among those that it joined."""
    return _groups[-1]


def here() -> Ranks:
    """Return this process among those that share the work at hand; outside ``shared`` and its tasks, it is alone."""
    return _sharing[-1]


@contextmanager
def member(own: Ranks) -> Iterator[None]:
    """Be one of the group meanwhile."""
    _groups.append(own)
    _tasks[0] = 0
    try:
        yield
    finally:
        _groups.pop()


@contextmanager
def sharing() -> Iterator[None]:
    """Share the work at hand with the group meanwhile: all ranks do it at a time."""
    _sharing.append(group())
    try:
        yield
    finally:
        _sharing.pop()


@contextmanager
def alone() -> Iterator[None]:
    """Share no work with other ranks meanwhile; this one still has but its part of the machine."""
    own = replace(group(), rank=0, count=1)
    _groups.append(own)
    _sharing.append(own)
    try:
        yield
    finally:
        _groups.pop()
        _sharing.pop()


@contextmanager
def shared(task: Callable[[], object]) -> Iterator[None]:
    """Share work with the other ranks: they call the ``task`` while this one, rank 0, does its own part of it.

    The task is a function of a module with its arguments (``functools.partial``), as it is sent to other processes.
    """
    if not group().several:
        yield
        return
    own, number = group(), _tasks[0]
    own.say(f"task{number}", task)
    _tasks[0] += 1
    for rank in range(1, own.count):
        own.wait_for(f"ready{number}-{rank}", idle=own.check)
    with sharing():
        yield


def ready() -> None:
    """Say that this rank has all that the task at hand needs, as its data: rank 0 waits for it, however long."""
    if group().several:
        group().say(f"ready{_tasks[0]}-{group().rank}", True)
        _tasks[0] += 1


def task() -> int:
    """Return the number of the task at hand, the same on all ranks."""
    return _tasks[0]
