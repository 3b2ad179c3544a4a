"""What a run keeps of the data that it was trained on, and how columns of other data are matched to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from stackae.config import DataConfig
from stackae.data.division import Division
from stackae.data.formats import place_of
from stackae.data.reading import OF_DIALECT, dialect_of
from stackae.data.tables.columns import Encoding
from stackae.data.tables.fitting import surveyed
from stackae.data.tables.frame import Dialect, Frame
from stackae.data.tables.notes import about_columns
from stackae.data.tables.roles import listed, names_of, roles_of, target_names, target_places
from stackae.errors import DataError, legible, nearest

FROM_ARRAY = "an array"
"""Stands for the data of a stack that was trained on rows which Python gave, and keeps none of them."""


class KnownData(NamedTuple):
    """Data of one training: ``config``, the names of the features in their order (none where the data have none), of
    targets and classes and of columns that were left out, how many rows there were, ``labels_digest``, how the columns
    of a table became features, and the part of each row. ``recorded`` is False for a run that was made before these
    were kept: it knows its configuration alone."""

    config: DataConfig
    columns: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    rows: int = 0
    labels: str = ""
    division: Division | None = None
    recorded: bool = True
    encoding: Encoding | None = None


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

    def dialect(self, config: DataConfig) -> Dialect:
        """How a file of text is written, as far as the settings say it: the run's own file as the run was told, and
        another one so where its content leaves it open."""
        own, asked = self.own(config), dialect_of(config)
        told = replace(dialect_of((own or self.pretraining).config), missing=())
        if own is None:
            return asked if told == Dialect() else replace(asked, otherwise=told)
        open_ones = [name for name in OF_DIALECT if getattr(asked, name) is None]
        return replace(asked, **{name: getattr(told, name) for name in open_ones})

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


class Matched(NamedTuple):
    """How columns of a table are those of a run: its encoding, the places of targets, and what there is to say."""

    encoding: Encoding
    targets: tuple[int, ...]
    notes: tuple[str, ...]


def matched(frame: Frame, config: DataConfig, known: Known, target_given: bool) -> Matched:
    """Which columns of a table are the run's features, by their names, and which are targets.

    The target of ``config`` is taken where it is there; it must be where it was given. Raises DataError for a feature
    or a target that is missing, and, of a run that has no names, for another number of features.
    """
    numbers, header = config.target_kind == "numbers", frame.names
    names = [] if config.target is None else target_names(header, config.target, numbers)
    there = target_given or all(name in header for name in names)
    target, notes = (config.target, ()) if there else (None, (_unlabelled(frame.name, header, names),))
    if not known.pretraining.columns:
        return _by_order(frame, config.model_copy(update={"target": target}), known, notes)
    targets = () if target is None else target_places(frame.name, header, target, numbers)
    encoding = known.pretraining.encoding or Encoding.of_numbers(known.pretraining.columns)
    columns = [each.name for each in encoding.featured]
    place = {name: index for index, name in enumerate(header)}
    if missing := [name for name in columns if name not in place]:
        raise DataError(_missing(frame.name, header, missing, len(columns)))
    left_out = {*known.target_names, *(name for each in known.trainings for name in each.ignored), ""}
    left_out |= {*columns, *(header[index] for index in targets), *_names_of(config.drop), *_names_of(config.ids)}
    surplus = [name for name in header if name not in left_out]
    if surplus:
        what = "a column" if len(surplus) == 1 else f"{len(surplus):,} columns"
        notes = (*notes, f"{frame.name}: {what} that the run was not trained on, left out: {listed(surplus)}")
    order = [place[name] for name in columns]
    if order != sorted(order):
        notes = (
            *notes,
            f"{frame.name}: its columns come in another order than the run's; they are read by their names",
        )
    if learned := [header[index] for index in targets if header[index] in columns]:
        notes = (*notes, f"{frame.name}: the target {listed(learned)} is a feature that the run was pretrained on")
    return Matched(encoding, targets, notes)


def _names_of(text: str | None) -> list[str]:
    return [] if text is None else [text, *names_of(text, ())]


def _by_order(frame: Frame, config: DataConfig, known: Known, notes: tuple[str, ...]) -> Matched:
    """The features of a table in their order, for a run that has no names for them."""
    there = {
        name: _if_there(getattr(config, name), frame.names) for name in ("drop", "ids", "categorical", "group", "time")
    }
    asked = config.model_copy(update=there | {"columns": None, "ordinal": None, "missing": "mean"})
    targets = roles_of(frame.name, frame.names, asked).targets
    for others in (known.target_names - {frame.names[index] for index in targets}, set[str]()):
        columns = tuple(column for column in frame.columns if column.name not in others)
        encoding, _ = surveyed(frame._replace(columns=columns), asked)
        if len(encoding.names) == known.width:
            break
    else:
        raise DataError(
            f"{frame.name}: expected {known.width} features besides a target, got {len(encoding.names)} "
            f"({listed(encoding.names)}); the run keeps no names to choose them by: give the columns that it was "
            "trained on, in their order"
        )
    order = f"{frame.name}: the run keeps no names of its columns, so that those of the file cannot be checked by name"
    left_out = about_columns(frame, encoding)
    return Matched(encoding, targets, (*notes, *left_out, f"{order}: they are taken in their order"))


def _if_there(text: str | None, header: Sequence[str]) -> str | None:
    return text if text is not None and all(name in header for name in names_of(text, header)) else None


def _missing(name: str, header: Sequence[str], missing: list[str], count: int) -> str:
    near = nearest(missing[0], header) if len(missing) == 1 else ""
    remedy = near or (
        "; rename its columns, or save the rows as .npy in the run's order" if len(missing) == count else "; add them"
    )
    return (
        f"{name}: expected the {count} columns that the run was trained on, got none named {listed(missing)} "
        f"(but {listed(header)}){remedy}"
    )


def _unlabelled(name: str, header: Sequence[str], names: list[str]) -> str:
    missing = [each for each in names if each not in header]
    return f"{name}: has no column {listed(missing)}, the target of the run: its rows are taken as unlabelled"


def check_width(name: str, width: int, known: Known, image: bool) -> tuple[str, ...]:
    """What there is to say of rows whose columns have no names. Raises DataError where they are of another width."""
    columns = known.pretraining.columns
    if width != known.width:
        what = f" ({listed(columns)})" if columns else ""
        raise DataError(
            f"{legible(name, 400)}: expected rows of {known.width} numbers as the run was trained on{what}, got "
            f"{width}; give the columns that it was trained on, in their order"
        )
    if image or not columns or columns[0] == "x0":  # as arrays and tables without a header call them
        return ()
    return (f"{name}: its columns have no names: they are taken in the order of the run's, {listed(columns)}",)
