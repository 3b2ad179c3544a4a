"""numpy's .npz files: an archive of arrays, each read as a .npy file is, or the parts of one of scipy's sparse ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stackae.data.arrays.archive import Member, members_of
from stackae.data.arrays.npy import stored_npy
from stackae.data.arrays.sparse import KEYS, stored_sparse
from stackae.data.arrays.store import Store, Stored
from stackae.data.spool.pieces import Mappable


@contextmanager
def opened_npz(path: Path) -> Iterator[Store]:
    """The arrays of a .npz file, while it is open; of one that scipy.sparse.save_npz wrote, its matrix alone.

    Raises DataError for a file that is no archive, or a damaged one.
    """
    with members_of(path) as members:
        arrays = {name: _stored(path, member) for name, member in members.items()}
        yield Store(path, {"": stored_sparse(path, arrays)} if arrays.keys() >= KEYS else arrays)


def _stored(path: Path, member: Member) -> Stored:
    def plain() -> Mappable | None:
        start = member.start()
        return None if start is None else Mappable(path, start)

    return stored_npy(member.open, member.size, member.label, plain)
