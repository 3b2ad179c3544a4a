"""numpy's .npz files: an archive of arrays, each read as a .npy file is, or the parts of one of scipy's sparse ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stackae.data.arrays.archive import members_of
from stackae.data.arrays.sparse import KEYS, stored_sparse
from stackae.data.arrays.store import Store
from stackae.data.formats.npy import stored_npy


@contextmanager
def opened_npz(path: Path) -> Iterator[Store]:
    """The arrays of a .npz file, while it is open; of one that scipy.sparse.save_npz wrote, its matrix alone.

    Raises DataError for a file that is no archive, or a damaged one.
    """
    with members_of(path) as members:
        arrays = {name: stored_npy(member.open, member.size, member.label) for name, member in members.items()}
        yield Store(path, {"": stored_sparse(path, arrays)} if arrays.keys() >= KEYS else arrays)
