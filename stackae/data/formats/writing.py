"""Tables that are written to files piece by piece: a row per row of the data, in the format that the suffix names."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np

from stackae.data.formats import listed
from stackae.data.tables.columns import Encoding
from stackae.data.tables.encoding import columns_of, decoded
from stackae.errors import ConfigError, DataError, legible

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_CELLS = 1 << 20  # of a row group of Parquet, about
MOST_NAMED = 5  # rows
OUTSIDE = "values far outside those that the run was trained on overflow: correct or remove them"
T = TypeVar("T")
Progress = Callable[[float], None]
Cells = np.ndarray | Sequence[str]
"""One column (n,): numbers, masked where they are missing, or texts."""


class Sink(Protocol):
    """A file that is written from its beginning to its end."""

    def write(self, content: Any, /) -> int: ...


class Piece(NamedTuple):
    """Some rows of a table: values (m, k), and named columns of m cells that stand before them, where columns have
    names."""

    values: np.ndarray
    beside: Sequence[tuple[str, Cells]] = ()


class Pieces(Protocol):
    """The pieces of a table in their order, which processes may make side by side."""

    def each(self, work: Callable[[Piece], T]) -> Iterator[T]:
        """Yield work(piece) of each; where it is made by another process, nothing of the piece but that comes here."""
        ...


class Here(NamedTuple):
    """Pieces that this process makes."""

    pieces: Iterable[Piece]

    def each(self, work: Callable[[Piece], T]) -> Iterator[T]:
        """Yield work(piece) of each."""
        return map(work, self.pieces)


class Table(NamedTuple):
    """``rows`` rows of k values, with k names, in pieces, of which the first has rows if any has.

    With an ``encoding``, the values are features, and the columns that they stand for are written in their place, where
    columns have names.
    """

    names: Sequence[str]
    rows: int
    pieces: Pieces
    encoding: Encoding | None = None


def write_text(table: Table, file: Sink, progress: Progress = lambda share: None, delimiter: str = ",") -> None:
    """A header line, then a line per row, in UTF-8: each number in the fewest digits that read as the same number.

    ``progress`` is called with the share done so far, 0 to 1.
    """
    done = 0
    for number, (header, lines, rows) in enumerate(table.pieces.each(partial(_text, table, delimiter))):
        file.write(lines if number else header + lines)
        done += rows
        progress(done / max(1, table.rows))


def _text(table: Table, delimiter: str, piece: Piece) -> tuple[bytes, bytes, int]:
    """The header, the lines of a piece, and how many they are."""
    columns = [] if table.encoding is None else decoded(table.encoding, piece.values)
    before = [*piece.beside, *columns]
    values = piece.values if table.encoding is None else piece.values[:, :0]
    header = [*(name for name, _ in before), *(table.names if table.encoding is None else ())]
    lines = values.astype("U").tolist()
    if before:
        beside = (cells.tolist() if isinstance(cells, np.ndarray) else cells for _, cells in before)
        lines = [[*cells, *line] for cells, line in zip(zip(*beside, strict=True), lines, strict=True)]
    return _lines([header], delimiter), _lines(lines, delimiter), len(piece.values)


def _lines(lines: Iterable[Sequence[object]], delimiter: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(lines)
    return text.getvalue().encode(errors="backslashreplace")


def write_npy(table: Table, file: Sink, progress: Progress = lambda share: None) -> None:
    """The values alone, (n, k) in their type; ``progress`` is called with the share done so far, 0 to 1."""
    done = 0
    for number, values in enumerate(table.pieces.each(_values)):
        if not number:
            description = np.lib.format.dtype_to_descr(values.dtype)
            shape = (table.rows, *values.shape[1:])
            header = {"descr": description, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        file.write(values.data)
        done += len(values)
        progress(done / max(1, table.rows))


def _values(piece: Piece) -> np.ndarray:
    return np.ascontiguousarray(piece.values)


def write_parquet(table: Table, file: Sink, progress: Progress = lambda share: None) -> None:
    """Columns by name, numbers and times in their types, texts as texts; pages have checksums.

    Raises DataError where two columns have one name, which readers could not tell apart. ``progress`` is called with
    the share done so far, 0 to 1.
    """
    from pyarrow import concat_tables, parquet

    done, writer = 0, None
    group: list[pa.Table] = []
    for columns, rows in table.pieces.each(partial(_arrow, table)):
        group.append(columns)
        writer = writer or parquet.ParquetWriter(file, group[0].schema, write_page_checksum=True)
        if sum(map(len, group)) * group[0].num_columns >= GROUP_CELLS:
            writer.write_table(concat_tables(group))
            group.clear()
        done += rows
        progress(done / max(1, table.rows))
    if writer is not None:
        if group:
            writer.write_table(concat_tables(group))
        writer.close()


def _arrow(table: Table, piece: Piece) -> tuple[pa.Table, int]:
    """The columns of a piece, and its rows; DataError where two have one name."""
    import pyarrow as pa

    of_values = zip(table.names, piece.values.T, strict=True)
    columns = of_values if table.encoding is None else columns_of(table.encoding, piece.values).items()
    found: dict[str, pa.Array] = {}
    for name, cells in (*piece.beside, *columns):
        name = _encodable(name)
        if name in found:
            raise DataError(
                f"columns: expected names that differ, got '{legible(name)}' twice; write a text, which may have that"
            )
        if isinstance(cells, np.ndarray) and cells.dtype.kind != "U":
            missing = np.ma.getmaskarray(cells) if isinstance(cells, np.ma.MaskedArray) else None
            found[name] = pa.array(np.ma.getdata(cells), mask=missing)
        else:
            found[name] = pa.array(map(_encodable, cells), pa.string())
    return pa.table(found), len(piece.values)


def _encodable(text: object) -> str:
    """A text as UTF-8 can hold it."""
    return str(text).encode(errors="backslashreplace").decode()


def suffix_of(option: str, path: Path, suffixes: Collection[str]) -> str:
    """The suffix of the file that an option names, in lower case, which says what is written.

    Raises:
        ConfigError: it is none of these.
    """
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        raise ConfigError(
            f"{option}: expected a name that ends in {listed(suffixes)}, got {legible(path.name, 100)}; the "
            "suffix is the format of the file: change it"
        )
    return suffix


class Finite:
    """A check that all values of a table are finite numbers, piece by piece."""

    def __init__(self, what: str, rows: Sequence[int] | np.ndarray | None = None, why: str = OUTSIDE) -> None:
        """``rows`` are the numbers of all rows, else 0 to n-1. ``what`` they are begins the sentence of the error, and
        ``why`` with the remedy ends it."""
        self._what, self._rows, self._why = what, rows, why
        self._first, self._bad, self._start = list[int](), 0, 0

    def add(self, found: BadRows) -> None:
        """Add what ``bad_rows`` found in the next piece."""
        self._first += [self._start + place for place in found.first[: MOST_NAMED - len(self._first)]]
        self._bad, self._start = self._bad + found.bad, self._start + found.rows

    def end(self) -> None:
        """Raise DataError where some values of the pieces are no finite numbers."""
        if self._bad:
            named = [index if self._rows is None else int(self._rows[index]) for index in self._first]
            more = f" and {self._bad - len(named):,} more" if self._bad > len(named) else ""
            raise DataError(
                f"{self._what}: expected finite numbers, got NaN or infinities for row {', '.join(map(str, named))}"
                f"{more} (counted from 0); {self._why}"
            )


class BadRows(NamedTuple):
    """The first places in a piece of rows that hold what is no finite number, how many there are, and its rows."""

    first: list[int]
    bad: int
    rows: int


def bad_rows(values: np.ndarray) -> BadRows:
    """Find the rows of values (m, k) that hold what is no finite number."""
    places = np.flatnonzero(~np.isfinite(values).all(axis=1))
    return BadRows(places[:MOST_NAMED].tolist(), len(places), len(values))
