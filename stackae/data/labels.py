"""From labels as they are written to class names and indices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stackae.errors import ConfigError, DataError, nearest

MOST_CLASSES = 1 << 16
LARGEST = 2**63 - 1
LAST_CHARACTER, SURROGATES = 0x10FFFF, (0xD800, 0xDFFF)


def classes_of_arrays(name: str, parts: Sequence[np.ndarray]) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Class names, and (n,) int64 indices for each part; the classes are those of all parts together.

    Labels are integers, where -1 means none, or strings, where the empty string means none. The names are the
    sorted distinct labels as text. Raises DataError for labels of any other kind, and for more than MOST_CLASSES.
    """
    kinds = {"text" if part.dtype.kind in "US" else "integers" for part in parts}
    for part in parts:
        if part.dtype.kind not in "biuUS" or part.ndim != 1:
            raise DataError(
                f"{name}: expected labels y of shape (n,), integers or strings, got shape {part.shape} of "
                f"{part.dtype}; save class numbers or names, one per row"
            )
    if len(kinds) > 1 or len({part.dtype.kind for part in parts if part.dtype.kind in "US"}) > 1:
        dtypes = " and ".join(str(part.dtype) for part in parts)
        raise DataError(f"{name}: expected y and y_test of one kind, got {dtypes}; save both the same way")
    numbers = kinds == {"integers"}
    for part in parts:
        if part.dtype.kind == "u" and part.max(initial=0) > LARGEST:
            raise DataError(
                f"{name}: expected class numbers of at most 63 bits, got {part.max()}; number the classes from 0"
            )
        if part.dtype.kind == "U":
            _check_characters(name, part)
    joined = np.concatenate([part.astype(np.int64) if numbers else part for part in parts])
    distinct, indices = np.unique(joined, return_inverse=True)
    if numbers and distinct[0] < -1:
        raise DataError(
            f"{name}: expected class numbers from 0, or -1 for no label, got {distinct[0]}; number the classes from 0"
        )
    unlabelled = not distinct[0] if not numbers else distinct[0] == -1
    check_classes(name, len(distinct) - bool(unlabelled))
    names = _names(name, distinct)
    if unlabelled:
        names, indices = names[1:], indices - 1
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return names, [piece.astype(np.int64) for piece in np.split(indices, ends)]


def _check_characters(name: str, texts: np.ndarray) -> None:
    """numpy keeps any 32 bits as a character, and Python fails on those that are none."""
    codes = np.ascontiguousarray(texts).view(np.dtype(np.uint32).newbyteorder(texts.dtype.byteorder))
    wrong = codes[(codes > LAST_CHARACTER) | ((codes >= SURROGATES[0]) & (codes <= SURROGATES[1]))]
    if len(wrong):
        raise DataError(
            f"{name}: expected labels of valid text, got a character of code {wrong[0]:#x}; save them as UTF-8 strings"
        )


def classes_named(option: str, text: str, classes: Sequence[str], name: str) -> list[int]:
    """The indices of the classes that a user names with commas between them; one that has commas in its name is itself.

    Raises ConfigError for a name that ``classes``, those of the data called ``name``, does not have.
    """
    requested = named(text, classes)
    for each in requested:
        if each not in classes:
            known = ", ".join(classes[:20]) + (", ..." if len(classes) > 20 else "")
            raise ConfigError(
                f"{option}: expected classes of {name} ({known}), got '{each}'{nearest(each, classes)}; "
                "name some of these"
            )
    return [classes.index(each) for each in requested]


def named(text: str, classes: Sequence[str]) -> list[str]:
    """The names between the commas of a text; one that has commas in its name is itself. No errors."""
    return [text] if text in classes else [each.strip() for each in text.split(",")]


def check_classes(name: str, count: int) -> None:
    """DataError for so many classes that the labels must be something else: numbers of rows, or measurements."""
    if count > MOST_CLASSES:
        raise DataError(
            f"{name}: expected at most {MOST_CLASSES:,} classes, got more distinct labels; "
            "name the class of each row as its label"
        )


def _names(name: str, distinct: np.ndarray) -> tuple[str, ...]:
    try:
        return tuple(item.decode() if isinstance(item, bytes) else str(item) for item in distinct.tolist())
    except ValueError as error:
        raise DataError(f"{name}: expected labels of valid text, got {error}; save them as UTF-8 strings") from None


def classes_of_texts(name: str, cells: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Class names and (n,) int64 indices of text cells; an empty cell has no label and gets -1.

    When every cell reads as a finite number, cells of one value are one class ("1" and "1.0") and the classes are
    sorted by value; otherwise they are sorted as text. Raises DataError for more than MOST_CLASSES.
    """
    found = {cell for cell in cells if cell}
    check_classes(name, len(found))
    distinct = sorted(found, key=lambda cell: (len(cell), cell))
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
