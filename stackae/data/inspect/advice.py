"""What a person should know of data that pretraining takes: sentences from a report of ``check_data``."""

from __future__ import annotations

import numpy as np

from stackae.data.inspect.check import Examined, Report
from stackae.data.inspect.sentences import (
    SHOWN,
    about_merged,
    about_outliers,
    column_name,
    exact,
    listed,
    some,
    whole_range,
)
from stackae.data.loading import Dataset
from stackae.errors import argument, legible

FEW_ROWS = 10  # of a class: a tenth held out for validation is one of them
MANY_TWICE = 0.01


def warnings_of(report: Report) -> list[str]:
    """In the order of their weight; none for data that could not be read. No errors."""
    if report.training is None:
        return []
    found = [
        *report.notes,
        *_about_labels(report, report.training),
        *_about_columns(report, report.training),
        *_about_rows(report.training),
        *_about_range(report.training),
        *about_outliers(report.training.findings.outliers, report.column_names),
        *_about_precision(report, report.training),
    ]
    if report.test is not None:
        found += _about_test_part(report, report.training, report.test)
    return found


def notes_of(dataset: Dataset) -> list[str]:
    """What a person should know of the data, and of the training rows under the scaling fitted on them. No errors."""
    kind, names = dataset.scaling.kind, dataset.column_names
    return [
        *dataset.notes,
        *([] if kind == "robust" else about_outliers(dataset.outliers, names)),
        *about_merged(dataset.merged, names, kind),
    ]


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
    names = listed(few, lambda index: f"'{_name(report, index)}' ({counts[index]})")
    return [f"{some(few, 'class has', 'classes have')} fewer than {FEW_ROWS} rows: {names}"]


def _about_columns(report: Report, part: Examined) -> list[str]:
    constant, twice = part.findings.constant_columns, part.findings.duplicate_columns
    found = []
    if constant:
        names = listed(constant, lambda column: column_name(report.column_names, column))
        found.append(f"{some(constant, 'column is', 'columns are')} constant and will teach nothing: {names}")
    known = set(constant)
    groups = [group for group in twice if group[0] not in known]
    if groups:
        names = listed(
            groups, lambda group: " = ".join(column_name(report.column_names, column) for column in group[:SHOWN])
        )
        found.append(f"{some(groups, 'group', 'groups')} of equal columns: {names}")
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
    low, high = exact(part.findings.low.min()), exact(part.findings.high.max())
    if part.dtype == "uint8" or (low >= 0 and high <= 1):
        return []
    return [
        f"values from {whole_range(low, high)}, not within [0, 1]: each column is scaled to it "
        f"({argument('scale', 'auto')}); under "
        f"{argument('scale', 'none', 'standard')}, {argument('loss', 'bce')} and a sigmoid output are refused"
    ]


def _about_precision(report: Report, part: Examined) -> list[str]:
    """Where --scale auto would leave the numbers as they are."""
    low, high = float(part.findings.low.min()), float(part.findings.high.max())
    return about_merged(part.findings.merged, report.column_names, "none") if low >= 0 and high <= 1 else []


def _about_test_part(report: Report, training: Examined, test: Examined) -> list[str]:
    if training.counts is None or test.counts is None:
        return []
    unseen = np.flatnonzero((test.counts > 0) & (training.counts == 0)).tolist()
    if not unseen:
        return []
    names = listed(unseen, lambda index: f"'{_name(report, index)}'")
    return [f"{some(unseen, 'class is', 'classes are')} in the test part alone: {names}"]


def _name(report: Report, index: int) -> str:
    return legible(report.classes[index])
