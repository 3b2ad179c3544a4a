"""Which rows `stackae score` is to score, and which of them are known to be anomalies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from stackae.errors import ConfigError, DataError, StackaeError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from stackae.calibration import Calibration
    from stackae.config import DataConfig
    from stackae.data import Dataset, Rows, Scaling
    from stackae.data.for_run import RowsRead
    from stackae.runs import Run
    from stackae.workflows.inputs import DataRequest

UNKNOWN = -1


class Group(NamedTuple):
    """Rows of one data set, scaled as the run's were; ``rows`` (n,) are their numbers in its file."""

    name: str
    x: Rows
    y: Tensor | None
    classes: tuple[str, ...]
    rows: np.ndarray
    which: str


class RowsToScore(NamedTuple):
    """Rows in groups, those of --against second, and what they are scored by.

    ``own`` are the data that the run was trained on, where they were read: for their test part, for a run that keeps no
    calibration, or for baselines that are too large to be kept.
    anomaly (n,) int64 says of all rows which are anomalies: 1, 0, or −1 where that is unknown; None where it is of all.
    ``column_names`` are those of the features in the run's order, where the rows or the run have any.
    The run was trained on ``anomalies_trained_on`` rows of the classes that are named as anomalies.
    """

    groups: list[Group]
    part: str
    anomaly: Tensor | None
    calibration: Calibration | None
    own: Dataset | None
    scaling: Scaling
    column_names: tuple[str, ...]
    anomalies_trained_on: int

    def feature_name(self, place: int) -> str:
        return self.column_names[place] if self.column_names else str(place)

    def place_of(self, index: int) -> tuple[Group, int]:
        """The group of one of all rows, and its place there."""
        first = self.groups[0]
        return (first, index) if index < len(first.x) else (self.groups[1], index - len(first.x))

    def number_of(self, index: int) -> int:
        """Of one of all rows, in its file."""
        group, place = self.place_of(index)
        return int(group.rows[place])


def read_rows(run: Run, params: dict[str, Any]) -> RowsToScore:
    """What the command line asks for: without --data the test part of the data that the run was pretrained on.

    Raises:
        ConfigError: an unknown part or class, or both --anomalies and --against. DataError: no rows, no labels, or
            rows of one kind alone.
    """
    from stackae.data.for_run import read_dataset
    from stackae.runs.kept_data import known_of
    from stackae.workflows.inputs import DataRequest, note_all, requested, rows_of

    from .progress import Shown

    anomalies, against = params["anomalies"], params["against"]
    if anomalies is not None and against is not None:
        raise ConfigError("--anomalies: expected none beside --against, got both; leave out one of them")
    own = requested(run.config.data, DataRequest(data_root=params["data_root"]))
    scaling, kept = run.load_scaling(), known_of(run)
    asked = _of_tables(params, own)
    is_own = requested(own, asked) == own
    calibration = run.load_calibration() if run.has_calibration else None
    with _or("score other rows by --data") if is_own else nullcontext():
        read = rows_of(run, asked, params["part"], Shown(), own)
    groups, dataset = [_group(read)], None
    if calibration is None:
        with _or("this run keeps no calibration, so score once where they are"):
            dataset = read_dataset(own, kept, scaling)
    elif (is_own and anomalies is not None) or (params["baselines"] and calibration.baselines is None):
        with suppress(StackaeError):
            dataset = read_dataset(own, kept, scaling)
    if dataset is not None and not is_own:
        note_all(dataset.notes, Shown())
    anomaly = None if anomalies is None else _of_classes(groups[0], anomalies)
    if against is not None:
        against_request = DataRequest(against, params["data_root"], params["target"])
        groups.append(_group(rows_of(run, against_request, None, Shown(), own, own_test=True)))
        anomaly = _of_groups(groups)
    known = 0 if anomalies is None or dataset is None or not is_own else _rows_of_classes(dataset, anomalies)
    names = read.column_names or kept.pretraining.columns
    return RowsToScore(groups, read.part, anomaly, calibration, dataset, scaling, names, known)


@contextmanager
def _or(remedy: str) -> Iterator[None]:
    """Data that cannot be read need not be."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{error}; or {remedy}") from None


def _group(read: RowsRead) -> Group:
    return Group(read.name, read.x, read.y, read.classes, read.numbers, read.which)


def _of_tables(params: dict[str, Any], own: DataConfig) -> DataRequest:
    """The options, without the target column where it can only be that of --against."""
    from stackae.data.formats import is_named
    from stackae.workflows.inputs import DataRequest

    is_table = [is_named(str(name)) for name in (params["data"] or own.data, params["against"])]
    target = None if is_table == [False, True] else params["target"]
    return DataRequest(params["data"], params["data_root"], target)


def _of_classes(group: Group, text: str) -> Tensor:
    """By labels: 1 for those that are named, 0 for others, −1 for rows without one."""
    import torch

    from stackae.data.labels import classes_named

    if group.y is None or not bool((group.y >= 0).any()):
        raise DataError(
            f"--anomalies: expected rows with labels, got none in {group.name}; name their column with --target, or "
            "use --against"
        )
    chosen = torch.tensor(classes_named("--anomalies", text, group.classes, group.name))
    anomaly = torch.where(group.y < 0, UNKNOWN, torch.isin(group.y, chosen).long())
    normal, anomalous = (int((anomaly == kind).sum()) for kind in (0, 1))
    if not normal or not anomalous:
        raise DataError(
            f"--anomalies: expected rows of both kinds in {group.name}, got {normal:,} normal and {anomalous:,} "
            "anomalous ones; name other classes, or another --part"
        )
    return anomaly


def _rows_of_classes(dataset: Dataset, text: str) -> int:
    """How many training rows are of these classes."""
    import torch

    from stackae.data.labels import classes_named

    if dataset.train.y is None:
        return 0
    chosen = torch.tensor(classes_named("--anomalies", text, dataset.classes, dataset.name))
    return int(torch.isin(dataset.train.y, chosen).sum())


def _of_groups(groups: list[Group]) -> Tensor:
    import torch

    return torch.cat([torch.full((len(group.x),), kind) for kind, group in enumerate(groups)])
