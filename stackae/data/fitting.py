"""How the offset and the scale of each feature follow from the rows: sums and quantiles in 64 bits."""

from __future__ import annotations

import numpy as np

from stackae.data.source import CHUNK_CELLS
from stackae.errors import DataError, argument

BYTE = 255.0


def largest(rows: np.ndarray) -> float:
    """What ``unit`` divides by: 255 for uint8, else the largest absolute value, and 1 where all are 0."""
    if rows.dtype == np.uint8:
        return BYTE
    return max(abs(float(rows.min())), abs(float(rows.max()))) or 1.0


def per_feature(kind: str, rows: np.ndarray, precision: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Offset and scale (d,) of minmax, standard or robust, in that precision: a constant feature has its value and 1.

    Raises DataError when the range of a feature is no number of that precision.
    """
    low, high = rows.min(axis=0).astype(precision), rows.max(axis=0).astype(precision)
    span = checked_span(low, high)
    if kind == "minmax":
        offset, scale = low, span
    else:
        offset, scale = _mean_and_deviation(rows) if kind == "standard" else _median_and_distance(rows)
        offset, scale = offset.astype(precision), scale.astype(precision)
    constant = (span == 0) | (scale == 0)
    return np.where(constant, low, offset), np.where(constant, np.ones_like(scale), scale)


def checked_span(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(d,) high - low, in their precision; DataError when that of a feature is no number of it."""
    with np.errstate(over="ignore"):
        span: np.ndarray = high - low
    if not np.isfinite(span).all():
        column = int(np.argmin(np.isfinite(span)))
        raise DataError(
            f"data: expected features whose range is a {8 * span.itemsize}-bit number, got {low[column]:g} to "
            f"{high[column]:g} in column {column} (counted from 0); rescale it, or use {argument('scale', 'unit')}"
        )
    return span


def _mean_and_deviation(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In two passes: what the first leaves of the mean, by rounding, the second takes out of both."""
    step = max(1, CHUNK_CELLS // rows.shape[1])
    mean = rows.mean(axis=0, dtype=np.float64)
    rest, squares = np.zeros_like(mean), np.zeros_like(mean)
    for start in range(0, len(rows), step):
        difference = rows[start : start + step] - mean
        rest += difference.sum(axis=0)
        squares += np.square(difference, out=difference).sum(axis=0)
    rest /= len(rows)
    return mean + rest, np.sqrt(np.maximum(squares / len(rows) - rest**2, 0))


def _median_and_distance(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The median and the distance of the quartiles, exactly, of as many columns at once as a chunk holds.

    Where the quartiles are one number, which more than half of the rows then have, the distance is the median one of
    the others from it.
    """
    count, width = rows.shape
    step = max(1, CHUNK_CELLS // count)
    median, distance = np.empty(width), np.empty(width)
    for start in range(0, width, step):
        columns = np.array(rows[:, start : start + step].T, dtype=np.float64, order="C")
        first, middle, third = np.quantile(columns, (0.25, 0.5, 0.75), axis=1, overwrite_input=True)
        median[start : start + step], apart = middle, third - first
        for column in np.flatnonzero(apart == 0).tolist():
            away = np.abs(columns[column] - middle[column])
            away = away[away > 0]
            apart[column] = np.median(away) if len(away) else 0.0
        distance[start : start + step] = apart
    return median, distance
