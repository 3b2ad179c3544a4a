"""Finding what the settings name: a set, a file of arrays, or a table, as it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stackae.config import DataConfig
from stackae.data.formats import FORMATS, NAMES, SETS, TABLES, Place, Tell, ignored, listed, place_of, table_of
from stackae.data.formats.digits import load_digits
from stackae.data.formats.idx import FOLDERS, load_idx_folder
from stackae.data.formats.vision import PREFIX, load_vision
from stackae.data.source import Source
from stackae.data.tables.frame import Dialect, Frame
from stackae.data.tables.transposed import transposed
from stackae.errors import ConfigError, DataError, argument, legible, nearest

OF_TABLES = ("group", "time", "columns", "drop", "ids", "categorical", "ordinal")
"""Settings that name columns of tables alone."""
OF_DIALECT = ("delimiter", "decimal", "encoding", "header")
"""Settings that say how one file of text is written."""


@contextmanager
def reading(config: DataConfig) -> Iterator[None]:
    """While the data are read: whatever the system says of files and memory is a DataError that names the data.

    Raises ConfigError when a target column is named for data that have no columns.
    """
    check_columns_named(config)
    try:
        yield
    except OSError as error:
        raise DataError(f"{config.data}: expected files that can be read, got {error}; check them") from None
    except MemoryError:
        raise DataError(
            f"{config.data}: expected data that fit in the memory, got more; give fewer rows or columns"
        ) from None


def check_columns_named(config: DataConfig) -> None:
    """Raises ConfigError when columns, or an array of targets, are named for data that have none of them."""
    place = place_of(config.data)
    named_set = config.data in NAMES or config.data.startswith(PREFIX)
    tables = f"its columns have no names, as those of a {listed(TABLES)} file have"
    no_table = named_set or (place is not None and not place.format.named)
    pictures = place is not None and place.format.pictures
    if pictures and config.target is not None and table_of(config.target) is None:
        raise ConfigError(
            f"target: expected a table with the names of the pictures and their labels, as labels.csv or "
            f"labels.csv:COLUMN, got '{legible(config.target)}'; name one, or leave it out where folders are classes"
        )
    for setting, refused in {"target": named_set, **dict.fromkeys(OF_TABLES, no_table)}.items():
        if (name := getattr(config, setting)) is not None and refused:
            raise ConfigError(f"{setting}: expected none for {config.data}, got '{legible(name)}'; {tables}")


def read_named(config: DataConfig) -> Source | None:
    """The named set as it is stored, unchecked; None when ``config.data`` is no name of one."""
    if config.data == "digits":
        return load_digits()
    if config.data in FOLDERS:
        return load_idx_folder(config.data, Path(config.data_root), config.storage)
    if config.data.startswith(PREFIX):
        return load_vision(config.data.removeprefix(PREFIX), Path(config.data_root))
    return None


def file_of(config: DataConfig) -> Place:
    """Where a file that is there lies, and its format; DataError for anything else."""
    place = place_of(config.data)
    if place is None or not place.path.exists() or (place.path.is_dir() and place.format.suffix):
        raise DataError(_no_data(config.data, place))
    return place


def read_file(config: DataConfig, required: bool = True, tell: Tell = ignored) -> Source:
    """The arrays of a file as they are stored, unchecked; without ``required``, targets that are not there are none.

    Raises DataError as its reader does.
    """
    place = file_of(config)
    return place.format.read(place, config, required, tell)


def dialect_of(config: DataConfig) -> Dialect:
    """How a file of text is written, as far as the settings say it."""
    missing = () if config.missing_values is None else tuple(each.strip() for each in config.missing_values.split(","))
    return Dialect(config.delimiter, config.decimal, config.encoding, config.header, missing)


def read_table(config: DataConfig, tell: Tell = ignored, dialect: Dialect | None = None) -> Frame:
    """The columns of a table as they are stored, of a ``dialect`` or that of the settings. Raises DataError as its
    reader does."""
    place = file_of(config)
    storage = "memory" if config.transpose else config.storage  # whose rows are columns of the file
    if storage != config.storage == "disk":
        raise ConfigError(
            f"{argument('storage')}: expected memory for {argument('transpose')}, got disk; leave one of them out"
        )
    frame = place.format.read_frame(place.path, dialect or dialect_of(config), tell, storage)
    return transposed(frame) if config.transpose else frame


def _no_data(data: str, place: Place | None) -> str:
    path = Path(data) if place is None else place.path
    if place is not None and not path.exists():
        return f"data: expected the path of a file, got '{path}': no such file; check the path"
    got = "a directory" if path.is_dir() else "a file of another kind" if path.exists() else ""
    remedy = "; save a table as .csv, with commas between its cells" if path.is_file() else ""
    return (
        f"data: expected {SETS}, a folder of pictures, or a path ending in {listed(FORMATS)}, "
        f"got '{data}'{f' ({got})' if got else nearest(data, NAMES)}{remedy}"
    )
