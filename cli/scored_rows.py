"""Which rows `stackae score` is to score, and which of them are known to be anomalies."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from stackae.errors import ConfigError, DataError, StackaeError, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from stackae.calibration import Calibration
    from stackae.config import DataConfig
    from stackae.data import Dataset, Rows, Scaling
    from stackae.runs import Run

PARTS = ("test", "validation", "train", "all")
UNKNOWN = -1


class Group(NamedTuple):
    """Rows of one data set, scaled as the run's were."""

    name: str
    x: Rows
    y: Tensor | None
    classes: tuple[str, ...]
    column_names: tuple[str, ...]


class RowsToScore(NamedTuple):
    """Rows in groups, those of --against second, and what they are scored by.

    ``own`` are the data that the run was trained on, where they were read: for their test part, for a run that keeps no
    calibration, or for baselines that are too large to be kept.
    anomaly (n,) int64 says of all rows which are anomalies: 1, 0, or −1 where that is unknown; None where it is of all.
    The run was trained on ``anomalies_trained_on`` rows of the classes that are named as anomalies.
    """

    groups: list[Group]
    part: str
    anomaly: Tensor | None
    calibration: Calibration | None
    own: Dataset | None
    scaling: Scaling
    anomalies_trained_on: int

    def feature_name(self, place: int) -> str:
        names = self.groups[0].column_names
        return names[place] if names else str(place)

    def place_of(self, index: int) -> tuple[Group, int]:
        """The group of one of all rows, and its number there."""
        first = self.groups[0]
        return (first, index) if index < len(first.x) else (self.groups[1], index - len(first.x))


def read_rows(run: Run, params: dict[str, Any]) -> RowsToScore:
    """What the command line asks for: without --data the test part of the data that the run was pretrained on.

    Raises:
        ConfigError: an unknown part or class, or both --anomalies and --against. DataError: no rows, no labels, or
            rows of one kind alone.
    """
    from stackae.data import load_data

    from .inputs import inherited

    anomalies, against = params["anomalies"], params["against"]
    if anomalies is not None and against is not None:
        raise ConfigError("--anomalies: expected none beside --against, got both; leave out one of them")
    own = inherited(run.config.data, params, "data_root")
    asked = inherited(own, _of_tables(params, own), "data", "target")
    wish = _part(params["part"], "all" if asked.data != own.data else "test")
    scaling = run.load_scaling()
    calibration = run.load_calibration() if run.has_calibration else None
    dataset = None
    if asked == own:
        dataset = _own_data(own, scaling, "score other rows by --data")
    elif calibration is None:
        dataset = _own_data(own, scaling, "this run keeps no calibration, so score once where they are")
    elif params["baselines"] and calibration.baselines is None:
        with suppress(StackaeError):
            dataset = load_data(own, scaling)
    groups = [_group(dataset if asked == own else None, asked, wish, scaling)]
    anomaly = None if anomalies is None else _of_classes(groups[0], anomalies)
    if against is not None:
        groups.append(_other_kind(inherited(own, params | {"data": against}, "data", "target"), scaling))
        anomaly = _of_groups(groups)
    known = 0 if anomalies is None or dataset is None or asked != own else _rows_of_classes(dataset, anomalies)
    return RowsToScore(groups, wish, anomaly, calibration, dataset, scaling, known)


def _own_data(own: DataConfig, scaling: Scaling, remedy: str) -> Dataset:
    from stackae.data import load_data

    try:
        return load_data(own, scaling)
    except DataError as error:
        raise DataError(f"{error}; or {remedy}") from None


def _of_tables(params: dict[str, Any], own: DataConfig) -> dict[str, Any]:
    """The options, without the target column where it can only be that of --against."""
    is_table = [str(name).lower().endswith(".csv") for name in (params["data"] or own.data, params["against"])]
    return {name: value for name, value in params.items() if name != "target" or is_table != [False, True]}


def _part(wish: str | None, default: str) -> str:
    if wish is not None and wish not in PARTS:
        raise ConfigError(f"--part: expected {', '.join(PARTS)}, got '{wish}'{nearest(wish, PARTS)}")
    return wish or default


def _group(dataset: Dataset | None, config: DataConfig, wish: str, scaling: Scaling) -> Group:
    """All rows of the data in their order, or a part of them; ``dataset`` where they were read already."""
    from stackae.data import load_data, load_source, scaled_rows

    from .inputs import part_of

    if wish == "all":
        source = load_source(config)
        return Group(source.name, *scaled_rows(source, scaling), source.classes, source.column_names)
    dataset = dataset or load_data(config, scaling)
    return Group(dataset.name, *part_of(dataset, wish)[1], dataset.classes, dataset.column_names)


def _other_kind(config: DataConfig, scaling: Scaling) -> Group:
    """Their own test part where they have one, else all of them."""
    from stackae.data import load_source, scaled_rows

    source = load_source(config if config.data.lower().endswith(".csv") else config.model_copy(update={"target": None}))
    if source.x_test is not None:
        source = source._replace(x=source.x_test, y=source.y_test, x_test=None, y_test=None)
    return Group(source.name, *scaled_rows(source, scaling), source.classes, source.column_names)


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
