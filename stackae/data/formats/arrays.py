"""numpy's .npy and .npz files, never unpickled, and never larger in memory than the file can account for."""

from __future__ import annotations

import io
import math
import os
import re
import tokenize
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stackae.data.formats.archive import Member, members_of
from stackae.data.formats.bounded import Resumed, Stream, check_size, opened, read_body, read_up_to
from stackae.data.inspect.telling import about_shape
from stackae.data.labels import LARGEST, classes_of_arrays
from stackae.data.memory import check_memory
from stackae.data.source import Source, bytes_held, native
from stackae.data.targets import targets_of_arrays
from stackae.errors import DataError, legible

HEADER_BYTES = 1 << 14
HEADER_DAMAGE = (ValueError, TypeError, SyntaxError, LookupError, RecursionError, MemoryError, tokenize.TokenError)
HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
NUMBERS, LABELS = "buif", "biuUS"  # kinds of numpy's dtypes
KINDS = {"x": NUMBERS, "y": LABELS, "x_test": NUMBERS, "y_test": LABELS}
WITH_TARGETS = dict.fromkeys(KINDS, NUMBERS)
MOST_DIMENSIONS = 4
LONGEST_SIDE = 4  # times the other side of what may be an image
LONGEST_LABEL = 1000  # characters


def load_npy(path: Path) -> Source:
    """Rows of a .npy file: (n, d), or (n, a, b) or (n, a, b, c), which are flattened, images or not; no labels.

    Raises DataError when the file is cut short, damaged, has bytes to spare, holds anything but real numbers, or is
    larger than the memory.
    """
    with opened(path) as file:
        array = _read_array(file, os.fstat(file.fileno()).st_size, str(path), NUMBERS)
    return _as_source(array, path, str(path))


def load_npz(path: Path, numbers: bool = False) -> Source:
    """Rows and labels of a .npz file: x, and where they exist y, x_test and y_test.

    x is as in a .npy file; y is (n,) integers (-1: no label) or strings (empty: no label); where ``numbers`` are
    wanted, (n,) or (n, k) real numbers (NaN: missing). Raises DataError as load_npy does, when x is missing, and when
    the arrays do not fit each other.
    """
    arrays = _read_members(path, WITH_TARGETS if numbers else KINDS)
    source = _as_source(arrays["x"], path, f"{path}: x")
    if "x_test" in arrays:
        test = _as_source(arrays["x_test"], path, f"{path}: x_test")
        if (test.row_shape, test.image_shape) != (source.row_shape, source.image_shape):
            shapes = f"expected rows of shape {arrays['x'].shape[1:]} as in x, got {arrays['x_test'].shape[1:]}"
            raise DataError(f"{path}: x_test: {shapes}; save both with the same shape")
        source = source._replace(x_test=test.x)
    names = [name for name in ("y", "y_test") if name in arrays]
    if names and numbers:
        targets, columns = targets_of_arrays(str(path), [arrays[name] for name in names])
        numbered = dict(zip(names, columns, strict=True))
        source = source._replace(targets=targets, y=numbered.get("y"), y_test=numbered.get("y_test"))
    elif names:
        classes, indices = classes_of_arrays(str(path), [arrays[name] for name in names])
        found = dict(zip(names, indices, strict=True))
        source = source._replace(classes=classes, y=found.get("y"), y_test=found.get("y_test"))
    if source.y_test is not None and source.x_test is None:
        raise DataError(f"{path}: expected x_test along with y_test, got y_test alone; save the rows it belongs to")
    return source


def _read_members(path: Path, kinds: dict[str, str]) -> dict[str, np.ndarray]:
    with members_of(path, kinds) as members:
        if "x" not in members:
            names = ", ".join(legible(name) for name in list(members)[:20]) or "no arrays"
            more = f" and {len(members) - 20} more" if len(members) > 20 else ""
            raise DataError(
                f"{path}: expected an array named x, got {names}{more}; save it by numpy.savez(path, x=rows, y=labels)"
            )
        return {name: _read_member(members[name], path, name, kinds[name]) for name in kinds if name in members}


def _read_member(member: Member, path: Path, name: str, kinds: str) -> np.ndarray:
    with member.open() as stream:
        return _read_array(stream, member.size, f"{path}: {name}", kinds)


class Header(NamedTuple):
    shape: tuple[int, ...]
    column_major: bool
    dtype: np.dtype
    start: int

    @property
    def cells(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Of the numbers that follow the header, as it declares them."""
        return self.cells * self.dtype.itemsize


def read_header(stream: Stream, size: int, name: str, kinds: str = NUMBERS) -> tuple[Header, bytes]:
    """What a .npy stream of ``size`` bytes declares, checked against them, and its first bytes, which were read."""
    head = bytes(read_up_to(stream, min(size, HEADER_BYTES), name))
    header = _parse_header(head, name)
    if header.dtype.kind not in kinds:
        wanted = "real numbers" if kinds == NUMBERS else "integers or strings"
        dtype = legible(str(header.dtype))
        raise DataError(f"{name}: expected an array of {wanted}, got {dtype}; convert it and save it again")
    if len(header.shape) > MOST_DIMENSIONS:
        raise DataError(
            f"{name}: expected at most {MOST_DIMENSIONS} dimensions, got {len(header.shape)}; reshape the array"
        )
    if header.nbytes < 1 or min(header.shape, default=1) < 1:
        raise DataError(
            f"{name}: expected at least one element, got shape {header.shape}; save an array that holds data"
        )
    characters = header.dtype.itemsize // (4 if header.dtype.kind == "U" else 1)
    if header.dtype.kind in "US" and characters > LONGEST_LABEL:
        raise DataError(
            f"{name}: expected labels of at most {LONGEST_LABEL:,} characters, got {characters:,}; "
            "save class names or numbers"
        )
    check_size(name, header.start + header.nbytes, size)
    return header, head


def _read_array(stream: Stream, size: int, name: str, kinds: str) -> np.ndarray:
    header, head = read_header(stream, size, name, kinds)
    check_memory(name, bytes_held(header.dtype, header.cells))
    body = read_body(Resumed(head[header.start :], stream), header.nbytes, name, header.start)
    flat = native(np.frombuffer(body, header.dtype))
    return flat.reshape(header.shape, order="F" if header.column_major else "C")


def _parse_header(head: bytes, name: str) -> Header:
    stream = io.BytesIO(head)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(stream)
            if version not in HEADER_READERS:
                raise ValueError(f"format version {version[0]}.{version[1]}")
            shape, column_major, dtype = HEADER_READERS[version](stream)
        if any(abs(length) > LARGEST for length in shape):
            raise ValueError("a length beyond 64 bits")
        return Header(tuple(int(length) for length in shape), column_major, dtype, stream.tell())
    except HEADER_DAMAGE as error:
        cause = legible(re.sub(r" object at 0x[0-9a-f]+", "", " ".join(str(error).split())), 80)  # the same every time
        raise DataError(f"{name}: expected an array as numpy.save writes it, got {cause}; save it again") from None


def _as_source(array: np.ndarray, path: Path, name: str) -> Source:
    check_shape(array.shape, name)
    return Source(
        name=str(path),
        x=array if array.ndim == 2 else array.reshape(len(array), -1),
        image_shape=image_of(array.shape),
        row_shape=row_shape(array.shape),
        notes=tuple(about_shape(len(array), row_shape(array.shape))),
    )


def check_shape(shape: tuple[int, ...], name: str) -> None:
    """DataError for the shape of an array that is no rows."""
    if not 2 <= len(shape) <= MOST_DIMENSIONS:
        raise DataError(
            f"{name}: expected shape (n, d), (n, h, w) or (n, h, w, channels), got {shape}; reshape the array"
        )


def row_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """How the numbers of a row lie in an array of more than two axes; () for a table."""
    return shape[1:] if len(shape) > 2 else ()


def image_of(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of the image that a row may be: (h, w), (h, w, 3) or (h, w, 4), one side at most four times the other.

    None for any other array, such as windows of time or cubes with many bands: their rows are drawn as curves.
    """
    row = shape[1:3] if shape[3:] == (1,) else shape[1:]
    may_be = len(row) == 2 or (len(row) == 3 and row[2] in (3, 4))
    return row if may_be and max(row[:2]) <= LONGEST_SIDE * min(row[:2]) else None
