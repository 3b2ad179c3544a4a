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
from typing import Any, NamedTuple

import numpy as np

from stackae.data.arrays.hdf5_texts import is_of_texts, texts_of
from stackae.data.arrays.sparse import Parts, dense, rows_of
from stackae.data.arrays.store import MOST_ARRAYS, Declared, Store, Stored, called
from stackae.data.formats.bounded import DEFLATE_LIMIT, opened
from stackae.data.formats.npy import LONGEST_LABEL, MOST_DIMENSIONS, NUMBERS, check_kind
from stackae.data.memory import check_memory
from stackae.data.source import bytes_held
from stackae.data.spool.pieces import Mappable, Pieces
from stackae.errors import DataError, SetupError, legible

FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip"}
MATLAB_TYPE, SPARSE = "MATLAB_class", "MATLAB_sparse"
MATLAB_NUMBERS = (
    b"double",
    b"single",
    b"logical",
    *(b"%sint%d" % (sign, 8 << each) for sign in (b"", b"u") for each in range(4)),
)


class Dataset(NamedTuple):
    """A dataset, the file that it lies in, and how messages call it; of MATLAB's, its axes are in reverse order."""

    path: Path
    label: str
    dataset: Any
    matlab: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        shape = tuple(self.dataset.shape or ())
        return shape[::-1] if self.matlab else shape

    @property
    def is_number(self) -> bool:
        """Whether integers are numbers, and not the characters of a text of MATLAB's."""
        if not self.matlab or MATLAB_TYPE not in self.dataset.attrs:
            return True
        kind = self.dataset.attrs.get_id(MATLAB_TYPE).dtype
        return kind.kind == "S" and kind.itemsize < 64 and bytes(self.dataset.attrs[MATLAB_TYPE]) in MATLAB_NUMBERS


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
            one = Dataset(path, label, dataset, matlab)
            yield name, Stored(partial(_declared, one), partial(_read, one, size), pieces=partial(_pieces, one))
        for name, group in matrices.items():
            label = called(path, name)
            yield (
                name,
                Stored(
                    partial(_declared_sparse, label, group),
                    partial(_read_sparse, path, label, group, size),
                    sparse=True,
                    pieces=partial(_pieces_sparse, path, label, group, size),
                ),
            )


def _declared_sparse(label: str, group: Any) -> Declared:
    """Of a sparse matrix of MATLAB's: its rows are an attribute, its columns those whose beginnings are stored."""
    with _damage(label):
        rows, columns = int(group.attrs[SPARSE]), len(group["jc"]) - 1
        return Declared.of((rows, columns), np.dtype(np.float64))


def _read_sparse(path: Path, label: str, group: Any, size: int, kinds: str) -> np.ndarray:
    return dense(_parts(path, label, group, size, kinds))


def _pieces_sparse(path: Path, label: str, group: Any, size: int) -> Pieces:
    return rows_of(_parts(path, label, group, size, NUMBERS))


def _parts(path: Path, label: str, group: Any, size: int, kinds: str) -> Parts:
    """The arrays of a sparse matrix of MATLAB's."""
    rows, columns = _declared_sparse(label, group).shape
    with _damage(label):
        starts, data, places = (
            _read(Dataset(path, label, group[part]), size, "iuf") if part in group else np.zeros(0)
            for part in ("jc", "data", "ir")
        )
        dtype = np.dtype(np.bool_ if bytes(group.attrs.get(MATLAB_TYPE, b"")) == b"logical" else np.float64)
        check_kind(label, dtype.kind, "a sparse matrix", kinds)
        return Parts(
            label, "csc", (rows, columns), data.astype(dtype), places.astype(np.int64), starts.astype(np.int64)
        )


def _declared(found: Dataset) -> Declared:
    with _damage(found.label):
        declared = Declared.of(found.shape, found.dataset.dtype)
        return declared._replace(kind="text") if not found.is_number or is_of_texts(found.dataset) else declared


def _read(found: Dataset, size: int, kinds: str) -> np.ndarray:
    label, dataset = found.label, found.dataset
    with _damage(label):
        _check_declared(found, kinds)
        _check_storage(label, dataset, dataset.size)
        if is_of_texts(dataset):
            return texts_of(label, dataset, size)
        array = np.empty(dataset.shape, dataset.dtype.newbyteorder("="))
        dataset.read_direct(array)
        return array.T if found.matlab else array


def _pieces(found: Dataset) -> Pieces:
    """The rows of a dataset of real numbers, mapped where it is neither packed nor in chunks."""
    label, dataset = found.label, found.dataset
    with _damage(label):
        _check_declared(found, NUMBERS)
        pieces = Pieces(label, found.shape, dataset.dtype.newbyteorder("="), lambda: iter(()))
        axis = len(found.shape) - 1 if found.matlab else 0
        chunk = int(dataset.chunks[axis]) if dataset.chunks else 1
        step = -(-pieces.step // chunk) * chunk  # no chunk is unpacked twice
        _check_storage(label, dataset, min(step, len(dataset)) * pieces.width)
        return pieces._replace(read=partial(_some_rows, found, axis, step), mappable=_plain(found))


def _some_rows(found: Dataset, axis: int, step: int) -> Iterator[np.ndarray]:
    for start in range(0, found.shape[0], step):
        with _damage(found.label):
            rows = found.dataset[(slice(None),) * axis + (slice(start, start + step),)]
        yield rows.T if found.matlab else rows


def _plain(found: Dataset) -> Mappable | None:
    """Where the numbers lie in the file, if they do so as numpy has them."""
    import h5py

    dataset = found.dataset
    start, same = dataset.id.get_offset(), dataset.id.get_type() == h5py.h5t.py_create(dataset.dtype)
    as_numpy = dataset.dtype.kind in "iuf" and dataset.dtype.isnative and same
    whole = start is not None and dataset.id.get_storage_size() == dataset.nbytes
    whole = whole and start + dataset.nbytes <= found.path.stat().st_size
    moved = found.matlab or dataset.file.userblock_size > 0  # which versions of the library count, or not
    return Mappable(found.path, start) if as_numpy and whole and not moved else None


def _check_declared(found: Dataset, kinds: str) -> None:
    """DataError for another kind of numbers than wanted, and for a shape that holds no rows."""
    label, dataset, shape = found.label, found.dataset, found.shape
    dtype, of_texts = dataset.dtype, is_of_texts(dataset)
    check_kind(label, "U" if of_texts else dtype.kind if found.is_number else "O", _type(found), kinds)
    if not shape or min(shape) < 1 or len(shape) > MOST_DIMENSIONS:
        raise DataError(
            f"{label}: expected at least one element and at most {MOST_DIMENSIONS} dimensions, got shape "
            f"{tuple(dataset.shape or ())}; save an array that holds data"
        )
    if dtype.kind == "S" and dtype.itemsize > LONGEST_LABEL:
        raise DataError(
            f"{label}: expected labels of at most {LONGEST_LABEL:,} characters, got {dtype.itemsize:,}; save class "
            "names or numbers"
        )


def _type(found: Dataset) -> str:
    return legible(str(found.dataset.dtype)) if found.is_number and not is_of_texts(found.dataset) else "text"


def _check_storage(label: str, dataset: Any, held: int) -> None:
    """DataError for a dataset that lies elsewhere, is packed by other means, or declares more than it stores; and
    where so many of its cells are more than the memory holds."""
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
    check_memory(label, bytes_held(dataset.dtype, held) + chunk)
