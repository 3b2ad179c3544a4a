"""Select the rows that a run scores, and find which of them are known anomalies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

import torch
from torch import Tensor

from stackae.analysis.scoring import Group, RowsToScore
from stackae.data import Dataset
from stackae.data.formats import is_named
from stackae.data.labels import classes_named
from stackae.data.run_rows import RowsRead, read_dataset
from stackae.errors import ConfigError, DataError, StackaeError, argument
from stackae.runs import Run
from stackae.runs.kept_data import known_of
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.inputs import DataRequest, note_all, requested, rows_of

UNKNOWN = -1


def read_rows(
    run: Run,
    request: DataRequest,
    part: str | None,
    anomalies: str | None,
    against: str | None,
    baselines: bool,
    callbacks: Callbacks,
) -> RowsToScore:
    """Read the requested rows, by default the test part of the data that the run was pretrained on.

    Raises:
        ConfigError: an unknown part or class, or both --anomalies and --against. DataError: no rows, no labels, or rows
            of only one kind.
    """
    if anomalies is not None and against is not None:
        raise ConfigError(
            f"{argument('anomalies')}: expected none beside {argument('against')}, got both; leave out one of them"
        )
    own = requested(run.config.data, DataRequest(data_root=request.data_root))
    scaling, kept, known = run.load_scaling(), known_of(run), anomalies is not None or against is not None
    of_tables = [is_named(str(name)) for name in (request.data or own.data, against)]
    # where only --against is a table, the target column is its own
    first = request._replace(target=None) if of_tables == [False, True] else request
    is_own = requested(own, first) == own
    calibration = run.load_calibration() if run.has_calibration else None
    with _or(f"score other rows by {argument('data')}") if is_own else nullcontext():
        read = rows_of(run, first, part, callbacks, own)
    reads, groups, dataset = [read], [_group(read)], None
    if calibration is None:
        with _or("this run keeps no calibration, so score once where they are"):
            dataset = read_dataset(own, kept, scaling)
    elif (baselines and (known or calibration.baselines is None)) or (is_own and anomalies) or not calibration.combined:
        with suppress(StackaeError):
            dataset = read_dataset(own, kept, scaling)
    if dataset is not None and not is_own:
        note_all(dataset.notes, callbacks)
    anomaly = None if anomalies is None else _of_classes(groups[0], anomalies)
    if against is not None:
        reads.append(rows_of(run, request._replace(data=against), None, callbacks, own, own_test=True))
        groups.append(_group(reads[1]))
        anomaly = torch.cat([torch.full((len(group.x),), kind) for kind, group in enumerate(groups)])
    trained_on = 0 if anomalies is None or dataset is None or not is_own else _rows_of_classes(dataset, anomalies)
    names = read.column_names or kept.pretraining.columns
    return RowsToScore(groups, read.part, anomaly, calibration, dataset, scaling, names, trained_on, reads)


@contextmanager
def _or(remedy: str) -> Iterator[None]:
    """Add a remedy to errors of data that could not be read, and that the workflow may do without."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{error}; or {remedy}") from None


def _group(read: RowsRead) -> Group:
    return Group(read.name, read.x, read.y, read.classes, read.numbers, read.which, dict(read.beside[1:]))


def _of_classes(group: Group, text: str) -> Tensor:
    """Return (n,) int64 by label: 1 for the named classes, 0 for others, −1 for rows without a label."""
    if group.y is None or not bool((group.y >= 0).any()):
        raise DataError(
            f"{argument('anomalies')}: expected rows with labels, got none in {group.name}; name their column with "
            f"{argument('target')}, or use {argument('against')}"
        )
    chosen = torch.tensor(classes_named(argument("anomalies"), text, group.classes, group.name))
    anomaly = torch.where(group.y < 0, UNKNOWN, torch.isin(group.y, chosen).long())
    normal, anomalous = (int((anomaly == kind).sum()) for kind in (0, 1))
    if not normal or not anomalous:
        raise DataError(
            f"{argument('anomalies')}: expected rows of both kinds in {group.name}, got {normal:,} normal and "
            f"{anomalous:,} anomalous ones; name other classes, or another {argument('part')}"
        )
    return anomaly


def _rows_of_classes(dataset: Dataset, text: str) -> int:
    """Return how many training rows are of the named classes."""
    if dataset.train.y is None:
        return 0
    chosen = torch.tensor(classes_named(argument("anomalies"), text, dataset.classes, dataset.name))
    return int(torch.isin(dataset.train.y, chosen).sum())
