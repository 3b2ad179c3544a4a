"""Names for the columns of a file of text: each has one of its own, whatever the header says."""

from __future__ import annotations

from collections.abc import Sequence

from stackae.errors import legible

SHOWN = 5


def names_of(
    table: object, header: Sequence[str] | None, width: int, trailing: bool
) -> tuple[tuple[str, ...], list[str]]:
    """A distinct name per column and what should be said of them; the first may be "", a ``trailing`` last one is too.

    Without a header they are x0, x1, ...; a column whose name was there before is NAME.1, as pandas names it, and one
    without a name is xPLACE. No errors.
    """
    given = [f"x{place}" for place in range(width)] if header is None else [name.strip() for name in header]
    if trailing and header is None:
        given[-1] = ""
    names, renamed, unnamed = list[str](), list[str](), 0
    taken, seen, counts = set(given), set[str](), dict[str, int]()
    for place, name in enumerate(given):
        if not name and 0 < place < width - trailing:
            name, unnamed = f"x{place}", unnamed + 1
        if name and name in seen:
            name = _next(name, counts, taken)
            renamed.append(f"'{legible(name)}'")
        taken.add(name)
        seen.add(name)
        names.append(name)
    notes = list[str]()
    if renamed:
        more = f" and {len(renamed) - SHOWN} more" if len(renamed) > SHOWN else ""
        notes.append(f"{table}: names that come twice are numbered: {', '.join(renamed[:SHOWN])}{more}")
    if unnamed:
        notes.append(f"{table}: columns without a name ({unnamed}) are named by their place, x0 being the first")
    return tuple(names), notes


def _next(name: str, counts: dict[str, int], taken: set[str]) -> str:
    """NAME.1, or with the next number that is free."""
    while True:
        counts[name] = counts.get(name, 0) + 1
        if (own := f"{name}.{counts[name]}") not in taken:
            return own
