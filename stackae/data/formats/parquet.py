"""Parquet files by pyarrow: columns of numbers, booleans, times and texts; pages with a checksum are verified."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stackae.data.formats.bounded import opened
from stackae.data.memory import check_memory
from stackae.data.tables.arrow import Gathered
from stackae.data.tables.frame import Dialect, Frame
from stackae.data.text.rows import MOST_COLUMNS
from stackae.errors import DataError, legible

BATCH_CELLS = 1 << 20


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
    metadata, columns = source.metadata, Gathered(str(path), schema, dialect, "save the table without it")
    if not metadata.num_rows or not columns.places:
        raise DataError(f"{path}: expected rows and columns, got none; give a file that holds data")
    largest = max(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    check_memory(str(path), 2 * 8 * metadata.num_rows * len(columns.places) + max(0, largest))
    for batch in source.iter_batches(max(1, min(1 << 16, BATCH_CELLS // len(schema))), use_threads=False):
        columns.add(batch)
        check_memory(str(path), int(columns.held * (metadata.num_rows / max(1, columns.rows))) - columns.held)
        tell(min(1.0, columns.rows / metadata.num_rows))
    if columns.rows != metadata.num_rows:
        raise DataError(f"{path}: expected {metadata.num_rows:,} rows, got {columns.rows:,}; save it again")
    return columns.frame("DataFrame that was saved")
