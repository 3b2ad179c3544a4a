"""Tables whose rows are the columns: genes, or bands, above one another, a column for each sample."""

from __future__ import annotations

import numpy as np

from stackae.data.tables.cells import numbers_of, texts_of
from stackae.data.tables.frame import Column, Frame
from stackae.errors import DataError


def transposed(frame: Frame) -> Frame:
    """The frame whose columns are the rows of this one, named by its first column, and whose rows are its others.

    Its first column, named as that of this one, or "sample", holds the names of these. Raises DataError for a table of
    one column, and where names are missing or not distinct.
    """
    first, *others = frame.columns
    names = texts_of(first).cells()
    if not others or "" in names or len({*names}) < len(names):
        got = "one column" if not others else "a name that is missing or there twice"
        raise DataError(
            f"{frame.name}: expected a table whose first column names the features, a row for each, got {got}; give "
            "each row a name of its own"
        )
    numbers, faulty = zip(*(numbers_of(column, frame) for column in others), strict=True)
    values = np.stack(numbers)
    mixed: np.ndarray = np.logical_or.reduce(faulty)
    samples = tuple(column.name for column in others)
    label = first.name or "sample"
    columns = [Column(label, "texts", np.arange(len(others), dtype=np.int32), samples)]
    texts = [texts_of(column) for column in others] if mixed.any() else []
    for row, name in enumerate(names):
        if mixed[row]:
            columns.append(
                _of_texts(name, [each.texts[each.codes[row]] if each.codes[row] >= 0 else "" for each in texts])
            )
        else:
            columns.append(Column(name, "numbers", values[:, row].copy()))
    return frame._replace(columns=tuple(columns), numbers=np.arange(len(others)), lines=None)


def _of_texts(name: str, cells: list[str]) -> Column:
    places: dict[str, int] = {}
    codes = [places.setdefault(cell, len(places)) if cell else -1 for cell in cells]
    return Column(name, "texts", np.array(codes, dtype=np.int32), tuple(places))
