"""Sparse matrices in compressed or coordinate form, checked and made dense, where the memory has room for that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stackae.data.arrays.store import Declared, Stored
from stackae.data.formats.npy import NUMBERS
from stackae.data.memory import check_memory
from stackae.data.source import bytes_held
from stackae.data.spool.pieces import Pieces
from stackae.errors import DataError, legible

KEYS = {"format", "shape", "data"}  # of every matrix that scipy.sparse.save_npz writes
COMPRESSED = {
    "csr": ("indices", "indptr"),
    "csc": ("indices", "indptr"),
    "bsr": ("indices", "indptr"),
    "coo": ("row", "col"),
    "dia": ("offsets",),
}


def stored_sparse(path: Path, arrays: Mapping[str, Stored]) -> Stored:
    """The matrix whose parts scipy.sparse.save_npz wrote, as an array (n, d). Raises DataError for another form."""
    label = str(path)
    form = np.asarray(arrays["format"].read("SU")).reshape(-1).astype(str)[:1].tolist()
    names = COMPRESSED.get("".join(form))
    if names is None or not arrays.keys() >= {*names}:
        known = ", ".join(COMPRESSED)
        raise DataError(
            f"{label}: expected a sparse matrix in one of the forms {known}, got '{legible(''.join(form))}'; save "
            "matrix.tocsr()"
        )
    lengths = arrays["shape"].read("iu").reshape(-1).tolist()
    if len(lengths) != 2 or min(lengths) < 1:
        raise DataError(f"{label}: expected a sparse matrix with rows and columns, got shape {lengths}; save one")
    shape = (int(lengths[0]), int(lengths[1]))

    def parts() -> Parts:
        return Parts(label, form[0], shape, *(arrays[name].read(NUMBERS) for name in ("data", *names)))

    data = arrays["data"].declared()
    declared = Declared(shape, bytes_held=shape[0] * shape[1] * data.bytes_held // max(1, data.size))
    return Stored(lambda: declared, lambda kinds: dense(parts()), sparse=True, pieces=lambda: rows_of(parts()))


class Parts(NamedTuple):
    """A matrix (n, d) of a form of ``COMPRESSED``, how messages call it, and its arrays."""

    label: str
    form: str
    shape: tuple[int, int]
    data: np.ndarray
    first: np.ndarray
    second: np.ndarray | None = None


def dense(parts: Parts) -> np.ndarray:
    """The matrix (n, d); cells that are there twice are added.

    Raises DataError for parts that do not fit each other or the shape, and for more cells than the memory can hold.
    """
    cells = parts.shape[0] * parts.shape[1]
    remedy = "a sparse matrix is made dense: give fewer rows"
    check_memory(parts.label, bytes_held(parts.data.dtype, cells), remedy)
    rows: np.ndarray = _matrix(parts).toarray()
    return rows


def rows_of(parts: Parts) -> Pieces:
    """The rows of the matrix, some of which are made dense at a time. Raises DataError as ``dense``, but for memory."""
    matrix = _matrix(parts)
    pieces = Pieces(parts.label, parts.shape, matrix.dtype, lambda: iter(()))
    matrix = matrix if parts.form == "csr" else matrix.tocoo()

    def read() -> Iterator[np.ndarray]:
        for start in range(0, parts.shape[0], pieces.step):
            yield matrix[start : start + pieces.step].toarray()

    return pieces._replace(read=read if parts.form == "csr" else lambda: _of_places(matrix, pieces.step))


def _of_places(matrix: Any, step: int) -> Iterator[np.ndarray]:
    """The rows of a matrix in coordinate form. Cells of one place are added in the order in which they are stored."""
    from scipy import sparse

    rows, columns = matrix.shape
    order = np.argsort(matrix.row, kind="stable")
    row, column, data = matrix.row[order], matrix.col[order], matrix.data[order]
    for start in range(0, rows, step):
        count = min(step, rows - start)
        cells = slice(*np.searchsorted(row, (start, start + count)).tolist())
        yield sparse.coo_array((data[cells], (row[cells] - start, column[cells])), shape=(count, columns)).toarray()


def _matrix(parts: Parts) -> Any:
    """The matrix of scipy's, checked. Raises DataError where the parts do not fit."""
    from scipy import sparse

    label, form, shape, data, first, second = parts
    given: tuple[object, ...] = (data, (first, second)) if form == "coo" else (data, first, second)
    if form == "dia":  # scipy looks at every place of a diagonal, however few are stored
        check_memory(label, 3 * 8 * first.size * shape[1], "save matrix.tocsr()")
    try:
        matrix = getattr(sparse, f"{form}_array")(given if form != "dia" else (data, first), shape=shape)
        if form not in ("coo", "dia"):
            matrix.check_format(full_check=True)
    except (ValueError, TypeError, IndexError, ArithmeticError) as error:
        cause = legible(" ".join(str(error).split()), 200)
        raise DataError(f"{label}: expected a sparse matrix of shape {shape}, got {cause}; save it again") from None
    return matrix
