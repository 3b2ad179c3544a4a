"""A digest of what a training reads, by which a resumed one knows that its data are still the same."""

from __future__ import annotations

import hashlib

import numpy as np
from torch import Tensor

from stackae.data.codes.encoded import EncodedRows
from stackae.data.loading import Dataset
from stackae.data.paired import PairedRows
from stackae.data.rows import ByteRows, Rows
from stackae.data.run_rows import RowsRead
from stackae.data.stored.array import pieces
from stackae.data.stored.rows import StoredRows


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 over the training and validation rows, labels, their scaling, and the names of classes or targets."""
    digest = hashlib.sha256()
    for part in (dataset.train, dataset.validation):
        if isinstance(part.x, StoredRows):
            _add_stored(digest, part.x)
        for tensor in (*_raw(part.x), part.y):
            if tensor is not None:
                digest.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
                digest.update(_bytes(tensor))
    for tensor in (dataset.scaling.offset, dataset.scaling.scale, dataset.scaling.fill):
        digest.update(b"" if tensor is None else _bytes(tensor))
    digest.update("\0".join((*dataset.classes, *dataset.targets)).encode())
    return digest.hexdigest()


def fingerprint_of_rows(rows: RowsRead) -> str:
    """SHA-256 of what the rows hold, which of the file they are, and their labels."""
    digest = hashlib.sha256(f"{rows.content} {rows.numbers.shape}".encode())
    digest.update(np.ascontiguousarray(rows.numbers).data)
    digest.update(b"" if rows.y is None else _bytes(rows.y))
    return digest.hexdigest()


def _add_stored(digest: hashlib._Hash, x: StoredRows) -> None:
    """As of the same rows in memory, which are bytes or scaled numbers."""
    digest.update(f"torch.{'uint8' if x.as_bytes else 'float32'} {tuple(x.shape)};".encode())
    for _, piece in pieces(x.raw):
        digest.update(piece.data if x.as_bytes else _bytes(x.scaling.transform(piece)))


def _bytes(tensor: Tensor) -> memoryview:
    return memoryview(tensor.contiguous().numpy().data)


def _raw(x: Rows) -> list[Tensor]:
    if isinstance(x, PairedRows):
        return [x.inputs, x.targets]
    if isinstance(x, StoredRows):
        return []
    assert not isinstance(x, EncodedRows), "codes are no data of their own"
    return [x.raw if isinstance(x, ByteRows) else x]
