"""Rows as scikit-learn's users give them: arrays, sparse matrices, data frames, and arrays of other libraries."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from sklearn.utils._array_api import device as device_of
from sklearn.utils._array_api import get_namespace
from sklearn.utils.validation import _check_sample_weight, _num_samples, validate_data

from stackae.data.arraylike import ArrayLike, is_sparse
from stackae.data.tables.arrow import is_frame

if TYPE_CHECKING:
    from types import ModuleType

    from stackae.sklearn.base import StackEstimator


class Rows(NamedTuple):
    """Checked rows: a dense numpy array (n, d), or a data frame that the tables of stackae read; and where results go.

    ``namespace`` is the library of the array that was given, where scikit-learn's array API dispatch is on.
    """

    x: np.ndarray | object
    namespace: ModuleType | None = None
    device: object = None

    @property
    def is_table(self) -> bool:
        """Whether they are a data frame, whose columns become features by what they hold."""
        return not isinstance(self.x, np.ndarray)

    @property
    def dtype(self) -> torch.dtype:
        """What is computed in: 64 bits where they came, and 32 elsewhere."""
        return torch.float64 if isinstance(self.x, np.ndarray) and self.x.dtype == np.float64 else torch.float32

    def back(self, result: np.ndarray) -> np.ndarray:
        """A result as the library of the rows has it, on their device."""
        if self.namespace is None:
            return result
        found: np.ndarray = self.namespace.asarray(result, device=self.device)
        return found


def checked(estimator: StackEstimator, given: ArrayLike, method: str, *, reset: bool = False) -> Rows:
    """The rows, by scikit-learn's checks, and in training by remembering their width and names.

    A data frame with columns that are no numbers stays one. Sparse matrices become dense.

    Raises:
        ValueError: another width, other names, NaN or infinity, or another library than in ``fit``. TypeError: no rows.
    """
    is_table = is_frame(given) and (not is_numeric(given) if reset else estimator._tables)
    if is_table:
        validate_data(estimator, given, reset=reset, skip_check_array=True)
        estimator._tables = True
        return Rows(given)
    if not reset and estimator._tables:
        raise ValueError(
            f"X: expected a data frame with the columns that {type(estimator).__name__} was fitted on, got "
            f"{type(given).__name__}; name the columns"
        )
    namespace, dispatched = get_namespace(given)
    name = namespace.__name__ if dispatched else "numpy"
    if not reset and dispatched and name != estimator._namespace:
        raise ValueError(
            f"Inputs passed to {type(estimator).__name__}.{method}() must use the same namespace and device as those "
            f"passed to fit(), got {name} instead of {estimator._namespace}; convert them, or fit on such arrays"
        )
    dtype = None if getattr(given, "dtype", None) == np.uint8 else [np.float64, np.float32]
    found = validate_data(
        estimator,
        given,
        reset=reset,
        accept_sparse=True,
        dtype=[namespace.float64, namespace.float32] if dispatched else dtype,
        ensure_min_samples=2 if reset and method == "fit" else 1,
    )
    if reset:
        estimator._namespace, estimator._tables = name, False
    if is_sparse(found):
        found = found.toarray()
    place = device_of(found) if dispatched and name != "numpy" else None
    return Rows(to_numpy(found), None if place is None else namespace, place)


def is_numeric(frame: object) -> bool:
    """Whether every column of a data frame holds numbers, so that it is an array with names."""
    for dtype in getattr(frame, "dtypes", ()):
        of_polars = getattr(dtype, "is_numeric", None)
        if not (of_polars() if callable(of_polars) else getattr(dtype, "kind", "O") in "biuf"):
            return False
    return True


def to_numpy(array: ArrayLike) -> np.ndarray:
    """The same numbers, or objects, as numpy has them; of any device."""
    if isinstance(array, torch.Tensor):
        return array.detach().cpu().numpy()
    return np.asarray(array)


def weights_of(weight: ArrayLike | None, rows: Rows) -> np.ndarray | None:
    """Sample weights (n,) float64, None where all are 1.

    Raises:
        ValueError: another number of them, one below 0, or all 0.
    """
    if weight is None:
        return None
    found = to_numpy(weight)
    if found.dtype.kind in "biuf" and found.size and not (found != 0).any():
        raise ValueError("sample_weight: expected at least one non-zero weight, got zero for all rows; leave it out")
    found = np.asarray(_check_sample_weight(found, np.empty((length(rows.x), 1)), dtype=np.float64))
    if (found < 0).any():
        raise ValueError(f"sample_weight: expected weights of at least 0, got {found.min():g}; leave such rows out")
    return None if (found == 1).all() else found


def length(rows: object) -> int:
    """The number of rows of anything that scikit-learn takes for rows or targets."""
    return int(_num_samples(rows))


def concatenated(first: object, second: object) -> object:
    """Rows of both, of one kind: arrays, or data frames of one library."""
    if isinstance(first, np.ndarray):
        return np.concatenate((first, np.asarray(second, dtype=first.dtype)))
    library = sys.modules[type(first).__module__.partition(".")[0]]
    return library.concat([first, second])
