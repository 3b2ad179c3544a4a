"""Where the samples of a source lie in their file: their order in time, and the groups that they belong to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class RowOrder(NamedTuple):
    """What a table says of the order of its rows.

    numbers (n,) int64 are those of the rows in the file; ``times`` (n,) are seconds or other numbers that grow with
    time, None where it has none; ``codes`` (n,) int64 are the groups, places in ``names``, which column ``by`` holds.
    """

    numbers: np.ndarray
    times: np.ndarray | None = None
    codes: np.ndarray | None = None
    names: tuple[str, ...] = ()
    by: str = ""

    @property
    def groups(self) -> np.ndarray:
        """(n,) int64: the group of each row; one for all where there are none."""
        return np.zeros(len(self.numbers), dtype=np.int64) if self.codes is None else self.codes


class Places(NamedTuple):
    """Of each sample the number in the file of the row that it begins with, the place of that row in the order of time,
    group by group, and its group, a place in ``names``: all (n,) int64. ``length`` rows are in a sample."""

    starts: np.ndarray
    order: np.ndarray
    length: int
    groups: np.ndarray
    names: tuple[str, ...] = ()
    by: str = ""

    def of(self, samples: np.ndarray) -> Places:
        """Those of the samples at these places."""
        return self._replace(starts=self.starts[samples], order=self.order[samples], groups=self.groups[samples])

    def joined(self, other: Places) -> Places:
        """Those of these samples, then those of others."""
        starts, order, groups = (
            np.concatenate(pair)
            for pair in ((self.starts, other.starts), (self.order, other.order), (self.groups, other.groups))
        )
        return self._replace(starts=starts, order=order, groups=groups)

    def told(self, samples: np.ndarray) -> list[tuple[str, np.ndarray | list[str]]]:
        """Columns that say where samples lie: the row that each begins with, where it has several, and its group."""
        found: list[tuple[str, np.ndarray | list[str]]] = []
        if self.length > 1:
            found.append(("start", self.starts[samples]))
        if self.by:
            found.append((self.by, [self.names[group] for group in self.groups[samples].tolist()]))
        return found
