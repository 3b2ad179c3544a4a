"""Tables that are written to files piece by piece: a row per row of the data, in the format that the suffix names."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

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


class Table(NamedTuple):
    """``rows`` rows of k values, with k names, in pieces, of which the first has rows if any has.

    With an ``encoding``, the values are features, and the columns that they stand for are written in their place, where
    columns have names.
    """

    names: Sequence[str]
    rows: int
    pieces: Iterable[Piece]
    encoding: Encoding | None = None


def write_text(table: Table, file: Sink, progress: Progress = lambda share: None, delimiter: str = ",") -> None:
    """A header line, then a line per row, in UTF-8: each number in the fewest digits that read as the same number.

    ``progress`` is called with the share done so far, 0 to 1.
    """
    done, text = 0, io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    for number, piece in enumerate(table.pieces):
        columns = [] if table.encoding is None else decoded(table.encoding, piece.values)
        before = [*piece.beside, *columns]
        values = piece.values if table.encoding is None else piece.values[:, :0]
        if not number:
            writer.writerow([*(name for name, _ in before), *(table.names if table.encoding is None else ())])
        lines = values.astype("U").tolist()
        if before:
            beside = (cells.tolist() if isinstance(cells, np.ndarray) else cells for _, cells in before)
            lines = [[*cells, *line] for cells, line in zip(zip(*beside, strict=True), lines, strict=True)]
        writer.writerows(lines)
        file.write(text.getvalue().encode(errors="backslashreplace"))
        text.seek(0)
        text.truncate()
        done += len(piece.values)
        progress(done / max(1, table.rows))


def write_npy(table: Table, file: Sink, progress: Progress = lambda share: None) -> None:
    """The values alone, (n, k) in their type; ``progress`` is called with the share done so far, 0 to 1."""
    done = 0
    for number, piece in enumerate(table.pieces):
        if not number:
            description = np.lib.format.dtype_to_descr(piece.values.dtype)
            shape = (table.rows, *piece.values.shape[1:])
            header = {"descr": description, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        file.write(np.ascontiguousarray(piece.values).data)
        done += len(piece.values)
        progress(done / max(1, table.rows))


def write_parquet(table: Table, file: Sink, progress: Progress = lambda share: None) -> None:
    """Columns by name, numbers and times in their types, texts as texts; pages have checksums.

    Raises DataError where two columns have one name, which readers could not tell apart. ``progress`` is called with
    the share done so far, 0 to 1.
    """
    from pyarrow import concat_tables, parquet

    done, writer = 0, None
    group: list[pa.Table] = []
    for piece in table.pieces:
        group.append(_arrow(table, piece))
        writer = writer or parquet.ParquetWriter(file, group[0].schema, write_page_checksum=True)
        if sum(map(len, group)) * group[0].num_columns >= GROUP_CELLS:
            writer.write_table(concat_tables(group))
            group.clear()
        done += len(piece.values)
        progress(done / max(1, table.rows))
    if writer is not None:
        if group:
            writer.write_table(concat_tables(group))
        writer.close()


def _arrow(table: Table, piece: Piece) -> pa.Table:
    """The columns of a piece; DataError where two have one name."""
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
    return pa.table(found)


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


def finite(
    what: str, pieces: Iterable[np.ndarray], rows: Sequence[int] | np.ndarray | None = None, why: str = OUTSIDE
) -> Iterator[np.ndarray]:
    """The same pieces (m, k) of values; DataError after the last one where some hold what is no finite number.

    ``rows`` are the numbers of all rows, else 0 to n-1. ``what`` they are begins the sentence, and ``why`` with the
    remedy ends it.
    """
    first, bad, start = list[int](), 0, 0
    for values in pieces:
        places = np.flatnonzero(~np.isfinite(values).all(axis=1))
        first += [int(start + place) for place in places[: MOST_NAMED - len(first)]]
        bad, start = bad + len(places), start + len(values)
        yield values
    if bad:
        named = [index if rows is None else int(rows[index]) for index in first]
        more = f" and {bad - len(named):,} more" if bad > len(named) else ""
        raise DataError(
            f"{what}: expected finite numbers, got NaN or infinities for row {', '.join(map(str, named))}{more} "
            f"(counted from 0); {why}"
        )
