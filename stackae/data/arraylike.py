"""Whatever a caller holds, as the arrays that readers of files give: numpy, tensors, data frames, lists."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike as NumpyLike
from torch import Tensor

from stackae.data.formats.npy import check_shape, image_of
from stackae.data.label_shapes import plain_labels
from stackae.data.labels import classes_of_arrays
from stackae.data.loading import part_of_rows
from stackae.data.memory import check_memory
from stackae.data.rows import ByteRows, Rows
from stackae.data.scaling import Scaling
from stackae.data.source import bytes_held, check_real, checked_labels, in_memory, real_rows
from stackae.data.tables.arrow import is_frame
from stackae.data.targets import checked_targets, targets_of_arrays
from stackae.errors import DataError

ArrayLike = NumpyLike | Tensor | ByteRows
"""What numpy reads (arrays of any real type and layout, structured ones, lists, objects with ``__array__`` such as data
frames and datasets of h5py), data frames by Arrow's protocol or ``__dataframe__``, scipy's sparse matrices, tensors of
any device and real type, and ``ByteRows``, which stand for their bytes."""


class Targets(NamedTuple):
    """y (n,) int64 that indexes ``names``, -1 for no label; or y (n, k) numbers, a column per name, NaN for none."""

    y: np.ndarray
    names: tuple[str, ...]


def is_sparse(value: object) -> bool:
    """Whether the value is a sparse matrix of scipy's."""
    return hasattr(value, "toarray") and hasattr(value, "nnz")


def array_of(name: str, value: ArrayLike) -> np.ndarray:
    """The value as a numpy array of its own type, without its gradient; masked cells are NaN.

    Raises:
        DataError: it is no array; the sentence names the argument.
    """
    found: Any = value.raw if isinstance(value, ByteRows) else value
    if is_sparse(found):
        check_memory(name, bytes_held(found.dtype, math.prod(found.shape)), "a sparse matrix is made dense: give fewer")
        found = found.toarray()
    try:
        if isinstance(found, Tensor):
            found = found.detach().cpu()
            found = (found.float() if found.dtype.itemsize == 2 and found.is_floating_point() else found).numpy()
        if np.ma.is_masked(found):
            found = np.ma.filled(found.astype(np.float64), np.nan)
        array = np.asarray(found)
    except (ValueError, TypeError, RuntimeError) as error:
        reason = str(error).split(". ")[0].rstrip(".")
        raise DataError(
            f"{name}: expected an array, a tensor or rows of equal length, got {type(value).__name__} ({reason}); "
            "convert it to a numpy array"
        ) from None
    if array.dtype.names and all(array.dtype[field].kind in "buif" for field in array.dtype.names):
        from numpy.lib.recfunctions import structured_to_unstructured

        return structured_to_unstructured(array)
    return array


def array_rows(name: str, value: ArrayLike) -> np.ndarray:
    """(n, d) real numbers of the value's own type, NaN where masked: its rows, of which images are flattened.

    Raises:
        DataError: another number of axes, no cells, or no real numbers; the sentence names the argument.
    """
    array = array_of(name, value)
    if not array.ndim and array.dtype == object:
        raise DataError(
            f"{name}: expected an array of rows, got {type(value).__name__}; convert it to a dense numpy array"
        )
    check_real(name, array)
    check_shape(array.shape, name)
    if not array.size:
        real_rows(name, array)
    return array.reshape(len(array), -1)


def rows_of(name: str, value: ArrayLike) -> np.ndarray:
    """(n, d) uint8, float32 or float64, C-contiguous; DataError as ``array_rows``, and for a NaN or Inf."""
    return in_memory(real_rows(name, array_rows(name, value)), name)


def image_shape(name: str, value: ArrayLike) -> tuple[int, ...] | None:
    """(height, width) or (height, width, channels) where each row is an image."""
    return None if is_frame(value) else image_of(array_of(name, value).shape)


def scaled(name: str, value: ArrayLike, scaling: Scaling) -> Rows:
    """Rows as a network reads them; DataError as ``rows_of``, and for another width than the scaling's."""
    x = rows_of(name, value)
    scaling.check_width(x.shape, name)
    return part_of_rows(x, None, np.arange(len(x)), scaling).x


def targets_of(name: str, value: ArrayLike, rows: int, kind: str) -> Targets:
    """Labels (n,), (n, 1) or one-hot (n, k): whole numbers, bool or text, -1, "", None and NaN for none; or numbers
    (n,) or (n, k), NaN for none.

    Args:
        kind: classes or numbers.

    Raises:
        DataError: values of another kind or shape, or not one for each of ``rows`` rows; it names the argument.
    """
    array = array_of(name, value)
    if kind == "numbers":
        check_real(name, array)
        names, (y,) = targets_of_arrays(name, [array])
        return Targets(checked_targets(name, y, rows, len(names)), names)
    names, (labels,) = classes_of_arrays(name, [plain_labels(name, _plain(array), rows)])
    return Targets(checked_labels(name, labels, rows, len(names)), names)


def _plain(labels: np.ndarray) -> np.ndarray:
    """Labels of mixed Python objects, as a data frame has them, as text, or as integers, with none where one lacks."""
    if labels.dtype == object and labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype != object or labels.ndim != 1:
        return labels
    none = [not isinstance(each, str) and str(each).lower() in ("none", "nan", "nat", "<na>") for each in labels]
    known = [each for each, lacks in zip(labels, none, strict=True) if not lacks]
    if known and all(isinstance(each, (int, np.integer)) for each in known):
        return np.array([-1 if lacks else int(each) for each, lacks in zip(labels, none, strict=True)])
    if all(isinstance(each, str) for each in known):
        return np.array(["" if lacks else each for each, lacks in zip(labels, none, strict=True)], dtype=str)
    return labels
