"""What a person should know of how a table is taken: sentences."""

from __future__ import annotations

import shlex
from collections import Counter

from stackae.config import DataConfig
from stackae.data.tables.columns import Encoding, Taken
from stackae.data.tables.frame import Frame
from stackae.errors import argument, legible

SHOWN = 5
FILLED = {
    "mean": "filled by the mean of the training rows",
    "indicator": "filled by the mean of the training rows, with a feature that says where",
}


def about_columns(frame: Frame, encoding: Encoding) -> list[str]:
    """Of the columns that are left out unasked: why, and how to keep them."""
    found = []
    for place, each in enumerate(encoding.columns):
        if each.kind != "left out" or each.why.startswith(("as asked", "not among")):
            continue
        if each.why.startswith("without a name"):
            found.append(f"{frame.name}: the first column has no name: it is left out, as an index; name it to keep it")
        elif each.missing == len(frame.numbers):
            found.append(f"{frame.name}: column '{legible(each.name)}' is left out: {each.why}")
        else:
            name = shlex.quote(legible(each.name))
            keep = f"{argument('categorical')} {name} keeps it, {argument('ids')} {name} shows it beside the rows"
            found.append(f"{frame.name}: column '{legible(each.name)}' is left out: {each.why}; {keep}")
    return found[: 2 * SHOWN] + ([f"{len(found) - 2 * SHOWN:,} more columns are left out"] if len(found) > 2 * SHOWN else [])


def about_missing(frame: Frame, encoding: Encoding, config: DataConfig, left_out: int) -> list[str]:
    """How many cells of features are missing, in which columns, and what becomes of them."""
    found = [each for each in encoding.featured if each.missing]
    if not found:
        return []
    count = sum(each.missing for each in found)
    named = ", ".join(f"'{legible(each.name)}' ({each.missing:,})" for each in found[:SHOWN])
    more = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
    what = FILLED.get(config.missing or "mean", f"{left_out:,} rows that have one are left out")
    cells = "1 cell is" if count == 1 else f"{count:,} cells are"
    return [f"{frame.name}: {cells} missing, in {named}{more}: {what} ({argument('missing')} {config.missing or 'mean'})"]


def about_unseen(name: str, taken: Taken, unseen: Counter[str]) -> list[str]:
    """Of new rows, whose texts are no categories of the run."""
    if not unseen:
        return []
    named = ", ".join(f"'{legible(text)}' ({count:,} rows)" for text, count in unseen.most_common(SHOWN))
    more = f" and {len(unseen) - SHOWN:,} more" if len(unseen) > SHOWN else ""
    done = "0 for every category" if taken.kind == "category" else "missing"
    return [f"{name}: column '{legible(taken.name)}' has values that the run was not trained on, taken as {done}: {named}{more}"]


def about_range(name: str, taken: Taken, values: object) -> list[str]:
    raise NotImplementedError
