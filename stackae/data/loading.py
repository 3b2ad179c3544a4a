"""From a request for data to tensors: find the source, divide its rows, scale them."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stackae.config import DataConfig
from stackae.data.arrays.gaps import with_gaps
from stackae.data.division import TEST, TRAIN, VALIDATION, Division, divided, sums_of
from stackae.data.formats import Tell, ignored, is_named
from stackae.data.inspect.index_column import index_note
from stackae.data.labels import named
from stackae.data.memory import check_memory
from stackae.data.minibatches import in_order
from stackae.data.order.held_out import at_borders, check_parts, way_of
from stackae.data.order.windows import over_time, placed
from stackae.data.outliers import Merged, Outlier, merged, outliers, sampled
from stackae.data.paired import PairedRows
from stackae.data.pictures.of_runs import settled_pictures
from stackae.data.reading import read_file, read_named, read_table, reading
from stackae.data.rows import ByteRows, Rows
from stackae.data.scaling import Scaling
from stackae.data.shaped import shaped
from stackae.data.source import CHUNK_CELLS, Source, checked, in_memory
from stackae.data.stored.array import Array, StoredArray, pieces, rows_at
from stackae.data.stored.rows import StoredRows
from stackae.data.tables.columns import Encoding
from stackae.data.tables.sources import source_of
from stackae.errors import argument


class Part(NamedTuple):
    """x (n, d), which reads as scaled float32; y (n,) int64 with -1 where a row has no label, or (n, k) targets,
    float32 or float64, with NaN where one is missing, or None. n may be 0.

    x is ByteRows where the source holds uint8 that a scaling ``of_bytes`` scales, so that it costs a byte a cell, and a
    Tensor elsewhere; ``x[:]`` is a Tensor of all rows for both. Where the rows stay in their file, it is StoredRows,
    and where clean rows are to be made of noisy ones, PairedRows.
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

    @property
    def rows(self) -> tuple[int, int]:
        """How many are trained on, and how many validated on."""
        return len(self.train.x), len(self.validation.x)

    @property
    def paired(self) -> bool:
        """Whether what is to be made of rows is not these rows."""
        return isinstance(self.train.x, PairedRows)


def load_source(config: DataConfig, tell: Tell = ignored) -> Source:
    """The checked rows and labels of ``config.data``.

    Raises DataError when the data are unknown, missing, damaged or too large for the memory; ConfigError when a
    target column is named for data that have no columns; SetupError when torchvision is requested and missing.
    """
    with reading(config):
        if is_named(config.data):
            return samples(over_time(source_of(read_table(config, tell), config), config), config)
        source = read_named(config)
        if source is not None and config.target_kind == "numbers":
            source = source._replace(y=None, y_test=None, classes=())  # classes are no numbers to be learned
        return samples(with_gaps(over_time(source or read_file(config, tell=tell), config), config), config)


def samples(source: Source, config: DataConfig) -> Source:
    """The checked samples of a source: its rows, or windows of them, and images where the settings say so.

    Where missing cells are masked, what is to be made of rows are their known cells.
    """
    masked = config.missing == "mask"
    source = placed(checked(source._replace(gaps=True) if masked else source), config)
    if masked and source.clean is None:
        parts = [x for x in (source.x, source.x_test) if x is not None]
        if any(np.isnan(piece).any() for x in parts for _, piece in pieces(x)):
            whole = [in_memory(x, source.name, argument("missing", "mask")) for x in parts]
            source = source._replace(clean=whole[0], test_clean=whole[1] if len(whole) > 1 else None)
    return shaped(source, config)


def load_data(config: DataConfig, scaling: Scaling | None = None, tell: Tell = ignored) -> Dataset:
    """Training, validation and test parts, scaled alike; ``tell`` is told the share of the file that is read.

    The test part is the source's own, or test_fraction of its rows; the validation part is validation_fraction of
    the rows that remain; the classes of ``leave_out`` are then taken out of it and of the training part. Which rows is
    a function of the data, the fractions and those classes alone. The scaling, unless given, is fitted on the training
    part alone; at least one row always remains there. Raises what load_source raises, DataError when a given scaling is
    of another width or no row is left to train on, and ConfigError when a class to be left out is not there.
    """
    source, parts = _divided(config, tell)
    return dataset_of(source, config, Division(sums_of(source), parts), scaling)


def load_pool(config: DataConfig, tell: Tell = ignored) -> tuple[Dataset, np.ndarray | None]:
    """The data with training and validation rows as one training part, and which of its rows are for validation.

    That is (n,) bool, or None where these are drawn at random, and any may be. Raises what ``load_data`` raises.
    """
    source, parts = _divided(config, tell)
    held = parts == VALIDATION
    division = Division(sums_of(source), np.where(held, TRAIN, parts).astype(np.uint8))
    drawn = way_of(source.places, config) == "random" and config.validation_rows is None
    unheld = config.model_copy(update={"validation_fraction": 0.0, "validation_rows": None})
    dataset = dataset_of(source, unheld, division, None)
    return dataset, None if drawn else held[division.parts == TRAIN]


def _divided(config: DataConfig, tell: Tell) -> tuple[Source, np.ndarray]:
    """The checked source, and the part of every row."""
    source = load_source(config, tell)
    source = source._replace(notes=(*source.notes, *index_note(source.x, source.column_names)))
    parts = divided(source, config)
    check_parts(source.name, source.places, parts, config)
    return source, parts


def dataset_of(source: Source, config: DataConfig, division: Division, scaling: Scaling | None) -> Dataset:
    """The parts of a checked source as they are divided. Raises what ``load_data`` raises of scaling and memory."""
    digest, source = labels_digest(source), without_background(source, config)
    x, y = source.x, source.y
    as_bytes = config.scale != "robust" if scaling is None else scaling.of_bytes
    for rows in (source.x, source.x_test):
        if isinstance(rows, np.ndarray):  # the parts are copies
            pairs = 8 * rows.size if source.clean is not None else 0
            check_memory(source.name, pairs or (rows.nbytes if rows.dtype != np.uint8 or as_bytes else 4 * rows.size))
    train, validation, held = (division.rows_of(part, 0, len(x)) for part in (TRAIN, VALIDATION, TEST))
    if scaling is None:
        scaling = fitted(config, rows_at(x, train), source).times(config.scale_factor)
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
        config=config.model_copy(update={"scale": scaling.kind, **settled_pictures(source)}),
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


def fitted(config: DataConfig, x: Array, source: Source) -> Scaling:
    """The scaling of training samples; of windows, that of each channel, the same for all of its moments, and standard
    where it is auto and they are no bytes."""
    length = 1 if source.places is None else source.places.length
    if length == 1:
        return Scaling.fit(config.scale, x, source.gaps)
    moments = (
        in_memory(x, source.name, "windows").reshape(len(x), -1, length).swapaxes(1, 2).reshape(len(x) * length, -1)
    )
    kind = "standard" if config.scale == "auto" and x.dtype != np.uint8 else config.scale
    return Scaling.fit(kind, moments, source.gaps).repeated(length)


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
        both = (in_memory(each, source.name, "all parts at once") for each in (source.x, source.x_test))
        x = np.concatenate([*both])
    clean = source.clean
    if clean is not None and source.test_clean is not None:
        clean = np.concatenate([clean, source.test_clean])
    return part_of_rows(x, y, np.arange(len(x)), scaling, clean)


def part_of_rows(
    x: Array, y: np.ndarray | None, rows: np.ndarray, scaling: Scaling, clean: np.ndarray | None = None
) -> Part:
    """The given rows, ascending; bytes are shared with x where they are all of them. With ``clean`` rows, as pairs."""
    labels = None if y is None else torch.from_numpy(y[rows])
    if isinstance(x, StoredArray) and clean is None:
        return Part(StoredRows(rows_at(x, rows), scaling), labels)
    x = in_memory(x, "rows")
    if clean is not None:
        return Part(PairedRows(_scaled(x, rows, scaling), _scaled(clean, rows, scaling, filled=False)), labels)
    if x.dtype == np.uint8 and scaling.of_bytes:
        raw = np.require(rows_at(x, rows), requirements=("C", "W"))
        return Part(ByteRows(torch.from_numpy(raw), scaling), labels)
    return Part(_scaled(x, rows, scaling), labels)


def _scaled(x: np.ndarray, rows: np.ndarray, scaling: Scaling, filled: bool = True) -> Tensor:
    scaled = torch.empty(len(rows), x.shape[1])
    whole = len(rows) == len(x)
    for piece in in_order(len(rows), max(1, CHUNK_CELLS // x.shape[1])):
        scaled[piece] = scaling.transform(x[piece] if whole else x[rows[piece]], filled)
    return scaled
