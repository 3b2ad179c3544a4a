"""What a person should know of how a table is taken: sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from stackae.data.tables.columns import Encoding, Taken
from stackae.data.tables.frame import Frame
from stackae.errors import argument, legible

SHOWN = 5
MOVED, ENOUGH = 300, 20  # factor of the typical size, and rows from which on it tells


def about_columns(frame: Frame, encoding: Encoding) -> list[str]:
    """Of the columns that are left out unasked: why, and how to keep them."""
    found = []
    for each in encoding.columns:
        if each.kind != "left out" or each.why.startswith(("as asked", "not among")):
            continue
        if each.why.startswith("without a name"):
            found.append(f"{frame.name}: the first column has no name: it is left out, as an index; name it to keep it")
        elif each.missing == len(frame.numbers):
            found.append(f"{frame.name}: column '{legible(each.name)}' is left out: {each.why}")
        else:
            name = legible(each.name)
            keep = f"{argument('categorical', name)} keeps it, {argument('ids', name)} shows it beside the rows"
            found.append(f"{frame.name}: column '{name}' is left out: {each.why}; {keep}")
    return found[: 2 * SHOWN] + (
        [f"{len(found) - 2 * SHOWN:,} more columns are left out"] if len(found) > 2 * SHOWN else []
    )


def about_filled(name: str, columns: Sequence[Taken]) -> list[str]:
    """How many cells are missing in which of these columns, where the scaling fills them."""
    ones, of_categories = ([each for each in columns if (each.kind == "category") == known] for known in (False, True))
    return [
        *(f"{name}: {each} are filled by the mean of the training rows" for each in _gaps(ones)),
        *(f"{name}: {each} are 0 in every category" for each in _gaps(of_categories)),
    ]


def about_dropped(name: str, columns: Sequence[Taken], rows: int) -> list[str]:
    """The same where the rows that have one are left out: so many."""
    return [f"{name}: {each} leave {rows:,} rows out" for each in _gaps(columns)] if rows else []


def _gaps(columns: Sequence[Taken]) -> list[str]:
    found = [each for each in columns if each.missing]
    named = ", ".join(f"'{legible(each.name)}' ({each.missing:,})" for each in found[:SHOWN])
    more = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
    return [f"missing cells in {named}{more}"] if found else []


def about_unseen(name: str, taken: Taken, unseen: Counter[str]) -> list[str]:
    """Of new rows, whose texts are no categories of the run."""
    if not unseen:
        return []
    named = ", ".join(f"'{legible(text)}' ({count:,} rows)" for text, count in unseen.most_common(SHOWN))
    more = f" and {len(unseen) - SHOWN:,} more" if len(unseen) > SHOWN else ""
    done = "0 for every category" if taken.kind == "category" else "missing"
    what = f"column '{legible(taken.name)}' has values that the run was not trained on, taken as {done}"
    return [f"{name}: {what}: {named}{more}"]


def about_range(name: str, taken: Taken, new: Taken, rows: int) -> list[str]:
    """Of new rows, a column of numbers whose size is another one, as it is in other units: ``new`` has its range."""
    if not taken.typical or not new.typical or taken.low is None or taken.high is None:
        return []
    ratio = new.typical / taken.typical
    outside = new.low is not None and new.high is not None and (new.low > taken.high or new.high < taken.low)
    if 1 / MOVED < ratio < MOVED or not (outside or rows >= ENOUGH):
        return []
    before, after = (f"{each.low:.6g} to {each.high:.6g}" for each in (taken, new))
    larger = f"{ratio:,.3g} times as large" if ratio > 1 else f"{1 / ratio:,.3g} times as small"
    return [
        f"{name}: column '{legible(taken.name)}' goes from {after}, {larger} as in training, where it went from "
        f"{before}; are its units the same?"
    ]
