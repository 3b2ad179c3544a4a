"""What every reader hands on: rows of numbers, perhaps labels, perhaps a test part of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stackae.data.order.places import Places, RowOrder
from stackae.data.stored.array import CHUNK_CELLS as CHUNK_CELLS
from stackae.data.stored.array import Array, StoredArray, column_extremes, pieces
from stackae.data.targets import checked_targets
from stackae.errors import ConfigError, DataError, argument

if TYPE_CHECKING:
    from stackae.data.tables.columns import Encoding

FEW_CELLS = 1 << 16
MOST_NAMED = 1000  # bad rows
FEWEST_PIXELS, MOST_DARK, MOST_BRIGHT = 64, 127, 255  # columns, and values


class BadRow(NamedTuple):
    """A row that is left out: its number in the file, from 0, and what is wrong with it."""

    row: int
    reason: str


class Source(NamedTuple):
    """Rows as they were read, before they are divided and scaled.

    x is (n, d) uint8, float32, or float64 where 32 bits do not hold every number: those are rounded when they are
    scaled; an array in memory, or one that stays in its file. y is (n,) int64, an index into ``classes`` or -1 where a
    row has no label, or (n, k) numbers, a column for each of ``targets``, NaN where one is missing, or None when the
    source has neither. x_test and y_test are the same for the source's own test part, None when it has none.
    image_shape is (h, w) or (h, w, channels) when a row is an image, and column_names has
    d names or none. ``ignored`` are the columns that were left out; notes are sentences that a person should read;
    row_shape is how the numbers of a row lay in an array of more than two axes. ``order`` is what the data say of that
    of their rows, before they are made samples with ``places`` by ``stackae.data.order.windows``; is_signal says that
    x, (n, 1), was an array of one axis. clean and test_clean, of the shapes of x and x_test, are what is to be made of
    these, which are noisy; None where rows are to be made of themselves. ``ids`` are named cells of each row that are
    no features, those of the test part last.

    Of a table, ``encoding`` says how its columns became features. With ``gaps``, x may hold NaN where a cell is
    missing, which the scaling fills.
    """

    name: str
    x: Array
    y: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    x_test: Array | None = None
    y_test: np.ndarray | None = None
    image_shape: tuple[int, ...] | None = None
    column_names: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    row_shape: tuple[int, ...] = ()
    order: RowOrder | None = None
    places: Places | None = None
    test_places: Places | None = None
    is_signal: bool = False
    clean: np.ndarray | None = None
    test_clean: np.ndarray | None = None
    ids: tuple[tuple[str, tuple[str, ...]], ...] = ()
    encoding: Encoding | None = None
    gaps: bool = False

    @property
    def clean_or_x(self) -> np.ndarray:
        """What is to be made of the rows. Raises ConfigError where that is in a file."""
        return in_memory(self.x, self.name) if self.clean is None else self.clean


def checked(source: Source) -> Source:
    """The source with its arrays as its docstring says: x uint8, float32 or float64, y int64, all C-contiguous.

    Raises DataError when a part has no cells, holds a NaN, an infinity or anything but real numbers, when the labels
    do not fit the rows or the classes, and when the test part has another width than the training part.
    """
    x = real_rows(source.name, source.x, source.gaps)
    clean, test_clean = (
        None if rows is None else in_memory(real_rows(f"{source.name} (clean rows)", rows), source.name)
        for rows in (source.clean, source.test_clean)
    )
    source = source._replace(clean=clean, test_clean=test_clean)
    y = _checked_y(source.name, source.y, len(x), source)
    if source.x_test is None:
        return source._replace(x=x, y=y)
    name = f"{source.name} (test part)"
    x_test = real_rows(name, source.x_test, source.gaps)
    if x_test.shape[1] != x.shape[1]:
        raise DataError(
            f"{name}: expected rows of {x.shape[1]} numbers as in the training part, got {x_test.shape[1]}; "
            "give both parts the same columns"
        )
    y_test = _checked_y(name, source.y_test, len(x_test), source)
    return source._replace(x=x, y=y, x_test=x_test, y_test=y_test)


def bytes_held(dtype: np.dtype, cells: int) -> int:
    """What so many cells take while they are made rows: as they are stored, and as rows where those are others."""
    return cells * (dtype.itemsize + (0 if dtype.newbyteorder("=") == row_type(dtype) else row_type(dtype).itemsize))


def row_type(dtype: np.dtype) -> np.dtype:
    """What rows of such numbers are: uint8, float32 where that holds every one of them, else float64. No errors."""
    if dtype == np.uint8:
        return np.dtype(np.uint8)
    return np.dtype(np.float32 if np.can_cast(dtype, np.float32) else np.float64)


def native(array: np.ndarray) -> np.ndarray:
    """The same numbers in the machine's byte order, turned where they lie: the array must be writeable. No errors."""
    if array.dtype.isnative:
        return array
    return array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))


def real_rows(name: str, array: Array, gaps: bool = False) -> Array:
    """(n, d) ``in_fewest_bytes``, or a DataError that names the first bad cell; NaN is none where there may be gaps."""
    if array.ndim != 2 or array.size == 0:
        raise DataError(
            f"{name}: expected at least one row and one column, got shape {array.shape}; give data with both"
        )
    check_real(name, array)
    rows: Array
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(array, StoredArray):
            rows = array.read_as(row_type(array.dtype))
        else:
            rows = np.ascontiguousarray(array, dtype=row_type(array.dtype))
    if rows.dtype != np.uint8:
        _check_finite(name, rows, array, gaps)
    return in_fewest_bytes(rows)


def in_fewest_bytes(rows: Array) -> Array:
    """The same numbers (n, d): float64 as bytes where all are ``pixels``, as float32 where that holds each of them.

    So that rows are the same whatever the type of the file that they come from. No errors.
    """
    if rows.dtype != np.float64:
        return rows
    if pixels(rows):
        return _as_type(rows, np.dtype(np.uint8))
    exact = all(np.array_equal(in_32_bits(each), each, equal_nan=True) for _, each in pieces(rows, FEW_CELLS))
    return _as_type(rows, np.dtype(np.float32)) if exact else rows


def _as_type(rows: Array, dtype: np.dtype) -> Array:
    return rows.read_as(dtype) if isinstance(rows, StoredArray) else rows.astype(dtype)


def in_memory(x: Array, name: str, what: str = "clean rows") -> np.ndarray:
    """The rows, where they are in memory. Raises ConfigError, which says for what they have to be, for a file."""
    if isinstance(x, StoredArray):
        raise ConfigError(
            f"{argument('storage')}: expected memory for {what}, got {name}, whose rows stay in their file; use "
            f"{argument('storage', 'memory')}, with fewer rows where these do not fit"
        )
    return x


def pixels(rows: Array) -> bool:
    """Whether rows (n, d) are those of images: whole numbers from 0 to 255, in 64 columns or more, some above 127."""
    if rows.shape[1] < FEWEST_PIXELS:
        return False
    least, most = column_extremes(rows)
    low, high = least.min(), most.max()
    if not (low >= 0 and MOST_DARK < high <= MOST_BRIGHT):
        return False
    whole = (bool((each == np.floor(each)).all()) for _, each in pieces(rows, FEW_CELLS))
    return rows.dtype == np.uint8 or all(whole)


def check_real(name: str, array: Array) -> None:
    """DataError unless these are numbers, and real ones."""
    if array.dtype.kind not in "buif":
        raise DataError(f"{name}: expected real numbers, got {array.dtype}; save it as integers or floats")


def _check_finite(name: str, rows: Array, original: Array, gaps: bool) -> None:
    first, total = None, 0
    for start, piece in pieces(rows):
        bad = ~np.isfinite(in_32_bits(piece))
        if gaps:
            bad &= ~np.isnan(piece)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            first = first or (start + int(row), int(column))
            total += int(bad.sum())
    if first is not None:
        row, column = first
        raise not_finite(name, str(original[row : row + 1][0, column]), row, column, total)


def in_32_bits(rows: np.ndarray) -> np.ndarray:
    """The same numbers as float32, an infinity for what is too large for that; float32 as they are. No errors."""
    with np.errstate(over="ignore", invalid="ignore"):
        return rows.astype(np.float32, copy=False)


def not_finite(name: str, value: str, row: int, column: int, total: int) -> DataError:
    """The error that names the first cell which is no finite 32-bit number."""
    return DataError(
        f"{name}: expected finite 32-bit numbers, got {value} at row {row}, column {column} "
        f"(counted from 0), {total} such cells in all; remove or fill them"
    )


def _checked_y(name: str, y: np.ndarray | None, rows: int, source: Source) -> np.ndarray | None:
    if y is not None and y.dtype.kind == "f":
        return checked_targets(name, y, rows, len(source.targets))
    return None if y is None else checked_labels(name, y, rows, len(source.classes))


def checked_labels(name: str, labels: np.ndarray, rows: int, classes: int) -> np.ndarray:
    """(rows,) int64; DataError for another shape, and for what is neither -1 nor the index of a class."""
    if labels.shape != (rows,):
        raise DataError(
            f"{name}: expected one label per row, {rows} in all, got labels of shape {labels.shape}; "
            "give as many labels as rows"
        )
    outside = labels[(labels < -1) | (labels >= classes)]
    if len(outside):
        raise DataError(
            f"{name}: expected labels from 0 to {classes - 1}, or -1 for none, got {outside[0]}; correct the labels"
        )
    return np.ascontiguousarray(labels, dtype=np.int64)
