"""Work whose items need no other: each rank takes the next that none has taken, and rank 0 gets what all make."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from stackae.ranks import Ranks, task
from stackae.ranks.following import ReleasedError
from stackae.ranks.rank import LOOK

Item = TypeVar("Item", bound=Hashable)
T = TypeVar("T")


def divided(
    groups: Sequence[Sequence[Item]],
    make: Callable[[Iterable[Item]], Iterator[tuple[Item, T]]],
    own: Ranks,
) -> Iterator[tuple[Item, T]]:
    """Yield each item with what is made of it, on rank 0, in no order; the others yield nothing.

    ``make`` is given the items of the groups that this rank takes, one after the other, and yields each with its
    result. The items of a group are one rank's, as they share what is made on the way. Once per task.

    Raises:
        LostRankError: another rank ended. ReleasedError: rank 0 did.
    """
    items = [item for group in groups for item in group]
    if not own.several:
        yield from make(items)
        return
    waited = {item: f"made{task()}-{number}" for number, item in enumerate(items)}
    for item, result in make(_taken(groups, own)):
        if own.leads:
            del waited[item]
            yield item, result
            yield from _arrived(waited, own)
        else:
            own.say(waited[item], result)
    while own.leads and waited:
        own.check()
        yield from _arrived(waited, own)
        time.sleep(LOOK)


def watched(own: Ranks) -> Callable[[], None]:
    """Return what to call now and then during work of one's own: it raises LostRankError where another rank ended, and
    ReleasedError where rank 0 ended the work."""

    def look() -> None:
        if own.several:
            if not own.leads and own.ended():
                raise ReleasedError
            own.check()

    return look


def _taken(groups: Sequence[Sequence[Item]], own: Ranks) -> Iterator[Item]:
    name = f"taken{task()}"
    while (number := own.store.add(name, 1) - 1) < len(groups):
        yield from groups[number]


def _arrived(waited: dict[Item, str], own: Ranks) -> Iterator[tuple[Item, T]]:
    for item, name in list(waited.items()):
        if (result := own.heard(name)) is not None:
            del waited[item]
            yield item, result
