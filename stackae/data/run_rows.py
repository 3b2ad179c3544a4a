"""Rows that are read for a trained run: its own data, divided as they were, or others, in the order of its columns."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from stackae.config import DataConfig
from stackae.data.arrays.finite_rows import finite_rows
from stackae.data.arrays.gaps import for_run
from stackae.data.division import (
    LEFT_OUT,
    TEST,
    TRAIN,
    VALIDATION,
    Division,
    able_to_leave_out,
    sums_of,
    without_classes,
)
from stackae.data.formats import Tell, ignored, is_named, place_of, table_of
from stackae.data.loading import (
    Dataset,
    Part,
    dataset_of,
    part_of_rows,
    samples,
    scaled_rows,
    without_background,
)
from stackae.data.order.known_rows import parts_by_content
from stackae.data.order.places import Places, RowOrder
from stackae.data.order.windows import over_time
from stackae.data.pictures.of_runs import as_trained
from stackae.data.provenance import Known, KnownData, check_width, matched
from stackae.data.reading import OF_TABLES, check_columns_named, read_file, read_named, read_table, reading
from stackae.data.rows import Rows
from stackae.data.run_notes import changed, of_bad_rows, of_labels, repeated, seen, which_rows
from stackae.data.scaling import Scaling
from stackae.data.source import BadRow, Source
from stackae.data.tables.columns import Encoding
from stackae.data.tables.sources import encoded
from stackae.errors import DataError, argument

PARTS = {"test": TEST, "validation": VALIDATION, "train": TRAIN}  # in the order in which they are looked at


class RowsRead(NamedTuple):
    """Rows for a run, of the named part: x and y as ``Part`` has them, scaled as its own, in the order of its columns.

    numbers (n,) int64 are those of the rows in the file, from 0: a set's own test part follows its training part in
    ``all``, and counts from 0 as ``test``. ``bad`` are the first rows that were left out, ``bad_rows`` says how many.
    which says which rows they are, as "200 test rows of FILE"; notes are sentences that a person should read. ``own``
    are the run's own data; y indexes ``classes``, or has a column for each of ``targets``.
    ``places`` are where they lie, of windows and of rows in groups; ``ids`` are named cells of each row that are no
    features, and ``encoding`` says how the columns of a table became features.
    ``content`` is the SHA-256 of the sums of all rows in the file; ``again`` reads the same rows in another process.
    """

    name: str
    part: str
    x: Rows
    y: Tensor | None
    numbers: np.ndarray
    which: str
    own: bool
    classes: tuple[str, ...]
    targets: tuple[str, ...]
    column_names: tuple[str, ...]
    image_shape: tuple[int, ...] | None
    places: Places | None = None
    bad: tuple[BadRow, ...] = ()
    bad_rows: int = 0
    notes: tuple[str, ...] = ()
    ids: tuple[tuple[str, list[str]], ...] = ()
    encoding: Encoding | None = None
    content: str = ""
    again: Callable[[], RowsRead] | None = None

    @property
    def beside(self) -> list[tuple[str, np.ndarray | Sequence[str]]]:
        """What stands beside each row in what is written: its number, ids, of a window where it begins, and groups."""
        told = [] if self.places is None else self.places.told(np.arange(len(self.numbers)))
        return [("row", self.numbers), *self.ids, *told]

    @property
    def xy(self) -> Part:
        return Part(self.x, self.y)


class SourceRead(NamedTuple):
    """A checked source, the numbers of its rows and of its own test part, what was left out, and how many rows there
    are before the test part and in all."""

    source: Source
    numbers: np.ndarray
    test_numbers: np.ndarray
    bad: list[BadRow]
    bad_rows: int
    before_test: int
    notes: tuple[str, ...]

    @property
    def every_number(self) -> np.ndarray:
        return np.concatenate([self.numbers, self.before_test + self.test_numbers])


def read_rows(
    config: DataConfig,
    known: Known,
    scaling: Scaling,
    part: str | None = None,
    *,
    target_given: bool = False,
    data_given: bool = False,
    own_test: bool = False,
    tell: Tell = ignored,
) -> RowsRead:
    """The rows that a command looks at: all, or a part of them. Rows with cells that cannot be read are left out.

    ``part`` is test, validation, train or all; without it, of the run's own data the first of those that has rows, and
    all of other data, or their own test part where they have one and ``own_test``. Own data are divided as they were
    when the run was trained: a row that was trained on is never a test row. A target column is taken where it is there,
    and must be where ``target_given``. ``tell`` is told the share of the file that is read.

    Raises:
        DataError: what load_source raises, but for bad rows only where no others are there; a column of the run that
            is missing; own data none of whose rows the run has seen, which are other data where ``data_given``.
    """
    read = read_source(config, known, target_given, scaling, tell)
    own, division, notes = _divided(read, config, known, data_given)
    source, name = without_background(read.source, config), part or (None if own is not None else "all")
    if own is None and own_test and source.x_test is not None:
        found = scaled_rows(
            source._replace(x=source.x_test, y=source.y_test, clean=source.test_clean, x_test=None), scaling
        )
        return _rows_read(read, own, division.sums, "test", found, read.test_numbers, notes)
    if name == "all":
        found = scaled_rows(source, scaling)
        return _rows_read(read, own, division.sums, "all", found, read.every_number, notes)
    if name is None:
        name = next((name for name, number in PARTS.items() if (division.parts == number).any()), "test")
    count = len(source.x)
    if name == "test" and own is not None:
        notes = (*notes, *repeated(source.name, division))
    if name == "test" and source.x_test is not None:
        chosen = division.rows_of(TEST, count, len(division.parts)) - count
        found = part_of_rows(source.x_test, source.y_test, chosen, scaling, source.test_clean)
        return _rows_read(read, own, division.sums, name, found, read.test_numbers[chosen], notes)
    chosen = division.rows_of(PARTS[name], 0, count)
    found = part_of_rows(source.x, source.y, chosen, scaling, source.clean)
    return _rows_read(read, own, division.sums, name, found, read.numbers[chosen], notes)


def read_dataset(
    config: DataConfig,
    known: Known,
    scaling: Scaling,
    *,
    target_given: bool = False,
    data_given: bool = False,
    tell: Tell = ignored,
) -> Dataset:
    """Training, validation and test parts for a run to be trained further on: a row that it was pretrained on, or
    tested on, keeps its part, new rows are divided as any are. Raises what ``read_rows`` raises."""
    known = known._replace(finetuning=None)
    read = read_source(config, known, target_given, scaling, tell)
    _, division, notes = _divided(read, config, known, data_given)
    notes = (*read.notes, *notes, *repeated(read.source.name, division))
    if read.source.y is None:
        config = config.model_copy(update={"target": None, "leave_out": None})
    return dataset_of(read.source, config, division, scaling)._replace(notes=notes)


def read_source(config: DataConfig, known: Known, target_given: bool, scaling: Scaling, tell: Tell) -> SourceRead:
    """All rows in their own units, in the order of the run's columns; missing cells are left to the scaling where it
    fills them. Raises what ``read_rows`` raises, ConfigError where a target is given for data without columns."""
    table, fills = is_named(config.data), scaling.fill is not None
    if not table:
        place = place_of(config.data)
        of_pictures = place is not None and place.format.pictures and table_of(config.target) is not None
        may_have = target_given or of_pictures or (place is not None and place.format.store is not None)  # an array
        config = config.model_copy(update=dict.fromkeys(OF_TABLES if may_have else ("target", *OF_TABLES)))
    check_columns_named(config)
    with reading(config):
        if table:
            frame = read_table(config, tell, known.dialect(config))
            encoding, targets, notes = matched(frame, config, known, target_given)
            source, kept, bad, count = encoded(frame, encoding, targets, config, fills)
            none, total = np.zeros(0, dtype=np.int64), len(kept) + count
            notes, source = (*frame.notes, *notes, *source.notes), source._replace(notes=())
        else:
            raw = read_named(config) or read_file(config, target_given, tell)
            raw = over_time(as_trained(raw, config, scaling), config)
            if config.target_kind == "numbers" and raw.classes:
                raw = raw._replace(y=None, y_test=None, classes=())
            source, kept, none, bad, count = finite_rows(raw, fills)
            source = for_run(source, known.pretraining.encoding, config) if fills else source
            notes, total = source.notes, len(raw.x)
            source = source._replace(order=RowOrder(kept), notes=()) if config.window else source
        rows = count + len(kept) + len(none)
        source = samples(source, config)
        if config.window is not None:
            notes, kept, total = (*notes, *source.notes), np.arange(len(source.x)), len(source.x)
            none = np.arange(0 if source.x_test is None else len(source.x_test))
        if not table:
            image = source.image_shape is not None or source.x.dtype == np.uint8
            notes = (*notes, *check_width(source.name, source.x.shape[1], known, image))
        read = SourceRead(source, kept, none, bad, count, total, notes)
        return read._replace(notes=(*notes, *of_bad_rows(source.name, bad, count, rows)))


def _divided(
    read: SourceRead, config: DataConfig, known: Known, data_given: bool
) -> tuple[KnownData | None, Division, tuple[str, ...]]:
    """The training whose data these are, if any; the part of each row; and what there is to say of it."""
    source, own = read.source, known.own(config)
    sums = sums_of(source)
    config = able_to_leave_out(source, config)
    trainings = sorted(known.trainings, key=lambda each: each is not own)
    same = next((each for each in trainings if _has(each, sums)), None)
    if same is not None and same.division is not None:
        parts = same.division.parts
        if config.leave_out != same.config.leave_out and source.y is not None:
            parts = without_classes(source, config, parts & (LEFT_OUT - 1))
        division = Division(sums, parts)
        return own, division, of_labels(source, config, own) if own is same else seen(source.name, sums, [division])
    divisions = [each.division for each in trainings if each.division is not None]
    parts, change = parts_by_content(source, config, sums, divisions)
    division = Division(sums, parts)
    if own is None or (data_given and own.division is not None and not change.known):
        return None, division, seen(source.name, sums, divisions)
    if own.division is None:
        unchecked = (
            f"{source.name}: {known.name} keeps no record of its rows, as an older run: whether they are still the "
            "same cannot be checked"
        )
        return own, division, (unchecked,)
    if not change.known:
        raise DataError(
            f"{source.name}: expected rows that {known.name} was trained on, got {len(sums):,} others; name the file "
            f"by {argument('data')} to look at all of its rows, or train a new run on them"
        )
    return own, division, (changed(source.name, own, change.gone, change.new, change.new_test),)


def _has(training: KnownData, sums: np.ndarray) -> bool:
    return training.division is not None and np.array_equal(training.division.sums, sums)


def _rows_read(
    read: SourceRead,
    own: KnownData | None,
    sums: np.ndarray,
    name_of_part: str,
    part: Part,
    numbers: np.ndarray,
    notes: tuple[str, ...],
) -> RowsRead:
    source, count = read.source, len(numbers)
    of_test = name_of_part == "test" and source.x_test is not None
    counted = numbers + read.before_test * of_test
    places = np.searchsorted(read.every_number, counted).tolist() if source.ids else []
    windows = source.places is not None and source.places.length > 1
    which = which_rows(source.name, name_of_part, count, read.bad_rows, windows)
    return RowsRead(
        source.name,
        name_of_part,
        *part,
        numbers,
        which,
        own is not None,
        source.classes,
        source.targets,
        source.column_names,
        source.image_shape,
        _places_of(read, name_of_part, numbers),
        tuple(read.bad),
        read.bad_rows,
        (*read.notes, *notes),
        tuple((name, [cells[place] for place in places]) for name, cells in source.ids),
        source.encoding,
        hashlib.sha256(np.ascontiguousarray(sums).data).hexdigest(),
    )


def _places_of(read: SourceRead, name_of_part: str, numbers: np.ndarray) -> Places | None:
    """Where the rows with these numbers lie."""
    source = read.source
    if source.places is None:
        return None
    if name_of_part == "test" and source.test_places is not None:
        return source.test_places.of(np.searchsorted(read.test_numbers, numbers))
    both = source.places if source.test_places is None else source.places.joined(source.test_places)
    return both.of(np.searchsorted(read.every_number, numbers))
