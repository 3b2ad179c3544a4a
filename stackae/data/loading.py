"""From a request for data to tensors: find the source, divide its rows, scale them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stackae.config import DataConfig
from stackae.data.division import TEST, TRAIN, VALIDATION, Division, divided, sums_of
from stackae.data.formats import FORMATS, NAMES, SETS, TABLES, Place, is_named, listed, place_of
from stackae.data.formats.digits import load_digits
from stackae.data.formats.idx import FOLDERS, load_idx_folder
from stackae.data.formats.vision import PREFIX, load_vision
from stackae.data.index_column import index_note
from stackae.data.labels import named
from stackae.data.memory import check_memory
from stackae.data.minibatches import in_order
from stackae.data.order.held_out import at_borders
from stackae.data.order.windows import over_time, placed
from stackae.data.outliers import Merged, Outlier, merged, outliers, sampled
from stackae.data.paired import PairedRows
from stackae.data.rows import ByteRows, Rows
from stackae.data.scaling import Scaling
from stackae.data.shaped import shaped
from stackae.data.source import CHUNK_CELLS, Source, checked
from stackae.data.tables.columns import Encoding
from stackae.data.tables.frame import Dialect, Frame
from stackae.data.tables.sources import source_of
from stackae.data.tables.transposed import transposed
from stackae.errors import ConfigError, DataError, legible, nearest

OF_TABLES = ("group", "time", "columns", "drop", "ids", "categorical", "ordinal")
"""Settings that name columns of tables alone."""



class Part(NamedTuple):
    """x (n, d), which reads as scaled float32; y (n,) int64 with -1 where a row has no label, or (n, k) targets,
    float32 or float64, with NaN where one is missing, or None. n may be 0.

    x is ByteRows where the source holds uint8 that a scaling ``of_bytes`` scales, so that it costs a byte a cell, and a
    Tensor elsewhere; ``x[:]`` is a Tensor of all rows for both. Where clean rows are to be made of noisy ones, it is
    PairedRows.
    """

    x: Rows
    y: Tensor | None


class Dataset(NamedTuple):
    """The three parts, and what is needed to prepare other rows the same way; config.scale is the settled kind.

    column_names has a name a feature, or none; ``ignored`` are the columns that were left out; notes are sentences that
    a person should read. outliers and merged describe the training rows before they were scaled: columns that lie flat
    for one cell, and columns that lose values where they are rounded to 32 bits unscaled. division says the part of
    every row in its file, and labels are ``labels_digest`` of them; row_shape and encoding are the source's.
    """

    name: str
    train: Part
    validation: Part
    test: Part
    scaling: Scaling
    classes: tuple[str, ...]
    image_shape: tuple[int, ...] | None
    config: DataConfig
    column_names: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    outliers: tuple[Outlier, ...] = ()
    merged: tuple[Merged, ...] = ()
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    division: Division | None = None
    labels: str = ""
    row_shape: tuple[int, ...] = ()
    encoding: Encoding | None = None


def load_source(config: DataConfig) -> Source:
    """The checked rows and labels of ``config.data``.

    Raises DataError when the data are unknown, missing, damaged or too large for the memory; ConfigError when a
    target column is named for data that have no columns; SetupError when torchvision is requested and missing.
    """
    with reading(config):
        if is_named(config.data):
            return samples(source_of(read_table(config), config), config)
        source = read_named(config)
        if source is not None and config.target_kind == "numbers":
            source = source._replace(y=None, y_test=None, classes=())  # classes are no numbers to be learned
        return samples(source or read_file(config), config)


def samples(source: Source, config: DataConfig) -> Source:
    """The checked samples of a source: its rows, or windows of them, and images where the settings say so."""
    return shaped(placed(checked(over_time(source, config)), config), config)


@contextmanager
def reading(config: DataConfig) -> Iterator[None]:
    """While the data are read: whatever the system says of files and memory is a DataError that names the data.

    Raises ConfigError when a target column is named for data that have no columns.
    """
    check_columns_named(config)
    try:
        yield
    except OSError as error:
        raise DataError(f"{config.data}: expected files that can be read, got {error}; check them") from None
    except MemoryError:
        raise DataError(
            f"{config.data}: expected data that fit in the memory, got more; give fewer rows or columns"
        ) from None


def check_columns_named(config: DataConfig) -> None:
    """Raises ConfigError when columns, or an array of targets, are named for data that have none of them."""
    place = place_of(config.data)
    named_set = config.data in NAMES or config.data.startswith(PREFIX)
    tables = f"its columns have no names, as those of a {listed(TABLES)} file have"
    no_table = named_set or (place is not None and not place.format.named)
    no_targets = named_set or (place is not None and place.format.pictures)
    for setting, refused in {"target": no_targets, **dict.fromkeys(OF_TABLES, no_table)}.items():
        if (name := getattr(config, setting)) is not None and refused:
            raise ConfigError(f"{setting}: expected none for {config.data}, got '{legible(name)}'; {tables}")


def read_named(config: DataConfig) -> Source | None:
    """The named set as it is stored, unchecked; None when ``config.data`` is no name of one."""
    if config.data == "digits":
        return load_digits()
    if config.data in FOLDERS:
        return load_idx_folder(config.data, Path(config.data_root))
    if config.data.startswith(PREFIX):
        return load_vision(config.data.removeprefix(PREFIX), Path(config.data_root))
    return None


def file_of(config: DataConfig) -> Place:
    """Where a file that is there lies, and its format; DataError for anything else."""
    place = place_of(config.data)
    if place is None or not place.path.exists() or (place.path.is_dir() and place.format.suffix):
        raise DataError(_no_data(config.data, place))
    return place


def read_file(config: DataConfig, required: bool = True) -> Source:
    """The arrays of a file as they are stored, unchecked; without ``required``, targets that are not there are none.

    Raises DataError as its reader does.
    """
    place = file_of(config)
    return place.format.read(place, config, required)


def dialect_of(config: DataConfig) -> Dialect:
    """How a file of text is written, as far as the settings say it."""
    missing = () if config.missing_values is None else tuple(each.strip() for each in config.missing_values.split(","))
    return Dialect(config.delimiter, config.decimal, config.encoding, config.header, missing)


def read_table(config: DataConfig) -> Frame:
    """The columns of a table as they are stored. Raises DataError as its reader does."""
    place = file_of(config)
    frame = place.format.read_frame(place.path, dialect_of(config))
    return transposed(frame) if config.transpose else frame


def _no_data(data: str, place: Place | None) -> str:
    path = Path(data) if place is None else place.path
    if place is not None and not path.exists():
        return f"data: expected the path of a file, got '{path}': no such file; check the path"
    got = "a directory" if path.is_dir() else "a file of another kind" if path.exists() else ""
    remedy = "; save a table as .csv, with commas between its cells" if path.is_file() else ""
    return (
        f"data: expected {SETS}, a folder of pictures, or a path ending in {listed(FORMATS)}, "
        f"got '{data}'{f' ({got})' if got else nearest(data, NAMES)}{remedy}"
    )


def load_data(config: DataConfig, scaling: Scaling | None = None) -> Dataset:
    """Training, validation and test parts, scaled alike.

    The test part is the source's own, or test_fraction of its rows; the validation part is validation_fraction of
    the rows that remain; the classes of ``leave_out`` are then taken out of it and of the training part. Which rows is
    a function of the data, the fractions and those classes alone. The scaling, unless given, is fitted on the training
    part alone; at least one row always remains there. Raises what load_source raises, DataError when a given scaling is
    of another width or no row is left to train on, and ConfigError when a class to be left out is not there.
    """
    source = load_source(config)
    source = source._replace(notes=(*source.notes, *index_note(source.x, source.column_names)))
    return dataset_of(source, config, Division(sums_of(source), divided(source, config)), scaling)


def dataset_of(source: Source, config: DataConfig, division: Division, scaling: Scaling | None) -> Dataset:
    """The parts of a checked source as they are divided. Raises what ``load_data`` raises of scaling and memory."""
    digest, source = labels_digest(source), without_background(source, config)
    x, y = source.x, source.y
    as_bytes = config.scale != "robust" if scaling is None else scaling.of_bytes
    for rows in (source.x, source.x_test):
        if rows is not None:  # the parts are copies
            pairs = 8 * rows.size if source.clean is not None else 0
            check_memory(source.name, pairs or (rows.nbytes if rows.dtype != np.uint8 or as_bytes else 4 * rows.size))
    train, validation, held = (division.rows_of(part, 0, len(x)) for part in (TRAIN, VALIDATION, TEST))
    if scaling is None:
        scaling = fitted(config, x if len(train) == len(x) else x[train], source).times(config.scale_factor)
    if source.x_test is None:
        test = part_of_rows(x, y, held, scaling, source.clean)
    else:
        own_test = division.rows_of(TEST, len(x), len(division.parts)) - len(x)
        test = part_of_rows(source.x_test, source.y_test, own_test, scaling, source.test_clean)
    return Dataset(
        name=source.name,
        train=part_of_rows(x, y, train, scaling, source.clean),
        validation=part_of_rows(x, y, validation, scaling, source.clean),
        test=test,
        scaling=scaling,
        classes=source.classes,
        image_shape=source.image_shape,
        config=config.model_copy(update={"scale": scaling.kind, **_settled_pictures(source, config)}),
        column_names=source.column_names,
        targets=source.targets,
        outliers=outliers(x, train),
        merged=tuple(merged(sampled(x, train))) if scaling.kind in ("none", "unit") else (),
        ignored=source.ignored,
        notes=(*source.notes, *at_borders(division.parts)),
        division=division,
        labels=digest,
        row_shape=source.row_shape,
        encoding=source.encoding,
    )


def fitted(config: DataConfig, x: np.ndarray, source: Source) -> Scaling:
    """The scaling of training samples; of windows, that of each channel, the same for all of its moments, and standard
    where it is auto and they are no bytes."""
    length = 1 if source.places is None else source.places.length
    if length == 1:
        return Scaling.fit(config.scale, x, source.gaps)
    moments = x.reshape(len(x), -1, length).swapaxes(1, 2).reshape(len(x) * length, -1)
    kind = "standard" if config.scale == "auto" and x.dtype != np.uint8 else config.scale
    return Scaling.fit(kind, moments, source.gaps).repeated(length)


def _settled_pictures(source: Source, config: DataConfig) -> dict[str, str]:
    """The size and the channels that other pictures are given for a run on these."""
    place = place_of(config.data)
    if place is None or not place.format.pictures or source.image_shape is None:
        return {}
    height, width, *channels = source.image_shape
    return {"size": f"{height}x{width}", "colour": "colour" if channels else "grey"}


def without_background(source: Source, config: DataConfig) -> Source:
    """The source in which rows of the classes that ``config.background`` names have no label. No errors."""
    if config.background is None or not source.classes:
        return source
    names = set(named(config.background, source.classes))
    places = [place for place, name in enumerate(source.classes) if name in names]
    y, y_test = (
        None if each is None else np.where(np.isin(each, places), -1, each) for each in (source.y, source.y_test)
    )
    return source._replace(y=y, y_test=y_test)


def labels_digest(source: Source) -> str:
    """SHA-256 of all labels in their order, with the names of classes or targets; "" where there are none."""
    parts = [y for y in (source.y, source.y_test) if y is not None]
    if not parts:
        return ""
    digest = hashlib.sha256("\0".join((*source.classes, *source.targets)).encode(errors="backslashreplace"))
    for y in parts:
        digest.update(f"{y.dtype} {y.shape};".encode())
        digest.update(np.ascontiguousarray(y).data)
    return digest.hexdigest()


def scaled_rows(source: Source, scaling: Scaling) -> Part:
    """All rows of a source in their order, its own test part last; y is None when no part has labels."""
    x, y = source.x, source.y
    if source.x_test is not None:
        labels = (source.y, len(source.x)), (source.y_test, len(source.x_test))
        if any(known is not None for known, _ in labels):
            width = len(source.targets)
            none = [np.full((count, width), np.nan) if width else np.full(count, -1) for _, count in labels]
            y = np.concatenate([no if known is None else known for no, (known, _) in zip(none, labels, strict=True)])
        x = np.concatenate([source.x, source.x_test])
    clean = source.clean
    if clean is not None and source.test_clean is not None:
        clean = np.concatenate([clean, source.test_clean])
    return part_of_rows(x, y, np.arange(len(x)), scaling, clean)


def part_of_rows(
    x: np.ndarray, y: np.ndarray | None, rows: np.ndarray, scaling: Scaling, clean: np.ndarray | None = None
) -> Part:
    """The given rows, ascending; bytes are shared with x where they are all of them. With ``clean`` rows, as pairs."""
    labels = None if y is None else torch.from_numpy(y[rows])
    if clean is not None:
        return Part(PairedRows(_scaled(x, rows, scaling), _scaled(clean, rows, scaling)), labels)
    if x.dtype == np.uint8 and scaling.of_bytes:
        raw = np.require(x if len(rows) == len(x) else x[rows], requirements=("C", "W"))
        return Part(ByteRows(torch.from_numpy(raw), scaling), labels)
    return Part(_scaled(x, rows, scaling), labels)


def _scaled(x: np.ndarray, rows: np.ndarray, scaling: Scaling) -> Tensor:
    scaled = torch.empty(len(rows), x.shape[1])
    for piece in in_order(len(rows), max(1, CHUNK_CELLS // x.shape[1])):
        scaled[piece] = scaling.transform(x[rows[piece]])
    return scaled
