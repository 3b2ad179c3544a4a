"""numpy's .npy and .npz files, never unpickled, and never larger in memory than the file can account for."""

from __future__ import annotations

import io
import math
import os
import tokenize
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from stackae.data.bounded import DAMAGE, check_size, read_body, read_up_to
from stackae.data.labels import classes_of_arrays
from stackae.data.source import Source
from stackae.errors import DataError

HEADER_BYTES = 1 << 14
HEADER_DAMAGE = (ValueError, TypeError, SyntaxError, LookupError, RecursionError, MemoryError, tokenize.TokenError)
HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
NUMBERS, LABELS = "buif", "biuUS"  # kinds of numpy's dtypes
KINDS = {"x": NUMBERS, "y": LABELS, "x_test": NUMBERS, "y_test": LABELS}


def load_npy(path: Path) -> Source:
    """Rows of a .npy file: (n, d), or images (n, h, w) or (n, h, w, channels), which are flattened; no labels.

    Raises DataError when the file is cut short, damaged, has bytes to spare, or holds anything but real numbers.
    """
    with path.open("rb") as file:
        array = _read_array(file, os.fstat(file.fileno()).st_size, str(path), NUMBERS)
    x, image_shape = _as_rows(array, str(path))
    return Source(name=str(path), x=x, image_shape=image_shape)


def load_npz(path: Path) -> Source:
    """Rows and labels of a .npz file: x, and where they exist y, x_test and y_test.

    x is as in a .npy file; y is (n,) integers (-1: no label) or strings (empty: no label). Raises DataError as
    load_npy does, when x is missing, and when the arrays do not fit each other.
    """
    arrays = _read_members(path)
    x, image_shape = _as_rows(arrays["x"], f"{path}: x")
    source = Source(name=str(path), x=x, image_shape=image_shape)
    if "x_test" in arrays:
        x_test, test_shape = _as_rows(arrays["x_test"], f"{path}: x_test")
        if test_shape != image_shape:
            shapes = f"expected rows of shape {arrays['x'].shape[1:]} as in x, got {arrays['x_test'].shape[1:]}"
            raise DataError(f"{path}: x_test: {shapes}; save both with the same shape")
        source = source._replace(x_test=x_test)
    names = [name for name in ("y", "y_test") if name in arrays]
    if names:
        classes, indices = classes_of_arrays(str(path), [arrays[name] for name in names])
        found = dict(zip(names, indices, strict=True))
        source = source._replace(classes=classes, y=found.get("y"), y_test=found.get("y_test"))
    if source.y_test is not None and source.x_test is None:
        raise DataError(f"{path}: expected x_test along with y_test, got y_test alone; save the rows it belongs to")
    return source


def _read_members(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if "x" not in members:
                raise DataError(
                    f"{path}: expected an array named x, got {', '.join(members) or 'no arrays'}; "
                    "save it by numpy.savez(path, x=rows, y=labels)"
                )
            return {name: _read_member(archive, members[name], path, name) for name in KINDS if name in members}
    except DataError:
        raise
    except DAMAGE as error:
        raise DataError(f"{path}: expected a .npz archive, got damaged data ({error}); save it again") from None


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, name: str) -> np.ndarray:
    if info.compress_type not in METHODS:
        raise DataError(
            f"{path}: {name}: expected numpy's compression (stored or deflated), got method {info.compress_type}; "
            "save it by numpy.savez or numpy.savez_compressed"
        )
    with archive.open(info) as member:
        return _read_array(cast(io.BufferedIOBase, member), info.file_size, f"{path}: {name}", KINDS[name])


class _Header(NamedTuple):
    shape: tuple[int, ...]
    column_major: bool
    dtype: np.dtype
    start: int


def _read_array(stream: io.BufferedIOBase, size: int, name: str, kinds: str) -> np.ndarray:
    header = _parse_header(bytes(read_up_to(stream, min(size, HEADER_BYTES), name)), name)
    if header.dtype.kind not in kinds:
        wanted = "real numbers" if kinds == NUMBERS else "integers or strings"
        raise DataError(f"{name}: expected an array of {wanted}, got {header.dtype}; convert it and save it again")
    count = math.prod(header.shape) * header.dtype.itemsize
    if count < 1 or min(header.shape, default=1) < 1:
        raise DataError(
            f"{name}: expected at least one element, got shape {header.shape}; save an array that holds data"
        )
    check_size(name, header.start + count, size)
    stream.seek(header.start)
    flat = np.frombuffer(read_body(stream, count, name, header.start), header.dtype)
    array = flat.reshape(header.shape, order="F" if header.column_major else "C")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _parse_header(head: bytes, name: str) -> _Header:
    stream = io.BytesIO(head)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(stream)
            if version not in HEADER_READERS:
                raise ValueError(f"format version {version[0]}.{version[1]}")
            return _Header(*HEADER_READERS[version](stream), stream.tell())
    except HEADER_DAMAGE as error:
        cause = " ".join(str(error).split())[:80]
        raise DataError(f"{name}: expected an array as numpy.save writes it, got {cause}; save it again") from None


def _as_rows(array: np.ndarray, name: str) -> tuple[np.ndarray, tuple[int, ...] | None]:
    if array.ndim not in (2, 3, 4):
        raise DataError(
            f"{name}: expected shape (n, d), (n, h, w) or (n, h, w, channels), got {array.shape}; reshape the array"
        )
    if array.ndim == 2:
        return array, None
    shape = array.shape[1:3] if array.shape[3:] == (1,) else array.shape[1:]
    return array.reshape(len(array), -1), shape
