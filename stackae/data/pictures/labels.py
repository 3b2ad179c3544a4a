"""Labels of pictures from a table: which of its columns names them, which labels them, and what is missing where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from stackae.config import DataConfig
from stackae.data.formats import Place, table_of
from stackae.data.labels import classes_of_texts
from stackae.data.reading import dialect_of
from stackae.data.source import Source
from stackae.data.tables.cells import numbers_of, texts_of
from stackae.data.tables.frame import Frame
from stackae.data.tables.refusals import places_of
from stackae.data.tables.roles import listed, target_places
from stackae.data.targets import in_fewest_bits
from stackae.errors import DataError, argument, legible

USUAL = (
    "label",
    "labels",
    "class",
    "category",
    "target",
    "y",
)  # names of a column of labels, in letters of either case
SHOWN = 3


def labelled(source: Source, path: Path, config: DataConfig) -> Source:
    """The pictures of a folder with the labels that ``config.target``, the path of a table, has for them.

    One column of the table names pictures, as "cat/1.png", "1.png" or "1": the one in which most cells do. Labels are
    the column that is named, as FILE:COLUMN, or the only other one, or one that is called label, class, category,
    target or y. Raises DataError where there are none, where that is not clear, and for a picture with two labels.
    """
    place = table_of(config.target)
    assert place is not None, "a target that is no table is refused before"
    frame, (names,) = place.format.read_frame(place.path, dialect_of(config)), (names for _, names in source.ids)
    numbers = config.target_kind == "numbers"
    column, pictures = _naming(path, names, frame)
    places = _labelling(place, frame, column, numbers)
    rows = _rows_of(frame, pictures, places, len(names))
    classes: tuple[str, ...] = ()
    targets = tuple(frame.names[each] for each in places)
    if numbers:
        values = np.stack([_numbers(frame, each) for each in places], axis=1)
        y = in_fewest_bits(np.concatenate([values, np.full((1, len(places)), np.nan)]))[rows]
    else:
        classes, of_rows = classes_of_texts(frame.name, texts_of(frame.columns[places[0]]).cells())
        y, targets = np.append(of_rows, -1)[rows], ()
    count = len(source.x)
    unlabelled = [names[each] for each in np.flatnonzero(rows < 0).tolist()]
    strangers = [_cell(frame, column, row) for row in np.flatnonzero(pictures < 0).tolist()]
    notes = (
        *frame.notes,
        f"{frame.name}: '{legible(frame.names[column])}' names pictures, and "
        f"{listed([frame.names[each] for each in places])} labels them",
        *_told(strangers, "row of {} names", "rows of {} name", f"no picture of {path}", frame.name),
        *_told(
            unlabelled, "picture of {} is", "pictures of {} are", f"not in {frame.name}, without a label", str(path)
        ),
    )
    return source._replace(
        y=y[:count],
        y_test=None if source.x_test is None else y[count:],
        classes=classes,
        targets=targets,
        notes=(*source.notes, *notes),
    )


def _naming(path: Path, names: Sequence[str], frame: Frame) -> tuple[int, np.ndarray]:
    """The column that names pictures, and the picture (n,) of each of its cells, -1 where it names none."""
    known = _known_names(names)
    best, matches = -1, np.full(len(frame.numbers), -1)
    for place, column in enumerate(frame.columns):
        texts = texts_of(column)
        places = np.array([known.get(_path(text), -1) for text in texts.texts] + [-1])[texts.codes]
        if (places >= 0).sum() > (matches >= 0).sum():
            best, matches = place, places
    if best < 0:
        raise DataError(
            f"{frame.name}: expected a column of names of pictures, as {legible(names[0], 100)}, got none in "
            f"{listed(frame.names)}; give the table that belongs to {path}"
        )
    return best, matches


def _known_names(names: Sequence[str]) -> dict[str, int]:
    """The place of a picture by its path, by its name and by that without the suffix, where no other has that too."""
    known = {name: place for place, name in enumerate(names)}
    for shorter in (lambda path: path.name, lambda path: str(path.with_suffix("")), lambda path: path.stem):
        said = [shorter(PurePosixPath(name)) for name in names]
        counts = Counter(said)
        known = {each: place for place, each in enumerate(said) if counts[each] == 1} | known
    return known


def _path(text: str) -> str:
    return str(PurePosixPath(text.replace("\\", "/")))


def _labelling(place: Place, frame: Frame, naming: int, numbers: bool) -> tuple[int, ...]:
    if place.inside:
        return target_places(frame.name, frame.names, place.inside, numbers)
    others = [each for each in range(len(frame.columns)) if each != naming and frame.names[each]]
    usual = [each for each in others if frame.names[each].lower() in USUAL]
    if len(others) != 1 and len(usual) != 1:
        named = argument("target", f"{place.path}:{frame.names[others[0]] if others else 'COLUMN'}")
        raise DataError(
            f"{frame.name}: expected one column of labels beside '{legible(frame.names[naming])}', which names "
            f"pictures, got {listed([frame.names[each] for each in others]) or 'none'}; name it, as {named}"
        )
    return (others[0],) if len(others) == 1 else (usual[0],)


def _rows_of(frame: Frame, pictures: np.ndarray, places: Sequence[int], count: int) -> np.ndarray:
    """(count,) the row of each picture, -1 for none. Raises DataError where several rows say different things of it."""
    rows = np.full(count, -1)
    labels = [texts_of(frame.columns[each]).codes for each in places]
    for row in np.flatnonzero(pictures >= 0).tolist():
        before = int(rows[pictures[row]])
        if before >= 0 and any(codes[row] != codes[before] for codes in labels):
            first, second = places_of(frame, [before, row])
            raise DataError(f"{second}: expected one label per picture, got another than at {first}; keep one of them")
        rows[pictures[row]] = row
    return rows


def _numbers(frame: Frame, place: int) -> np.ndarray:
    values, faulty = numbers_of(frame.columns[place], frame)
    if faulty.any():
        text = _cell(frame, place, int(faulty.argmax()))
        raise DataError(
            f"{frame.name}: expected numbers in the column '{legible(frame.names[place])}', got '{legible(text)}'; "
            f"correct it, or leave out {argument('target_kind', 'numbers')}"
        )
    return values


def _cell(frame: Frame, column: int, row: int) -> str:
    return texts_of(frame.columns[column]).cells()[row] or "an empty cell"


def _told(names: Sequence[str], one: str, several: str, missing: str, where: str) -> tuple[str, ...]:
    """That so many rows or pictures are missing on the other side, with the first names."""
    if not names:
        return ()
    what = (one if len(names) == 1 else several).format(where)
    return (f"{len(names):,} {what} {missing}: {listed(names, SHOWN)}",)
