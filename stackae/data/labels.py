"""From labels as they are written to class names and indices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stackae.errors import DataError


def classes_of_arrays(name: str, parts: Sequence[np.ndarray]) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Class names, and (n,) int64 indices for each part; the classes are those of all parts together.

    Labels are integers, where -1 means none, or strings, where the empty string means none. The names are the
    sorted distinct labels as text. Raises DataError for labels of any other kind.
    """
    kinds = {"text" if part.dtype.kind in "US" else "integers" for part in parts}
    for part in parts:
        if part.dtype.kind not in "biuUS" or part.ndim != 1:
            raise DataError(
                f"{name}: expected labels y of shape (n,), integers or strings, got shape {part.shape} of "
                f"{part.dtype}; save class numbers or names, one a row"
            )
    if len(kinds) > 1 or len({part.dtype.kind for part in parts if part.dtype.kind in "US"}) > 1:
        dtypes = " and ".join(str(part.dtype) for part in parts)
        raise DataError(f"{name}: expected y and y_test of one kind, got {dtypes}; save both the same way")
    numbers = kinds == {"integers"}
    joined = np.concatenate([part.astype(np.int64) if numbers else part for part in parts])
    distinct, indices = np.unique(joined, return_inverse=True)
    if numbers and distinct[0] < -1:
        raise DataError(
            f"{name}: expected class numbers from 0, or -1 for no label, got {distinct[0]}; number the classes from 0"
        )
    names = _names(name, distinct)
    if names[0] == ("-1" if numbers else ""):
        names, indices = names[1:], indices - 1
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return names, [piece.astype(np.int64) for piece in np.split(indices, ends)]


def _names(name: str, distinct: np.ndarray) -> tuple[str, ...]:
    try:
        return tuple(item.decode() if isinstance(item, bytes) else str(item) for item in distinct.tolist())
    except ValueError as error:
        raise DataError(f"{name}: expected labels of valid text, got {error}; save them as UTF-8 strings") from None


def classes_of_texts(cells: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Class names and (n,) int64 indices of text cells; an empty cell has no label and gets -1.

    When every cell reads as a finite number, cells of one value are one class ("1" and "1.0") and the classes are
    sorted by value; otherwise they are sorted as text.
    """
    distinct = sorted({cell for cell in cells if cell}, key=lambda cell: (len(cell), cell))
    values = [_number(cell) for cell in distinct]
    keys: list[float | str | None] = [*values] if None not in values else [*distinct]
    spelling = dict(zip(reversed(keys), reversed(distinct), strict=True))  # the shortest spelling of a value stays
    ordered = sorted(spelling)  # type: ignore[type-var]  # all are numbers, or all are texts
    position = {key: index for index, key in enumerate(ordered)}
    lookup = {cell: position[key] for cell, key in zip(distinct, keys, strict=True)} | {"": -1}
    return tuple(spelling[key] for key in ordered), np.array([lookup[cell] for cell in cells], dtype=np.int64)


def _number(cell: str) -> float | None:
    for read in (int, float):
        try:
            value = read(cell)
        except ValueError:
            continue
        return value if isinstance(value, int) or math.isfinite(value) else None
    return None
