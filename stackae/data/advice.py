"""What a person should know of data that pretraining takes: sentences from a report of ``check_data``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from stackae.data.check import Examined, Report
from stackae.errors import legible

FEW_ROWS = 10  # of a class: a tenth held out for validation is one of them
MANY_TWICE = 0.01
SHOWN = 5
ItemT = TypeVar("ItemT")


def warnings_of(report: Report) -> list[str]:
    """In the order of their weight; none for data that could not be read. No errors."""
    if report.training is None:
        return []
    found = [
        *_about_labels(report, report.training),
        *_about_columns(report, report.training),
        *_about_rows(report.training),
        *_about_range(report.training),
    ]
    if report.test is not None:
        found += _about_test_part(report, report.training, report.test)
    return found


def _about_labels(report: Report, part: Examined) -> list[str]:
    if part.counts is None:
        return []
    present = np.flatnonzero(part.counts).tolist()
    if not present:
        return ["no row has a label: the data serve pretraining alone"]
    if len(present) == 1:
        return [f"all labelled rows are of class '{_name(report, present[0])}': fine-tuning needs two classes"]
    few = [index for index in present if part.counts[index] < FEW_ROWS]
    if not few:
        return []
    counts = part.counts
    names = _listed(few, lambda index: f"'{_name(report, index)}' ({counts[index]})")
    return [f"{_some(few, 'class has', 'classes have')} fewer than {FEW_ROWS} rows: {names}"]


def _about_columns(report: Report, part: Examined) -> list[str]:
    constant, twice = part.findings.constant_columns, part.findings.duplicate_columns
    found = []
    if constant:
        names = _listed(constant, lambda column: column_name(report, column))
        found.append(f"{_some(constant, 'column is', 'columns are')} constant and will teach nothing: {names}")
    known = set(constant)
    groups = [group for group in twice if group[0] not in known]
    if groups:
        names = _listed(groups, lambda group: " = ".join(column_name(report, column) for column in group[:SHOWN]))
        found.append(f"{_some(groups, 'group', 'groups')} of equal columns: {names}")
    return found


def _about_rows(part: Examined) -> list[str]:
    findings = part.findings
    found = []
    if findings.rows < 2:
        found.append("one row alone: none can be held out for validation or testing")
    share = findings.duplicate_rows / max(1, findings.compared_rows)
    if share > MANY_TWICE:
        found.append(
            f"{100 * share:.1f} % of the rows equal an earlier one: what is held out will hold copies of training rows"
        )
    return found


def _about_range(part: Examined) -> list[str]:
    low, high = float(part.findings.low.min()), float(part.findings.high.max())
    if part.dtype == "uint8" or (low >= 0 and high <= 1):
        return []
    return [
        f"values from {low:g} to {high:g}, not within [0, 1]: each column is scaled to it (--scale auto); under "
        "--scale none or standard, --loss bce and a sigmoid output are refused"
    ]


def _about_test_part(report: Report, training: Examined, test: Examined) -> list[str]:
    if training.counts is None or test.counts is None:
        return []
    unseen = np.flatnonzero((test.counts > 0) & (training.counts == 0)).tolist()
    if not unseen:
        return []
    names = _listed(unseen, lambda index: f"'{_name(report, index)}'")
    return [f"{_some(unseen, 'class is', 'classes are')} in the test part alone: {names}"]


def column_name(report: Report, column: int) -> str:
    """As the file names it, or its number from 0."""
    return f"'{legible(report.column_names[column])}'" if report.column_names else str(column)


def _name(report: Report, index: int) -> str:
    return legible(report.classes[index])


def _some(items: Sequence[object], one: str, more: str) -> str:
    return f"{len(items):,} {one if len(items) == 1 else more}"


def _listed(items: Sequence[ItemT], say: Callable[[ItemT], str]) -> str:
    more = f" and {len(items) - SHOWN:,} more" if len(items) > SHOWN else ""
    return ", ".join(say(item) for item in items[:SHOWN]) + more
