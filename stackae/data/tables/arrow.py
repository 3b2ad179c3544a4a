"""Tables of Arrow in memory, such as data frames: columns of numbers, booleans, times and texts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from stackae.data.spool.parts import PartFile
from stackae.data.tables.frame import Column, Dialect, Frame, Stored
from stackae.data.text.columns import Columns
from stackae.data.text.dialects import missing_words
from stackae.data.text.names import names_of
from stackae.data.text.quick import Coded, Piece
from stackae.errors import DataError, legible

INDEX = re.compile(r"__index_level_\d+__")  # what pandas calls an index without a name
SECONDS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}  # units per second
DAY = 86_400.0
STREAM = "__arrow_c_stream__"


class _Kind(NamedTuple):
    """What a column is stored as, and how a batch of it is read."""

    stored: Stored
    read: Callable[[Any], np.ndarray | Coded]


class Gathered:
    """The columns of a table of Arrow's, called ``name``, gathered from its batches.

    Of the dialect, only the words for missing texts matter. Cells lie ``aside`` where there is a file for them. Raises
    DataError, by name, for a column that is nested or of bytes; ``remedy`` says what to do.
    """

    def __init__(self, name: str, schema: Any, dialect: Dialect, remedy: str, aside: PartFile | None = None) -> None:
        self._name, self._schema, self.rows = name, schema, 0
        self._kinds = _kinds(name, schema, remedy)
        self.places = [place for place, column in enumerate(schema.names) if not INDEX.fullmatch(column)]
        texts = {place for place in self.places if self._kinds[place].stored == "texts"}
        self._columns = Columns(len(schema), texts, missing_words(dialect), aside)

    @property
    def held(self) -> int:
        """Bytes that the columns take so far."""
        return self._columns.held

    def add(self, batch: Any) -> None:
        """The next rows; ValueError or an exception of Arrow's where the batch is damaged."""
        batch.validate(full=True)  # places in dictionaries, and UTF-8
        pieces = [self._kinds[place].read(batch.column(place)) for place in self.places]
        self._columns.add(self.places, Piece(pieces, batch.num_rows))
        self.rows += batch.num_rows

    def frame(self, whose: str) -> Frame:
        """The whole table; an index that pandas has without a name, and that is left out, is that of the ``whose``."""
        names, notes = names_of(self._name, self._schema.names, len(self._schema), False)
        if len(self.places) < len(self._schema):
            notes.append(f"{self._name}: the index of the {whose} is left out; name it to keep it")
        made = tuple(self._column(place, names[place]) for place in self.places)
        return Frame(self._name, made, np.arange(self.rows), notes=tuple(notes))

    def _column(self, place: int, name: str) -> Column:
        return self._columns.column(place, name)._replace(stored=self._kinds[place].stored)


def is_frame(value: object) -> bool:
    """Whether the value is a data frame, by the protocol of Arrow or that of data frames."""
    return hasattr(value, STREAM) or hasattr(value, "__dataframe__")


def frame_of(name: str, value: Any, dialect: Dialect) -> Frame | None:
    """The columns of a data frame, without an index of pandas'; None where the value is none.

    Raises DataError, by name, for columns that are nested or of bytes, where objects of a column are of several types,
    and where there are no rows or columns.
    """
    if not is_frame(value):
        return None
    import pyarrow as pa
    from pyarrow import interchange

    try:
        table = pa.table(value) if hasattr(value, STREAM) else interchange.from_dataframe(value)
        index = (table.schema.pandas_metadata or {}).get("index_columns", ())
        table = table.drop_columns([each for each in index if isinstance(each, str)])
        columns = Gathered(name, table.schema, dialect, "leave it out, or make it one of these")
        for batch in table.to_batches():
            columns.add(batch)
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{name}: expected a data frame with columns of one type each, got {type(value).__name__} "
            f"({legible(str(error), 200)}); make each column numbers, texts, booleans or times"
        ) from None
    if not columns.rows or not columns.places:
        raise DataError(f"{name}: expected rows and columns, got none; give a data frame that holds data")
    return columns.frame(type(value).__name__)


def _kinds(name: str, schema: Any, remedy: str) -> list[_Kind]:
    kinds = [_kind_of(field.type) for field in schema]
    for field, kind in zip(schema, kinds, strict=True):
        if kind is None:
            raise DataError(
                f"{name}: expected columns of numbers, texts, booleans and times, got '{legible(field.name)}' of "
                f"{legible(str(field.type))}; {remedy}"
            )
    return [kind for kind in kinds if kind is not None]


def _kind_of(kind: Any) -> _Kind | None:
    """How a column of this type of Arrow's is read; None for one of bytes, and for a nested one. No errors."""
    import pyarrow.types as types

    if types.is_dictionary(kind):
        inner = _kind_of(kind.value_type)
        if inner is None or inner.stored == "texts":
            return inner
        return _Kind(inner.stored, lambda cells: inner.read(cells.dictionary_decode()))
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
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
    import pyarrow as pa

    coded = cells if hasattr(cells, "dictionary") else cells.cast(pa.large_string()).dictionary_encode()
    texts = coded.dictionary.to_pylist()
    places = coded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    return Coded(places.astype(np.int32, copy=False), [text or "" for text in texts] + [""])
