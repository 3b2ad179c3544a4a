"""Sentences on the rows that are read for a run, beside those that it was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stackae.config import DataConfig
from stackae.data.division import TEST, Division
from stackae.data.loading import labels_digest
from stackae.data.order.known_rows import trained_on
from stackae.data.provenance import KnownData
from stackae.data.source import BadRow, Source
from stackae.errors import legible

SHOWN_ROWS = 3


def of_bad_rows(name: str, bad: Sequence[BadRow], count: int, total: int) -> tuple[str, ...]:
    """Of rows that were left out."""
    if not count:
        return ()
    shown = "; ".join(f"row {each.row}, {each.reason}" for each in bad[:SHOWN_ROWS])
    more = f"; and {count - SHOWN_ROWS:,} more" if count > SHOWN_ROWS else ""
    return (
        f"{name}: {count:,} of {total:,} rows left out, whose cells are no finite numbers "
        f"(rows counted from 0): {shown}{more}",
    )


def seen(name: str, sums: np.ndarray, divisions: Sequence[Division]) -> tuple[str, ...]:
    """Of other data."""
    count = trained_on(sums, divisions)
    seen = f"{name}: {count:,} of its {len(sums):,} rows equal rows that the run was trained on"
    return (seen,) if count else ()


def repeated(name: str, division: Division) -> tuple[str, ...]:
    """Of test rows that are there among the training rows as well."""
    tested = division.sums[division.parts == TEST]
    count = trained_on(tested, [division])
    return (f"{name}: {count:,} of its {len(tested):,} test rows equal rows that are trained on",) if count else ()


def changed(name: str, own: KnownData, gone: int, new: int, new_test: int) -> str:
    if not gone and not new:
        return (
            f"{name}: its rows come in another order, or more than once, since the run was trained; each keeps its part"
        )
    of_new = f", of which {new_test:,} are taken as test rows" if new else ""
    return (
        f"{name}: changed since the run was trained: {gone:,} of {own.rows:,} rows are gone, {new:,} are new{of_new}; "
        "all others keep their part, so that no row that was trained on is a test row"
    )


def of_labels(source: Source, config: DataConfig, own: KnownData) -> tuple[str, ...]:
    same = (config.target, config.target_kind) == (own.config.target, own.config.target_kind)
    if not same or not own.labels or own.labels == labels_digest(source):
        return ()
    return (f"{source.name}: its labels are others than when the run was trained",)


def which_rows(name: str, part: str, count: int, bad_rows: int, windows: bool) -> str:
    """Say which rows of a file a part has, as "200 test rows of FILE"."""
    what, name = "window" if windows else "row", legible(name, 400)
    if part != "all":
        return f"{count:,} {part} {what}{'s' * (count != 1)} of {name}"
    if bad_rows and not windows:
        return f"{count:,} of the {count + bad_rows:,} rows of {name}"
    return f"all {count:,} {what}s of {name}" if count > 1 else f"the one {what} of {name}"
