"""What the ranks but the first do: the tasks that rank 0 shares, until it ends."""

from __future__ import annotations

import time
from typing import Protocol

from stackae.errors import StoppedError
from stackae.ranks import LostRankError, Ranks, sharing

GRACE = 5.0  # seconds that rank 0 has to end a command after a signal, which mostly reaches all ranks


class Asked(Protocol):
    """What asks a process to stop: the number of a signal, None while there was none."""

    stop: int | None


class ReleasedError(Exception):
    """Rank 0 ended a shared training before its end, and says why."""


class Follower:
    """A rank that follows rank 0; ``asked`` are the signals to this process."""

    def __init__(self, own: Ranks, asked: Asked) -> None:
        self._own, self._asked = own, asked
        self._since: float | None = None

    def follow(self) -> None:
        """Do the tasks of rank 0, one after the other, until it ends.

        Raises:
            StoppedError: a signal reached this rank, and did not end rank 0.
            Exception: as a task raises it; of several ranks, all end then.
        """
        number = 0
        while True:
            name, task = self._own.wait_for("end", f"task{number}", idle=self.check)
            if name == "end":
                self._own.say(f"left{self._own.rank}", True)
                return
            try:
                with sharing():
                    task()
            except ReleasedError:
                pass
            except LostRankError:
                if self._own.heard("end") is None:
                    raise
            number += 1

    def check(self) -> None:
        """Raise StoppedError where a signal was not followed by the end of rank 0."""
        if self._asked.stop is None:
            return
        self._since = self._since or time.monotonic()
        if time.monotonic() - self._since > GRACE:
            raise StoppedError(self._asked.stop)
