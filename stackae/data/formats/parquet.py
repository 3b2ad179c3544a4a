"""Parquet files by pyarrow: columns of numbers, booleans, times and texts; pages with a checksum are verified."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stackae.data.formats.bounded import opened
from stackae.data.memory import check_memory
from stackae.data.tables.frame import Column, Dialect, Frame, Stored
from stackae.data.text.columns import Columns
from stackae.data.text.dialects import missing_words
from stackae.data.text.names import names_of
from stackae.data.text.quick import Coded, Piece
from stackae.data.text.rows import MOST_COLUMNS
from stackae.errors import DataError, legible

BATCH_CELLS = 1 << 20
INDEX = re.compile(r"__index_level_\d+__")  # what pandas calls an index without a name
SECONDS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}  # units per second
DAY = 86_400.0


class _Kind(NamedTuple):
    """What a column is stored as, and how a batch of it is read."""

    stored: Stored
    read: Callable[[Any], np.ndarray | Coded]


def read_frame(path: Path, dialect: Dialect | None = None, tell: Callable[[float], None] = lambda share: None) -> Frame:
    """The columns of a Parquet file; of the dialect, only the words for missing texts matter.

    Raises DataError for a damaged file, for nested columns and those of bytes, by name, where there are no rows, and
    for more than the memory holds.
    """
    import pyarrow as pa

    with opened(path) as file:
        try:
            return _read(path, file, dialect or Dialect(), tell)
        except DataError:
            raise
        except (pa.ArrowException, OSError, ValueError, TypeError, RuntimeError, OverflowError) as error:
            raise DataError(
                f"{path}: expected a Parquet file, got damaged data ({legible(str(error), 200)}); save it again"
            ) from None


def _read(path: Path, file: Any, dialect: Dialect, tell: Callable[[float], None]) -> Frame:
    import pyarrow as pa
    from pyarrow import parquet

    options = {"memory_map": False, "pre_buffer": False, "page_checksum_verification": True}
    schema = parquet.ParquetFile(file, **options).schema_arrow
    if len(schema) > MOST_COLUMNS:
        raise DataError(f"{path}: expected at most {MOST_COLUMNS:,} columns, got {len(schema):,}; give fewer")
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    source = parquet.ParquetFile(file, read_dictionary=texts, **options)  # a long text that is repeated is held once
    metadata, kinds = source.metadata, _kinds(path, schema)
    places = [place for place, name in enumerate(schema.names) if not INDEX.fullmatch(name)]
    if not metadata.num_rows or not places:
        raise DataError(f"{path}: expected rows and columns, got none; give a file that holds data")
    largest = max(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    check_memory(str(path), 2 * 8 * metadata.num_rows * len(places) + max(0, largest))
    columns = Columns(
        len(schema), {place for place in places if kinds[place].stored == "texts"}, missing_words(dialect)
    )
    rows = 0
    for batch in source.iter_batches(max(1, min(1 << 16, BATCH_CELLS // len(schema))), use_threads=False):
        batch.validate(full=True)  # places in dictionaries, and UTF-8
        pieces = [kinds[place].read(batch.column(place)) for place in places]
        columns.add(places, Piece(pieces, batch.num_rows))
        rows += batch.num_rows
        check_memory(str(path), int(columns.held * (metadata.num_rows / max(1, rows))) - columns.held)
        tell(min(1.0, rows / metadata.num_rows))
    if rows != metadata.num_rows:
        raise DataError(f"{path}: expected {metadata.num_rows:,} rows, got {rows:,}; save it again")
    names, notes = names_of(path, schema.names, len(schema), False)
    made = tuple(_column(columns, place, names[place], kinds[place].stored) for place in places)
    if len(places) < len(schema):
        notes.append(f"{path}: the index of the DataFrame that was saved is left out; name it to keep it")
    return Frame(str(path), made, np.arange(rows), notes=tuple(notes))


def _column(columns: Columns, place: int, name: str, stored: Stored) -> Column:
    return columns.column(place, name)._replace(stored=stored)


def _kinds(path: Path, schema: Any) -> list[_Kind]:
    kinds = [kind_of(field.type) for field in schema]
    for field, kind in zip(schema, kinds, strict=True):
        if kind is None:
            raise DataError(
                f"{path}: expected columns of numbers, texts, booleans and times, got '{legible(field.name)}' of "
                f"{legible(str(field.type))}; save the table without it"
            )
    return [kind for kind in kinds if kind is not None]


def kind_of(kind: Any) -> _Kind | None:
    """How a column of this type of Arrow's is read; None for one of bytes, and for a nested one. No errors."""
    import pyarrow.types as types

    if types.is_dictionary(kind):
        inner = kind_of(kind.value_type)
        if inner is None or inner.stored == "texts":
            return inner
        return _Kind(inner.stored, lambda cells: inner.read(cells.dictionary_decode()))
    if types.is_string(kind) or types.is_large_string(kind):
        return _Kind("texts", _texts)
    if types.is_boolean(kind):
        return _Kind("booleans", _numbers)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind):
        return _Kind("numbers", _numbers)
    if types.is_timestamp(kind):
        return _Kind("times", lambda cells: _counts(cells, 64) / SECONDS[kind.unit])
    if types.is_date(kind):
        return _Kind("times", lambda cells: _counts(cells, kind.bit_width) * (DAY if kind.bit_width == 32 else 1e-3))
    if types.is_time(kind) or types.is_duration(kind):
        return _Kind("numbers", lambda cells: _counts(cells, kind.bit_width) / SECONDS[kind.unit])
    return None


def _numbers(cells: Any) -> np.ndarray:
    import pyarrow as pa

    values: np.ndarray = cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values


def _counts(cells: Any, bits: int) -> np.ndarray:
    """Whole numbers of a unit of time as float64, NaN where there is none."""
    import pyarrow as pa

    return _numbers(cells.cast(pa.int64() if bits == 64 else pa.int32()))


def _texts(cells: Any) -> Coded:
    """Those of a dictionary, with "" for what is missing."""
    coded = cells if hasattr(cells, "dictionary") else cells.dictionary_encode()
    texts = coded.dictionary.to_pylist()
    places = coded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    return Coded(places.astype(np.int32, copy=False), [text or "" for text in texts] + [""])
