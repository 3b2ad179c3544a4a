"""Sparse matrices in compressed or coordinate form, checked and made dense, where the memory has room for that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stackae.data.arrays.store import Declared, Stored
from stackae.data.formats.npy import NUMBERS
from stackae.data.memory import check_memory
from stackae.data.source import bytes_held
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

    def read(kinds: str) -> np.ndarray:
        return dense(label, form[0], shape, *(arrays[name].read(NUMBERS) for name in ("data", *names)))

    return Stored(lambda: Declared(shape), read, sparse=True)


def dense(
    label: str, form: str, shape: tuple[int, int], data: np.ndarray, first: np.ndarray, second: np.ndarray | None = None
) -> np.ndarray:
    """The matrix (n, d) of a form of ``COMPRESSED``; cells that are there twice are added.

    Raises DataError for parts that do not fit each other or the shape, and for more cells than the memory can hold.
    """
    from scipy import sparse

    check_memory(label, bytes_held(data.dtype, shape[0] * shape[1]), "a sparse matrix is made dense: give fewer rows")
    parts: tuple[object, ...] = (data, (first, second)) if form == "coo" else (data, first, second)
    if form == "dia":  # scipy looks at every place of a diagonal, however few are stored
        check_memory(label, 3 * 8 * first.size * shape[1], "save matrix.tocsr()")
    try:
        matrix = getattr(sparse, f"{form}_array")(parts if form != "dia" else (data, first), shape=shape)
        if form not in ("coo", "dia"):
            matrix.check_format(full_check=True)
    except (ValueError, TypeError, IndexError, ArithmeticError) as error:
        cause = legible(" ".join(str(error).split()), 200)
        raise DataError(f"{label}: expected a sparse matrix of shape {shape}, got {cause}; save it again") from None
    rows: np.ndarray = matrix.toarray()
    return rows
