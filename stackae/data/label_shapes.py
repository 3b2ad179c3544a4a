"""Labels in the shapes that programs write: columns of them, whole numbers as doubles, one-hot rows."""

from __future__ import annotations

import numpy as np

from stackae.errors import DataError, argument


def plain_labels(name: str, labels: np.ndarray, rows: int) -> np.ndarray:
    """Labels (n,), (n, 1) or (1, n), or one-hot (n, k), as (n,) integers or texts; what is neither stays as it is.

    Numbers of 32 or 64 bits that are whole become integers, NaN -1, which is no label. A one-hot row becomes the place
    of its 1, from 0, and -1 where it has none. Raises DataError for numbers that are not whole, and for rows of zeros
    and ones with several ones.
    """
    if labels.ndim == 2 and labels.shape[0] == rows and labels.shape[1] > 1 and labels.dtype.kind in "buif":
        return _of_one_hot(name, labels)
    if labels.ndim > 1 and max(labels.shape) == labels.size:
        labels = labels.reshape(-1)
    return _whole(name, labels) if labels.dtype.kind == "f" else labels


def _of_one_hot(name: str, labels: np.ndarray) -> np.ndarray:
    ones = labels == 1
    if not (ones | (labels == 0)).all():
        return labels
    counts = ones.sum(axis=1)
    if counts.max() > 1:
        row = int(counts.argmax())
        raise DataError(
            f"{name}: expected one class per row, got {counts[row]} ones in row {row} (counted from 0); for several "
            f"labels per row use {argument('target_kind', 'numbers')} and the head multilabel"
        )
    return np.where(counts == 1, ones.argmax(axis=1), -1)


def _whole(name: str, labels: np.ndarray) -> np.ndarray:
    missing = np.isnan(labels)
    parted = missing | (np.isfinite(labels) & (labels == np.floor(labels)) & (np.abs(labels) < 2.0**63))
    if not parted.all():
        place = np.unravel_index(int(parted.argmin()), labels.shape)
        raise DataError(
            f"{name}: expected labels that are whole numbers, got {labels[place]} for row {place[0]} (counted from 0); "
            f"for targets that are numbers use {argument('target_kind', 'numbers')}"
        )
    return np.where(missing, -1, labels).astype(np.int64)
