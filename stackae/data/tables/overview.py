"""What the columns of a table are taken for, in lines for a person: columns alike that stand together are one line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from stackae.data.tables.columns import Encoding, Taken
from stackae.errors import legible

MOST_LINES = 30
TITLES = ("column", "taken for", "why", "becomes")


def overview(encoding: Encoding) -> list[list[str]]:
    """Rows of ``TITLES``, in the order of the file, at most 30 and one that says how many columns are not shown."""
    runs = [list(run) for _, run in groupby(encoding.columns, key=_alike)]
    lines = [_line(run) for run in runs[:MOST_LINES]]
    hidden = sum(map(len, runs[MOST_LINES:]))
    return [*lines, [f"and {hidden:,} more", "", "", ""]] if hidden else lines


def _alike(taken: Taken) -> tuple[object, ...]:
    """What columns of one line share; a category has a line of its own."""
    own = taken.name if taken.categories else ""
    return taken.kind, taken.why, taken.becomes, bool(taken.missing), own


def _line(run: Sequence[Taken]) -> list[str]:
    first, last = run[0], run[-1]
    name = legible(first.name) or "(no name)"
    if len(run) > 1:
        name = f"{name} to {legible(last.name)} ({len(run):,})"
    missing = sum(each.missing for each in run)
    becomes = f"{first.becomes}; {missing:,} missing" if missing and first.width else first.becomes
    return [name, first.kind, first.why, becomes]
