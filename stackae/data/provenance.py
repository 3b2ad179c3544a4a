"""What a run keeps of the data that it was trained on, and how columns of other data are matched to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stackae.config import DataConfig
from stackae.data.division import Division
from stackae.data.formats import place_of
from stackae.data.formats.text_header import (
    Chosen,
    chosen_columns,
    ignored_indices,
    listed,
    target_indices,
    target_names,
)
from stackae.errors import DataError, legible, nearest


class KnownData(NamedTuple):
    """Data of one training: ``config``, the names of the features in their order (none where the data have none), of
    targets and classes and of columns that were left out, how many rows there were, ``labels_digest``, and the part of
    each row. ``recorded`` is False for a run that was made before these were kept: it knows its configuration alone."""

    config: DataConfig
    columns: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    rows: int = 0
    labels: str = ""
    division: Division | None = None
    recorded: bool = True


class Known(NamedTuple):
    """What a run of ``width`` features knows: the data of its pretraining, and of its last fine-tuning if any."""

    name: str
    width: int
    pretraining: KnownData
    finetuning: KnownData | None = None

    @property
    def trainings(self) -> list[KnownData]:
        """The last one first."""
        return [each for each in (self.finetuning, self.pretraining) if each is not None]

    def own(self, config: DataConfig) -> KnownData | None:
        """The last training on data of this name, whatever its target; None where they are other data."""
        return next((each for each in self.trainings if same_data(config, each.config)), None)

    @property
    def target_names(self) -> set[str]:
        """Of every column that was a target."""
        names = set[str]()
        for each in self.trainings:
            if each.targets:
                names |= set(each.targets)
            elif each.config.target is not None:
                names |= {each.config.target, *target_names((), each.config.target, True)}
        return names


def same_data(one: DataConfig, other: DataConfig) -> bool:
    """Whether both name the same file, or the same set: wherever it lies, what it holds is compared."""
    if one.data == other.data:
        return True
    places = place_of(one.data), place_of(other.data)
    first, second = (None if each is None else (each.path.resolve(), each.inside) for each in places)
    return first is not None and first == second


def choose(path: Path, header: list[str], config: DataConfig, known: Known, target_given: bool) -> Chosen:
    """Which columns of a table are the run's features, in its order, and which are targets.

    The target of ``config`` is taken where it is there; it must be where it was given. Raises DataError for a feature
    or a target that is missing, and, of a run that has no names, for another number of columns.
    """
    numbers = config.target_kind == "numbers"
    names = [] if config.target is None else target_names(header, config.target, numbers)
    there = target_given or all(name in header for name in names)
    target, notes = (config.target, ()) if there else (None, (_unlabelled(path, header, names),))
    if not known.pretraining.columns:
        return _by_order(path, header, config.model_copy(update={"target": target}), known, notes)
    indices = () if target is None else target_indices(path, header, target, numbers)
    columns = known.pretraining.columns
    place = {name: index for index, name in enumerate(header)}
    if missing := [name for name in columns if name not in place]:
        raise DataError(_missing(path, header, missing, len(columns)))
    left_out = {*known.target_names, *(name for each in known.trainings for name in each.ignored)}
    left_out |= (
        {header[index] for index in ignored_indices(path, header, config.ignore)}
        if _all_there(header, config.ignore)
        else set()
    )
    surplus = [name for name in header if name not in {*columns, *left_out, *(header[index] for index in indices), ""}]
    if surplus:
        what = "a column" if len(surplus) == 1 else f"{len(surplus):,} columns"
        notes = (*notes, f"{path}: {what} that the run was not trained on, left out: {listed(surplus)}")
    features = tuple(place[name] for name in columns)
    if list(features) != sorted(features):
        notes = (*notes, f"{path}: its columns come in another order than the run's; they are read by their names")
    ignored = tuple(name for name in header if name not in {*columns, *(header[index] for index in indices)})
    return Chosen(features, indices, ignored, notes)


def _all_there(header: Sequence[str], ignore: str | None) -> bool:
    return ignore is not None and (ignore in header or all(name.strip() in header for name in ignore.split(",")))


def _by_order(path: Path, header: list[str], config: DataConfig, known: Known, notes: tuple[str, ...]) -> Chosen:
    """The columns of a table in their order, for a run that has no names for them."""
    ignore = config.ignore if _all_there(header, config.ignore) else None
    chosen = chosen_columns(path, header, config.target, config.target_kind == "numbers", ignore)
    others = known.target_names - {header[index] for index in chosen.targets}
    features = tuple(column for column in chosen.features if header[column] not in others)
    if known.width not in (len(features), len(chosen.features)):
        raise DataError(
            f"{path}: expected {known.width} columns of numbers besides a target, got {len(features)} "
            f"({listed([header[column] for column in features])}); the run keeps no names to choose them by: give the "
            "columns that it was trained on, in their order"
        )
    if len(features) != known.width:
        features = chosen.features
    order = f"{path}: the run keeps no names of its columns, so that those of the file cannot be checked by name"
    return chosen._replace(features=features, notes=(*notes, *chosen.notes, f"{order}: they are taken in their order"))


def _missing(path: Path, header: list[str], missing: list[str], count: int) -> str:
    near = nearest(missing[0], header) if len(missing) == 1 else ""
    remedy = near or (
        "; rename its columns, or save the rows as .npy in the run's order" if len(missing) == count else "; add them"
    )
    return (
        f"{path}: expected the {count} columns that the run was trained on, got none named {listed(missing)} "
        f"(but {listed(header)}){remedy}"
    )


def _unlabelled(path: Path, header: list[str], names: list[str]) -> str:
    missing = [name for name in names if name not in header]
    return f"{path}: has no column {listed(missing)}, the target of the run: its rows are taken as unlabelled"


def check_width(name: str, width: int, known: Known, image: bool) -> tuple[str, ...]:
    """What there is to say of rows whose columns have no names. Raises DataError where they are of another width."""
    columns = known.pretraining.columns
    if width != known.width:
        what = f" ({listed(columns)})" if columns else ""
        raise DataError(
            f"{legible(name, 400)}: expected rows of {known.width} numbers as the run was trained on{what}, got "
            f"{width}; give the columns that it was trained on, in their order"
        )
    if image or not columns:
        return ()
    return (f"{name}: its columns have no names: they are taken in the order of the run's, {listed(columns)}",)
