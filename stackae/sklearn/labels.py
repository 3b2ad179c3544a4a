"""Labels and targets as scikit-learn's users give them, some of them missing."""

from __future__ import annotations

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from stackae.data.arraylike import ArrayLike
from stackae.sklearn.arrays import to_numpy

Label = int | float | str | bool | None


def known_labels(y: ArrayLike, missing_label: Label) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) of any one type, and which of them are known (n,) bool: not None, not NaN, not ``missing_label``.

    Raises:
        ValueError: no column of labels, or an infinite one.
    """
    array = to_numpy(y)
    array = column_or_1d(array, warn=True)
    check_finite(array)
    if array.dtype == object:
        known = np.array([each is not None and each == each and str(each) != "<NA>" for each in array], dtype=bool)
    else:
        known = ~np.isnan(array) if array.dtype.kind == "f" else np.ones(len(array), dtype=bool)
    if missing_label is not None:
        known &= np.array([each != missing_label for each in array], dtype=bool)
    return array, known


def encoded(y: ArrayLike, missing_label: Label, classes: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) as int64 that index the classes, -1 for none; and the classes, sorted, those given where some are.

    Raises:
        ValueError: no classes, as numbers that are none; or a label that is not one of the given classes.
    """
    labels, known = known_labels(y, missing_label)
    there = labels[known]
    if there.dtype == object:
        there = np.array(there.tolist())
    check_classification_targets(there)
    if classes is None:
        classes = np.unique(there)
    codes = np.full(len(labels), -1, dtype=np.int64)
    if len(there):
        place = np.searchsorted(classes, there)
        strange = classes[np.minimum(place, len(classes) - 1)] != there
        if strange.any():
            raise ValueError(
                f"y: expected labels of the classes {', '.join(map(str, classes[:20]))}, got {there[strange][0]}; give "
                "all classes at the first partial_fit, or fit anew"
            )
        codes[known] = place
    return codes, classes


def names_of(classes: np.ndarray) -> list[str]:
    """The names of classes in a run folder: their text, or their places where that does not tell them apart."""
    names = [str(each) for each in classes]
    return names if len(set(names)) == len(names) and "" not in names else [str(place) for place in range(len(names))]


def numbers(y: ArrayLike) -> np.ndarray:
    """Targets (n,) or (n, targets) float64, NaN where one is missing.

    Raises:
        ValueError: no numbers, or an infinite one.
    """
    array = to_numpy(y)
    if array.dtype == object:
        array = np.array([np.nan if each is None else each for each in array.ravel()]).reshape(array.shape)
    array = array.astype(np.float64)
    if array.ndim not in (1, 2):
        raise ValueError(f"y: expected numbers (n,) or (n, targets), got {array.ndim} axes; give one row per sample")
    check_finite(array)
    return array


def check_finite(array: np.ndarray) -> None:
    """ValueError, in scikit-learn's words, where a number is infinite; NaN is no label."""
    if array.dtype.kind == "f" and np.isinf(array).any():
        raise ValueError(f"Input y contains infinity or a value too large for {array.dtype!r}.")
