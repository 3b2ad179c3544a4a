"""Rows that a caller gives: to train a stack on, or for one that knows how its own became numbers."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from stackae.config import DataConfig
from stackae.data.arraylike import ArrayLike, array_rows, image_shape, is_sparse, targets_of
from stackae.data.arrays.gaps import for_run, with_gaps
from stackae.data.loading import part_of_rows, samples
from stackae.data.provenance import FROM_ARRAY, Known, KnownData, check_width, matched
from stackae.data.reading import OF_TABLES, dialect_of
from stackae.data.rows import Rows
from stackae.data.run_notes import SHOWN_ROWS, of_bad_rows
from stackae.data.scaling import Scaling
from stackae.data.source import Source, bytes_held
from stackae.data.stored.array import Array, StoredArray, stays_on_disk
from stackae.data.tables.arrow import frame_of
from stackae.data.tables.frame import Frame
from stackae.data.tables.sources import encoded, source_of
from stackae.errors import ConfigError, DataError, DataWarning, legible

OF_SAMPLES = ("window", "stride", "group", "time", "image_shape")
"""Settings by which the rows of a file become samples, which those of an array in Python are already."""
UNKNOWN = KnownData(DataConfig(data=FROM_ARRAY), recorded=False)
"""What is known of rows that nobody kept anything of."""


class Given(NamedTuple):
    """Rows x, with labels or numbers y, or y the name of a column of x, ``kind`` classes or numbers, and clean rows of
    x; ``names`` are what errors call x, y and the clean rows."""

    x: ArrayLike
    y: ArrayLike | str | None = None
    kind: str | None = None
    clean: ArrayLike | None = None
    names: tuple[str, str, str] = ("x", "y", "clean")


def rows_to_train_on(given: Given, config: DataConfig) -> Source:
    """The checked rows, a data frame by an encoding that is fitted to them, an array as it is; notes are warnings.

    Raises DataError as the readers of tables and arrays do, ConfigError for settings of columns without a data frame.
    """
    config = config.model_copy(update=_target(given))
    frame = _frame(given, config)
    if frame is None:
        source = with_gaps(_of_array(given, config), config)
        for setting in OF_TABLES:
            if (value := getattr(config, setting)) is not None:
                raise ConfigError(
                    f"{setting}: expected none, since the columns of {source.name} have no names, got "
                    f"'{legible(str(value))}'; give a data frame"
                )
    else:
        source = source_of(frame, config)
        source = _with_targets(source, given, np.arange(len(frame.numbers)), frame)
    warn(source.notes)
    return samples(source, config)


def rows_known(given: Given, known: Known, fills: bool, leaves_out: bool = False) -> Source:
    """The checked rows as those that a stack was trained on: columns of a data frame by name, cut into windows where
    that run has such; rows of an array are samples. Notes are warnings.

    Rows with cells that cannot be read are refused, or left out where that is asked for. Raises DataError for these,
    and for columns that are missing. Missing cells are NaN where the scaling ``fills`` them.
    """
    config = known.pretraining.config.model_copy(update=_target(given))
    frame = _frame(given, config)
    if frame is None:
        config = config.model_copy(update=dict.fromkeys(OF_SAMPLES))
        source = _of_array(given, config)
        if fills:
            source = for_run(source, known.pretraining.encoding, config)
        elif leaves_out and config.missing == "drop":
            source = with_gaps(source, config)
        source = samples(source, config)
        fits = source.x.shape[1] == known.width
        warn((*source.notes, *(check_width(source.name, known.width, known, image=False) if fits else ())))
        return source
    encoding, targets, notes = matched(frame, config, known, config.target is not None)
    source, kept, bad, count = encoded(frame, encoding, targets, config, fills)
    if count and not leaves_out:
        shown = "; ".join(f"row {each.row}, {each.reason}" for each in bad[:SHOWN_ROWS])
        more = f"; and {count - SHOWN_ROWS:,} more rows" if count > SHOWN_ROWS else ""
        raise DataError(
            f"{frame.name}: expected cells that are read as in training, got others (rows counted from 0): "
            f"{shown}{more}; correct these cells, or leave the rows out"
        )
    warn((*frame.notes, *notes, *source.notes, *of_bad_rows(frame.name, bad, count, len(kept) + count)))
    return samples(_with_targets(source._replace(notes=()), given, kept, frame), config)


def scaled_known(name: str, x: ArrayLike, known: KnownData, scaling: Scaling) -> Rows:
    """Rows as a network of that stack reads them, pairs where missing cells are masked.

    Raises DataError as ``rows_known``, and for another width.
    """
    found = rows_known(Given(x, names=(name, "", "")), known_by(known, scaling), scaling.fill is not None)
    scaling.check_width(found.x.shape, name)
    return part_of_rows(found.x, None, np.arange(len(found.x)), scaling, found.clean).x


def known_by(known: KnownData, scaling: Scaling) -> Known:
    """What a stack knows of its rows."""
    return Known("the stack", len(scaling.offset), known)


def warn(notes: Iterable[str]) -> None:
    """Warn of each, at the line that called this package."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("stackae."):
        level, frame = level + 1, frame.f_back
    for each in notes:
        warnings.warn(each, DataWarning, stacklevel=level)


def _target(given: Given) -> dict[str, str | None]:
    """The settings of the target that is named."""
    named = isinstance(given.y, str)
    return {"target": str(given.y) if named else None, "target_kind": given.kind or "classes"}


def _frame(given: Given, config: DataConfig) -> Frame | None:
    """The data frame that the rows are; None where they are an array, as they are beside clean rows."""
    return None if given.clean is not None else frame_of(given.names[0], given.x, dialect_of(config))


def _of_array(given: Given, config: DataConfig) -> Source:
    """The unchecked rows of an array with their targets; of a sparse matrix that is masked, cells of 0 are missing.

    Raises DataError for clean rows of another shape.
    """
    name, _, of_clean = given.names
    x = array_rows(name, given.x)
    rows: Array = x
    if isinstance(x, np.memmap) and stays_on_disk("auto", bytes_held(x.dtype, x.size)):
        rows = StoredArray(x)
    source = Source(name, rows, image_shape=image_shape(name, given.x))
    if config.missing == "mask" and is_sparse(given.x):
        source = source._replace(x=np.where(x == 0, np.nan, x))
    if isinstance(given.y, str):
        raise ConfigError(
            f"{given.names[1]}: expected a column of {name}, whose columns have no names, got '{legible(given.y)}'; "
            "give a data frame"
        )
    if given.clean is not None:
        clean = array_rows(of_clean, given.clean)
        if clean.shape != source.x.shape:
            raise DataError(
                f"{of_clean}: expected a clean row for each of {name}, of shape {source.x.shape}, got {clean.shape}; "
                "give rows of the same shape"
            )
        source = source._replace(clean=clean)
    return _with_targets(source, given, np.arange(len(source.x)))


def _with_targets(source: Source, given: Given, kept: np.ndarray, frame: Frame | None = None) -> Source:
    """The source with targets that are given apart, those of the rows that are ``kept``."""
    if given.y is None or isinstance(given.y, str):
        return source
    rows = len(source.x) if frame is None else len(frame.numbers)
    if given.kind is None:
        raise DataError(f"{given.names[1]}: expected none, since rows alone are read here, got some; leave it out")
    found = targets_of(given.names[1], given.y, rows, given.kind)
    classes, targets = (found.names, ()) if given.kind == "classes" else ((), found.names)
    return source._replace(y=found.y[kept], classes=classes, targets=targets)
