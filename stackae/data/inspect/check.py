"""Whether pretraining would take the data, and what a person should know of them: what `stackae data check` says.

Formats with ``pieces`` are read in pieces and may be larger than the memory; a refusal is the reader's own sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stackae.config import DataConfig
from stackae.data.arrays.gaps import nothing_known, with_gaps
from stackae.data.formats import Format, is_named
from stackae.data.formats.bounded import opened
from stackae.data.formats.npy import about_shape
from stackae.data.inspect.examine import Examiner, Findings
from stackae.data.inspect.index_column import Counting, index_note
from stackae.data.inspect.parted import Parted, parted
from stackae.data.order.windows import over_time
from stackae.data.reading import file_of, read_file, read_named, read_table, reading
from stackae.data.scaling import checked_span
from stackae.data.source import CHUNK_CELLS, Source, checked, not_finite
from stackae.data.tables.columns import Encoding
from stackae.data.tables.fitting import check_fitted, surveyed
from stackae.data.tables.refusals import ragged
from stackae.data.tables.roles import roles_of
from stackae.data.tables.sources import looked_at
from stackae.errors import WHOLE, DataError, StackaeError, legible

READ = 0.9  # of the progress on a table: the rest is looking at its rows
Progress = Callable[[float], None]
"""Called now and then with the share of the data examined so far, 0 to 1."""


class Examined(NamedTuple):
    """A part of the data. counts holds the rows of each class, in the order of ``Report.classes``; None: no labels."""

    findings: Findings
    dtype: str
    counts: np.ndarray | None = None
    unlabelled: int = 0


class Report(NamedTuple):
    """What was found. refusal is "" where pretraining takes the data; training is None where they cannot be read.

    Of a table, ``encoding`` is what its columns are taken for; rows that are refused are not among those of training.
    ``parted`` says what samples pretraining makes of the rows that it takes, and in which parts they are.
    """

    data: str
    refusal: str
    training: Examined | None = None
    test: Examined | None = None
    classes: tuple[str, ...] = ()
    image_shape: tuple[int, ...] | None = None
    row_shape: tuple[int, ...] = ()
    column_names: tuple[str, ...] = ()
    ragged_rows: int = 0
    not_numbers: int = 0
    notes: tuple[str, ...] = ()
    encoding: Encoding | None = None
    parted: Parted | None = None


def check_data(config: DataConfig, progress: Progress = lambda share: None) -> Report:
    """Looks at all of ``config.data``; what the data lack is in the report, not raised.

    Raises ConfigError when a target column is named for data without columns, SetupError for a missing torchvision.
    """
    try:
        with reading(config):
            return _with_range_checked(_check(config, progress))
    except DataError as error:
        return Report(config.data, _text_of(error))


def _check(config: DataConfig, progress: Progress) -> Report:
    named = read_named(config)
    if named is not None:
        named = over_time(named, config)
        return _with_parts(_check_source(named, progress), named, config)
    if is_named(config.data):
        return _check_table(config, progress)
    place = file_of(config)
    whole = config.pixels or config.window or config.target is not None or config.missing in ("indicator", "drop")
    if place.format.pieces is None or whole:
        source = with_gaps(over_time(read_file(config, tell=progress), config), config)
        return _with_parts(_check_source(source, progress), source, config)
    return _check_array(place.path, place.format, config, progress)


def _with_parts(report: Report, source: Source, config: DataConfig) -> Report:
    """The report with what becomes of the rows of a source, where they are taken."""
    if report.refusal or source.x.ndim != 2:
        return report
    try:
        found = parted(source, config)
    except DataError as error:
        return report._replace(refusal=_text_of(error))
    return report._replace(parted=found, notes=(*report.notes, *found.notes))


def _check_source(source: Source, progress: Progress) -> Report:
    refusal = _refusal(lambda: checked(source))
    parts = [(source.x, source.y), (source.x_test, source.y_test)]
    total = sum(len(x) for x, _ in parts if x is not None)
    seen = 0
    examined: list[Examined | None] = []
    for x, y in parts:
        if x is None or x.ndim != 2 or x.size == 0:
            examined.append(None)
            continue
        examiner = Examiner(x.shape[1])
        step = max(1, CHUNK_CELLS // x.shape[1])
        for start in range(0, len(x), step):
            examiner.add(x[start : start + step])
            progress((seen + min(len(x), start + step)) / total)
        seen += len(x)
        examined.append(Examined(examiner.findings(), str(x.dtype), *_class_counts(y, len(source.classes))))
    training, test = examined
    notes = source.notes if training is None else (*source.notes, *index_note(source.x, source.column_names))
    return Report(
        source.name, refusal, training, test, classes=source.classes, image_shape=source.image_shape,
        row_shape=source.row_shape, column_names=source.column_names, notes=notes,
    )  # fmt: skip


def _class_counts(y: np.ndarray | None, classes: int) -> tuple[np.ndarray | None, int]:
    if y is None or y.ndim > 1:
        return None, 0
    return np.bincount(y[(y >= 0) & (y < classes)], minlength=classes), int((y < 0).sum())


def _check_array(path: Path, found: Format, config: DataConfig, progress: Progress) -> Report:
    with opened(path) as file:
        pieces = found.open_pieces(path, file)
        examiner, counting = Examiner(pieces.columns), Counting()
        for rows in pieces:
            examiner.add(rows)
            if pieces.columns > 1:
                counting.add(rows[:, 0])
            progress(pieces.share)
        findings = examiner.findings()
        refusal = _refusal(pieces.check_memory)
    refusal = refusal or _refusal_of_cells(str(path), findings, config)
    examined = Examined(findings, str(pieces.dtype))
    notes = (*about_shape(findings.rows, pieces.row_shape), *counting.note(()))
    report = Report(
        str(path), refusal, examined, image_shape=pieces.image_shape, row_shape=pieces.row_shape, notes=notes
    )
    rows = np.broadcast_to(np.uint8(0), (findings.rows, findings.columns))
    return _with_parts(report, Source(str(path), rows), config)


def _refusal_of_cells(name: str, findings: Findings, config: DataConfig) -> str:
    """What pretraining says of cells that are no finite 32-bit numbers, "" where it takes them."""
    if config.missing == "refuse":
        first, count = next(iter(findings.first_bad), None), findings.bad
    elif findings.nan + findings.infinite == findings.rows * findings.columns:
        return _text_of(nothing_known(name))
    else:
        first, count = findings.first_too_large, findings.too_large
    return "" if first is None else _text_of(not_finite(name, first.value, first.row, first.column, count))


def _check_table(config: DataConfig, progress: Progress) -> Report:
    """What pretraining says of the table, and what the rows hold that it could take, some rows at a time."""
    frame = read_table(config, lambda share: progress(READ * share))
    refusal = _text_of(ragged(frame)) if frame.bad_rows else ""
    report = Report(frame.name, refusal, ragged_rows=frame.bad_rows, notes=frame.notes)
    try:
        encoding, faults = surveyed(frame, config)
    except DataError as error:
        return report._replace(refusal=refusal or _text_of(error))
    refusal = refusal or _refusal(lambda: check_fitted(frame, encoding, faults))
    report = report._replace(refusal=refusal, encoding=encoding, column_names=encoding.names, not_numbers=len(faults))
    if not encoding.names:
        return report
    examiner, counting = Examiner(len(encoding.names)), Counting()

    def look(x: np.ndarray) -> None:
        examiner.add(x)
        counting.add(x[:, 0])
        progress(READ + (1 - READ) * examiner.rows / len(frame.numbers))

    try:
        source = looked_at(frame, encoding, roles_of(frame.name, frame.names, config).targets, config, look)
    except DataError as error:
        return report._replace(refusal=report.refusal or _text_of(error))
    findings = examiner.findings()._replace(first_bad=[])  # missing cells, which are no fault
    counts = _class_counts(source.y, len(source.classes))
    index = counting.note(source.column_names) if findings.columns > 1 else ()
    return _with_parts(
        report._replace(
            training=Examined(findings, "table", *counts),
            classes=source.classes,
            notes=(*source.notes, *index),
        ),
        source,
        config,
    )


def _with_range_checked(report: Report) -> Report:
    """Scaling refuses features whose range is no 32-bit number, where it would map them to [0, 1]."""
    if report.refusal or report.training is None or report.training.dtype == "uint8":
        return report
    low, high = report.training.findings.low, report.training.findings.high
    low, high = (np.where(low <= high, each, 0) for each in (low, high))  # a column without a known cell is 0
    if low.min() >= 0 and high.max() <= 1:
        return report
    return report._replace(refusal=_refusal(lambda: checked_span(low, high)))


def _text_of(error: StackaeError) -> str:
    """A line for each of the error's: newlines of names are escapes in it."""
    return "\n".join(legible(line, WHOLE) for line in error.lines)


def _refusal(read: Callable[[], object]) -> str:
    try:
        read()
    except DataError as error:
        return _text_of(error)
    return ""
