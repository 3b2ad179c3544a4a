"""Missing cells of arrays, NaN and infinite ones: filled, marked, masked, or left out with their rows, as of tables."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from stackae.config import DataConfig
from stackae.data.order.places import RowOrder
from stackae.data.source import Source, in_memory, row_type
from stackae.data.stored.array import Array, StoredArray, pieces, rows_at
from stackae.data.tables.columns import Encoding, Taken
from stackae.data.tables.notes import about_dropped, about_filled
from stackae.errors import DataError, argument


class Absent(NamedTuple):
    """How many cells of each column (d,) are missing, and which rows (n,) have one."""

    columns: np.ndarray
    rows: np.ndarray


def with_gaps(source: Source, config: DataConfig) -> Source:
    """The source of an array to be trained on, with its missing cells as ``config.missing`` says, and notes of them.

    They become NaN, which the scaling fills; with ``indicator`` each column that has some is followed by one that is 1
    where its cell is missing, named as those of a table whose columns are x0, x1, ...; with ``drop`` their rows are
    left out. Raises DataError where no cell of a part is known, or where no row is left.
    """
    parts = [x for x in (source.x, source.x_test) if x is not None]
    if config.missing == "refuse" or not all(x.ndim == 2 and x.dtype.kind == "f" for x in parts):
        return source
    found = [_absent(x) for x in parts]
    if not any(each.rows.any() for each in found) or len({x.shape[1] for x in parts}) > 1:
        return source
    for x, each in zip(parts, found, strict=True):
        if each.columns.sum() == x.size:
            raise nothing_known(source.name)
    columns = [
        Taken(f"x{place}", "number", "an array", missing=count, indicator=config.missing == "indicator" and count > 0)
        for place, count in enumerate(np.sum([each.columns for each in found], axis=0).tolist())
    ]
    if config.missing == "drop":
        left = _without(source, found, config)
        dropped = sum(int(each.rows.sum()) for each in found)
        return left._replace(notes=(*source.notes, *about_dropped(source.name, columns, dropped)))
    if config.missing == "indicator":
        source = _marked(source, Encoding(tuple(columns)))
    told = () if config.missing == "mask" else about_filled(source.name, columns)
    return _as_nan(source)._replace(gaps=True, notes=(*source.notes, *told))


def for_run(source: Source, encoding: Encoding | None, config: DataConfig) -> Source:
    """Rows of an array for a run whose scaling fills missing cells: NaN where they are, with notes of them.

    They have the features of its encoding, where that has indicators and the array a number for each other feature;
    else they are taken for all features as they stand. Raises DataError where no cell of the rows is known.
    """
    x, columns = source.x, [] if encoding is None else encoding.featured
    if x.ndim != 2 or x.dtype.kind not in "buif":
        return source
    counts = _absent(x).columns
    if counts.sum() == x.size > 0:
        raise nothing_known(source.name)
    same = x.shape[1] == len(columns)
    named = columns if same else [Taken(f"x{place}", "number", "an array") for place in range(x.shape[1])]
    gaps = [replace(each, missing=count) for each, count in zip(named, counts.tolist(), strict=True)]
    told = () if config.missing == "mask" else about_filled(source.name, gaps)
    alone = same and all(each.width - each.indicator == 1 for each in columns)
    if encoding is not None and alone and any(each.indicator for each in columns):
        source = _marked(source, encoding)
    return _as_nan(source)._replace(gaps=True, notes=(*source.notes, *told))


def _as_nan(source: Source) -> Source:
    """The source whose infinite cells are NaN, which is missing."""
    test = None if source.x_test is None else _without_infinite(source.x_test)
    return source._replace(x=_without_infinite(source.x), x_test=test)


def _without_infinite(x: Array) -> Array:
    if x.dtype.kind != "f":
        return x
    if isinstance(x, StoredArray):
        return x.without_infinite()
    return np.where(np.isinf(x), np.nan, x) if np.isinf(x).any() else x


def nothing_known(name: str) -> DataError:
    """The error of an array of nothing but missing cells."""
    return DataError(f"{name}: expected cells that are numbers, got none but missing ones; give rows that hold some")


def _absent(x: Array) -> Absent:
    columns, rows = np.zeros(x.shape[1], dtype=np.int64), np.zeros(len(x), dtype=bool)
    for start, piece in pieces(x):
        missing = ~np.isfinite(piece)
        columns += missing.sum(axis=0)
        rows[start : start + len(piece)] = missing.any(axis=1)
    return Absent(columns, rows)


def _without(source: Source, found: list[Absent], config: DataConfig) -> Source:
    """The rows without missing cells."""
    kept = [np.flatnonzero(~each.rows) for each in found]
    if not all(map(len, kept)):
        raise DataError(
            f"{source.name}: expected rows without missing cells, got none; use {argument('missing', 'mean')}"
        )
    first, last = kept[0], kept[-1]
    changed = source._replace(
        x=rows_at(source.x, first), y=_rows(source.y, source.x, first), clean=_rows(source.clean, source.x, first)
    )
    if source.x_test is not None:
        x, y, clean = source.x_test, source.y_test, source.test_clean
        changed = changed._replace(x_test=rows_at(x, last), y_test=_rows(y, x, last), test_clean=_rows(clean, x, last))
    return changed._replace(order=RowOrder(first)) if config.window else changed


def _rows(values: np.ndarray | None, x: Array, kept: np.ndarray) -> np.ndarray | None:
    """Those of the rows that are kept; what does not fit the rows stays, to be refused as such."""
    return values if values is None or len(values) != len(x) else values[kept]


def _marked(source: Source, encoding: Encoding) -> Source:
    """The source whose features are those of an encoding with one number, and perhaps an indicator, per column."""
    x, clean = in_memory(source.x, source.name, argument("missing", "indicator")), source.clean
    found = source._replace(x=_beside(x, x, encoding), clean=None if clean is None else _beside(clean, x, encoding))
    if source.x_test is not None:
        x_test = in_memory(source.x_test, source.name, argument("missing", "indicator"))
        clean = source.test_clean
        clean = None if clean is None else _beside(clean, x_test, encoding)
        found = found._replace(x_test=_beside(x_test, x_test, encoding), test_clean=clean)
    return found._replace(encoding=encoding, column_names=encoding.names, image_shape=None, row_shape=())


def _beside(values: np.ndarray, x: np.ndarray, encoding: Encoding) -> np.ndarray:
    """The columns of values (n, d), each followed by the indicator that it has, of the cells missing in x (n, d)."""
    indicated = np.array([each.indicator for each in encoding.featured])
    places = np.arange(len(indicated)) + np.cumsum(indicated) - indicated
    found = np.empty((len(values), len(encoding.names)), dtype=np.promote_types(row_type(values.dtype), np.float32))
    found[:, places] = values
    found[:, places[indicated] + 1] = ~np.isfinite(x[:, indicated])
    return found
