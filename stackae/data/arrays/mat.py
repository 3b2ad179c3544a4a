"""MATLAB's .mat files: version 5 (save -v6, -v7), and version 7.3, which is HDF5."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stackae.data.arrays.store import Store
from stackae.data.formats.bounded import opened
from stackae.errors import DataError

HEADER_BYTES = 128
ORDERS = {b"IM": "<", b"MI": ">"}
MAJOR = {1: "version 5", 2: "version 7.3"}


@contextmanager
def opened_mat(path: Path) -> Iterator[Store]:
    """The arrays of a .mat file, while it is open. Raises DataError for a damaged file, and for other versions."""
    with opened(path) as file:
        head = file.read(HEADER_BYTES)
        order = ORDERS.get(head[126:128])
        version = 0 if order is None else head[125 if order == "<" else 124]
        if version not in MAJOR:
            raise DataError(
                f"{path}: expected a MATLAB file of version 5, 7 or 7.3, got {_instead(head)}; save it by save -v7"
            )
        if version == 1:
            from stackae.data.arrays.mat5 import stored_arrays

            yield Store(path, stored_arrays(path, file, str(order)))
            return
    from stackae.data.arrays.hdf5 import opened_hdf5

    with opened_hdf5(path, matlab=True) as store:
        yield store


def _instead(head: bytes) -> str:
    if len(head) < HEADER_BYTES:
        return f"a file of {len(head)} bytes"
    text = all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return "text" if text else "another kind of file, or version 4"
