"""HDF5 files, MATLAB's of version 7.3 among them: datasets of numbers and of texts.

What would make the library look elsewhere or run code that is not its own is refused before anything is read: links to
other files, virtual datasets, datasets in files of their own, and filters other than those of every installation.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stackae.data.arrays.hdf5_texts import is_of_texts, texts_of
from stackae.data.arrays.sparse import dense
from stackae.data.arrays.store import MOST_ARRAYS, Declared, Store, Stored, called
from stackae.data.formats.bounded import DEFLATE_LIMIT, opened
from stackae.data.formats.npy import LONGEST_LABEL, MOST_DIMENSIONS, check_kind
from stackae.data.memory import check_memory
from stackae.data.source import bytes_held
from stackae.errors import DataError, SetupError, legible

FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip"}
MATLAB_TYPE, SPARSE = "MATLAB_class", "MATLAB_sparse"
MATLAB_NUMBERS = (
    b"double",
    b"single",
    b"logical",
    *(b"%sint%d" % (sign, 8 << each) for sign in (b"", b"u") for each in range(4)),
)


@contextmanager
def opened_hdf5(path: Path, matlab: bool = False) -> Iterator[Store]:
    """The datasets of a file by their paths, while it is open; of a file of MATLAB's, its arrays as MATLAB has them.

    Raises DataError for a damaged file, SetupError without h5py.
    """
    try:
        import h5py
    except ImportError as error:
        raise SetupError(
            f"{path}: expected h5py to read it, got an import that fails ({error}); pip install 'stackae[hdf5]'"
        ) from None
    with opened(path) as file:
        with _damage(str(path)):
            root = h5py.File(file, "r")
        try:
            yield Store(path, dict(_stored(path, root, matlab, os.fstat(file.fileno()).st_size)))
        finally:
            root.close()


@contextmanager
def _damage(label: str) -> Iterator[None]:
    """Whatever the library says of a file is a DataError: it has an exception of any kind for each damage."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:
        cause = legible(" ".join(str(error).split()) or type(error).__name__, 200)
        raise DataError(f"{label}: expected an HDF5 file, got damaged data ({cause}); save it again") from None


def _stored(path: Path, root: Any, matlab: bool, size: int) -> Iterator[tuple[str, Stored]]:
    """Every dataset that hard links lead to."""
    import h5py

    found: list[tuple[str, Any]] = []
    matrices: dict[str, Any] = {}

    def look(name: str, item: Any) -> bool | None:
        if matlab and SPARSE in item.attrs:
            matrices[name] = item
        elif isinstance(item, h5py.Dataset) and name.rpartition("/")[0] not in matrices:
            found.append((name, item))
        return True if len(found) + len(matrices) > MOST_ARRAYS else None

    with _damage(str(path)):
        if root.visititems(look):
            raise DataError(f"{path}: expected at most {MOST_ARRAYS:,} datasets, got more; save rows and labels alone")
        for name, dataset in found:
            if matlab and name.startswith("#"):
                continue
            name = name if matlab else f"/{name}"
            label = called(path, name)
            yield name, Stored(partial(_declared, label, dataset, matlab), partial(_read, label, dataset, matlab, size))
        for name, group in matrices.items():
            label = called(path, name)
            yield (
                name,
                Stored(partial(_declared_sparse, label, group), partial(_read_sparse, label, group, size), sparse=True),
            )


def _declared_sparse(label: str, group: Any) -> Declared:
    """Of a sparse matrix of MATLAB's: its rows are an attribute, its columns those whose beginnings are stored."""
    with _damage(label):
        return Declared((int(group.attrs[SPARSE]), len(group["jc"]) - 1))


def _read_sparse(label: str, group: Any, size: int, kinds: str) -> np.ndarray:
    rows, columns = _declared_sparse(label, group).shape
    with _damage(label):
        starts, *others = (
            _read(label, group[part], False, size, "iuf") if part in group else np.zeros(0)
            for part in ("jc", "data", "ir")
        )
        data, places = others
        dtype = np.dtype(np.bool_ if bytes(group.attrs.get(MATLAB_TYPE, b"")) == b"logical" else np.float64)
        check_kind(label, dtype.kind, "a sparse matrix", kinds)
        return dense(
            label, "csc", (rows, columns), data.astype(dtype), places.astype(np.int64), starts.astype(np.int64)
        )


def _declared(label: str, dataset: Any, matlab: bool) -> Declared:
    with _damage(label):
        shape = tuple(dataset.shape or ())
        declared = Declared.of(shape[::-1] if matlab else shape, dataset.dtype)
        texts = not _is_number(dataset, matlab) or is_of_texts(dataset)
        return declared._replace(kind="text") if texts else declared


def _is_number(dataset: Any, matlab: bool) -> bool:
    """Whether integers are numbers, and not the characters of a text of MATLAB's."""
    if not matlab or MATLAB_TYPE not in dataset.attrs:
        return True
    kind = dataset.attrs.get_id(MATLAB_TYPE).dtype
    return kind.kind == "S" and kind.itemsize < 64 and bytes(dataset.attrs[MATLAB_TYPE]) in MATLAB_NUMBERS


def _read(label: str, dataset: Any, matlab: bool, size: int, kinds: str) -> np.ndarray:
    with _damage(label):
        dtype, of_texts = dataset.dtype, is_of_texts(dataset)
        kind = "U" if of_texts else dtype.kind if _is_number(dataset, matlab) else "O"
        check_kind(label, kind, _type(dataset, matlab), kinds)
        shape = tuple(dataset.shape or ())
        if not shape or min(shape) < 1 or len(shape) > MOST_DIMENSIONS:
            raise DataError(
                f"{label}: expected at least one element and at most {MOST_DIMENSIONS} dimensions, got shape {shape}; "
                "save an array that holds data"
            )
        if dtype.kind == "S" and dtype.itemsize > LONGEST_LABEL:
            raise DataError(
                f"{label}: expected labels of at most {LONGEST_LABEL:,} characters, got {dtype.itemsize:,}; save class "
                "names or numbers"
            )
        _check_storage(label, dataset)
        if of_texts:
            return texts_of(label, dataset, size)
        array = np.empty(shape, dtype.newbyteorder("="))
        dataset.read_direct(array)
        return array.T if matlab else array


def _type(dataset: Any, matlab: bool) -> str:
    return legible(str(dataset.dtype)) if _is_number(dataset, matlab) and not is_of_texts(dataset) else "text"


def _check_storage(label: str, dataset: Any) -> None:
    """DataError for a dataset that lies elsewhere, is packed by other means, or declares more than it stores."""
    layout = dataset.id.get_create_plist()
    elsewhere = "a virtual dataset" if dataset.is_virtual else "a dataset in another file" if dataset.external else ""
    if elsewhere:
        raise DataError(f"{label}: expected numbers in this very file, got {elsewhere}; save them in one file")
    for number in range(layout.get_nfilters()):
        code = layout.get_filter(number)[0]
        if code not in FILTERS:
            raise DataError(
                f"{label}: expected a dataset that is plain or packed by {', '.join(FILTERS.values())}, got filter "
                f"{code}; save it with compression='gzip'"
            )
    needed, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if needed > DEFLATE_LIMIT * stored:
        raise DataError(
            f"{label}: expected no more numbers than {stored:,} stored bytes can hold, got shape {dataset.shape}; "
            "write all of it"
        )
    chunk = int(np.prod(dataset.chunks, dtype=object)) * dataset.dtype.itemsize if dataset.chunks else 0
    check_memory(label, bytes_held(dataset.dtype, dataset.size) + chunk)
