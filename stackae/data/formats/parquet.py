"""Parquet files, and folders of them, by pyarrow: columns of numbers, booleans, times and texts.

Pages with a checksum are verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from stackae.data.formats.bounded import opened
from stackae.data.formats.shards import shards_of
from stackae.data.memory import check_memory
from stackae.data.spool.parts import PartFile, part_file
from stackae.data.spool.spooled import Origin
from stackae.data.stored.array import stays_on_disk
from stackae.data.tables.arrow import Gathered
from stackae.data.tables.frame import Dialect, Frame
from stackae.data.text.rows import MOST_COLUMNS
from stackae.errors import DataError, legible

BATCH_CELLS = 1 << 20
INDEX = "_metadata"  # what Dask and Spark write beside the shards: which they are
OPTIONS = {"memory_map": False, "pre_buffer": False, "page_checksum_verification": True}

Tell = Callable[[float], None]


class Shard(NamedTuple):
    """A file of a table, what it declares of columns and rows, and the bytes of its largest group of rows."""

    path: Path
    schema: Any
    rows: int
    largest: int


def read_frame(
    path: Path, dialect: Dialect | None = None, tell: Tell = lambda share: None, storage: str = "memory"
) -> Frame:
    """The columns of a Parquet file; of the dialect, only the words for missing texts matter. Columns are maps where
    their ``storage`` is on disk.

    Raises DataError for a damaged file, for nested columns and those of bytes, by name, where there are no rows, and
    for more than the memory or the disk holds.
    """
    return _read(path, [_declared(path)], dialect or Dialect(), tell, storage)


def read_shards(
    folder: Path, dialect: Dialect | None = None, tell: Tell = lambda share: None, storage: str = "memory"
) -> Frame:
    """The same of a folder of Parquet files, whose rows come one file after the other.

    Raises DataError too, by name, for files of other columns than the first, or without rows, and where one is missing
    that the index of the folder lists, or their numbers.
    """
    files, notes = shards_of(folder, ".parquet")
    _check_index(folder, files)
    shards = [_declared(path) for path in files]
    for each in shards[1:]:
        _check_same(shards[0], each)
    frame = _read(folder, shards, dialect or Dialect(), tell, storage)
    told = (f"{folder}: {len(files):,} Parquet files, {files[0].name} to {files[-1].name}",) if len(files) > 1 else ()
    return frame._replace(notes=(*told, *notes, *frame.notes))


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Whatever pyarrow says of a file is a DataError."""
    import pyarrow as pa

    try:
        yield
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise DataError(
            f"{path}: expected a Parquet file, got damaged data ({legible(str(error), 200)}); save it again"
        ) from None


def _declared(path: Path) -> Shard:
    """What a file says of itself. Raises DataError where that is damaged, or no table."""
    from pyarrow import parquet

    with opened(path) as file, _damage(path):
        source = parquet.ParquetFile(file, **OPTIONS)
        metadata, schema = source.metadata, source.schema_arrow
        if len(schema) > MOST_COLUMNS:
            raise DataError(f"{path}: expected at most {MOST_COLUMNS:,} columns, got {len(schema):,}; give fewer")
        if not metadata.num_rows or not len(schema):
            raise DataError(f"{path}: expected rows and columns, got none; give a file that holds data")
        largest = max(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
        return Shard(path, schema, metadata.num_rows, max(0, largest))


def _read(name: Path, shards: Sequence[Shard], dialect: Dialect, tell: Tell, storage: str) -> Frame:
    total, schema = sum(each.rows for each in shards), shards[0].schema
    needed = 2 * 8 * total * len(schema) + max(each.largest for each in shards)
    on_disk = stays_on_disk(storage, needed)
    with ExitStack() as stack:
        aside: PartFile | None = stack.enter_context(part_file(str(name))) if on_disk else None
        columns = Gathered(str(name), schema, dialect, "save the table without it", aside)
        if not columns.places:
            raise DataError(f"{name}: expected rows and columns, got none; give a file that holds data")
        if not on_disk:
            check_memory(str(name), needed)
        for each in shards:
            _gather(str(name), each, columns, total, tell)
        frame = columns.frame("DataFrame that was saved")
    origin = Origin(str(name), tuple(each.path for each in shards), asdict(dialect))
    return frame._replace(origin=origin if on_disk else None)


def _gather(name: str, shard: Shard, columns: Gathered, total: int, tell: Tell) -> None:
    """Add the rows of a file to the columns of a table of ``total`` rows."""
    import pyarrow as pa
    from pyarrow import parquet

    types, before = pa.types, columns.rows
    texts = [each.name for each in shard.schema if types.is_string(each.type) or types.is_large_string(each.type)]
    with opened(shard.path) as file, _damage(shard.path):
        source = parquet.ParquetFile(file, read_dictionary=texts, **OPTIONS)  # a text that is repeated is held once
        step = max(1, min(1 << 16, BATCH_CELLS // len(shard.schema)))
        for batch in source.iter_batches(step, use_threads=False):
            columns.add(batch)
            check_memory(name, int(columns.held * (total / max(1, columns.rows))) - columns.held)
            tell(min(1.0, columns.rows / total))
        if columns.rows - before != shard.rows:
            raise DataError(f"{shard.path}: expected {shard.rows:,} rows, got {columns.rows - before:,}; save it again")


def _check_same(first: Shard, other: Shard) -> None:
    """DataError, by name, for a shard with other columns than the first: their names, order and types."""
    one, two = ([(field.name, str(field.type)) for field in each.schema] for each in (first, other))
    if one == two:
        return
    place = next((place for place, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    wanted, got = (
        f"column {place + 1} '{legible(each[place][0])}' of {legible(each[place][1])}"
        if place < len(each)
        else f"{len(each):,} columns"
        for each in (one, two)
    )
    raise DataError(
        f"{other.path}: expected {wanted}, as in {first.path.name}, got {got}; save all with the same columns, or keep "
        "it in another folder"
    )


def _check_index(folder: Path, files: Sequence[Path]) -> None:
    """DataError, by name, for a file that the index of a folder lists, and that is not there."""
    from pyarrow import parquet

    path, there = folder / INDEX, {each.name for each in files}
    if not path.is_file():
        return
    with opened(path) as file, _damage(path):
        metadata = parquet.read_metadata(file)
        groups = (metadata.row_group(group) for group in range(metadata.num_row_groups))
        listed = {group.column(0).file_path for group in groups if group.num_columns}
    if lacking := sorted(name for name in listed if name and name not in there):
        raise DataError(
            f"{folder}: expected every file that {INDEX} lists, got none called {legible(lacking[0], 100)} "
            f"({len(lacking):,} are missing); fetch what is missing, or take {INDEX} away"
        )
