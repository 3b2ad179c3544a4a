"""A digest of what a training reads, by which a resumed one knows that its data are still the same."""

from __future__ import annotations

import hashlib

from torch import Tensor

from stackae.data.loading import Dataset
from stackae.data.paired import PairedRows
from stackae.data.rows import ByteRows, Rows
from stackae.data.stored import pieces
from stackae.data.stored_rows import StoredRows


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 over the training and validation rows, labels, their scaling, and the names of classes or targets."""
    digest = hashlib.sha256()
    for part in (dataset.train, dataset.validation):
        if isinstance(part.x, StoredRows):
            digest.update(f"torch.{part.x.raw.dtype} {part.x.raw.shape};".encode())
            for _, piece in pieces(part.x.raw):
                digest.update(piece.data)
        for tensor in (*_raw(part.x), part.y):
            if tensor is not None:
                digest.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
                digest.update(_bytes(tensor))
    for tensor in (dataset.scaling.offset, dataset.scaling.scale, dataset.scaling.fill):
        digest.update(b"" if tensor is None else _bytes(tensor))
    digest.update("\0".join((*dataset.classes, *dataset.targets)).encode())
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    return memoryview(tensor.contiguous().numpy().data)


def _raw(x: Rows) -> list[Tensor]:
    if isinstance(x, PairedRows):
        return [x.inputs, x.targets]
    if isinstance(x, StoredRows):
        return []
    return [x.raw if isinstance(x, ByteRows) else x]
