"""Folders of .npy files that are one array together, each some of its rows."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from stackae.data.arrays.store import Declared, Store, Stored
from stackae.data.formats.bounded import opened
from stackae.data.formats.npy import LABELS, NUMBERS, Header, NpyPieces, read_array, read_header
from stackae.data.formats.shards import shards_of
from stackae.data.memory import check_memory
from stackae.data.source import bytes_held
from stackae.data.spool.pieces import Pieces
from stackae.errors import DataError


@contextmanager
def opened_shards(folder: Path) -> Iterator[Store]:
    """The one array of a folder of .npy files: their rows, one file after the other.

    Raises DataError for files that are none of it, by name: damaged or empty ones, of another shape or type than the
    first, and numbers that are missing.
    """
    files, notes = shards_of(folder, ".npy")
    shape, dtype = _together(files, [_header(path) for path in files])
    stored = Stored(
        lambda: Declared.of(shape, dtype),
        lambda kinds: _whole(str(folder), files, shape, dtype, kinds),
        pieces=lambda: Pieces(str(folder), shape, dtype, lambda: _pieces(files)),
    )
    told = f"{folder}: {len(files):,} .npy files, {files[0].name} to {files[-1].name}"
    yield Store(folder, {"": stored}, files, (told, *notes) if len(files) > 1 else notes)


def _header(path: Path) -> Header:
    with opened(path) as file:
        header, _ = read_header(file, os.fstat(file.fileno()).st_size, str(path), LABELS)
    if not header.shape:
        raise DataError(f"{path}: expected rows, got a single number; keep it in another folder")
    return header


def _together(files: tuple[Path, ...], headers: list[Header]) -> tuple[tuple[int, ...], np.dtype]:
    """The shape of all rows and their type. Raises DataError, by name, for a shard that does not fit the first."""
    first = headers[0]
    for path, header in zip(files, headers, strict=True):
        if (header.shape[1:], header.dtype.kind) != (first.shape[1:], first.dtype.kind):
            raise DataError(
                f"{path}: expected rows of shape {first.shape[1:]}, {_kind(first)}, as in {files[0].name}, got "
                f"{header.shape[1:]}, {_kind(header)}; keep it in another folder"
            )
    dtype = np.result_type(*(header.dtype for header in headers)).newbyteorder("=")
    return (sum(header.shape[0] for header in headers), *first.shape[1:]), dtype


def _kind(header: Header) -> str:
    return "text" if header.dtype.kind in "US" else str(header.dtype.newbyteorder("="))


def _whole(name: str, files: tuple[Path, ...], shape: tuple[int, ...], dtype: np.dtype, kinds: str) -> np.ndarray:
    """All rows in memory. Raises DataError as ``read_array``, and where they do not fit there."""
    if dtype.kind in NUMBERS:
        check_memory(name, bytes_held(dtype, math.prod(shape)))
    found, start = np.empty(shape, dtype), 0
    for path in files:
        with opened(path) as file:
            part = read_array(file, os.fstat(file.fileno()).st_size, str(path), kinds)
        found[start : start + len(part)] = part
        start += len(part)
    return found


def _pieces(files: tuple[Path, ...]) -> Iterator[np.ndarray]:
    for path in files:
        with opened(path) as file:
            yield from NpyPieces(path, file)
