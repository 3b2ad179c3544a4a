"""A digest of what a training reads, by which a resumed one knows that its data are still the same."""

from __future__ import annotations

import hashlib

from torch import Tensor

from stackae.data.loading import Dataset
from stackae.data.paired import PairedRows
from stackae.data.rows import ByteRows, Rows


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 over the training and validation rows, labels, their scaling, and the names of classes or targets."""
    digest = hashlib.sha256()
    for part in (dataset.train, dataset.validation):
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
    return [x.raw if isinstance(x, ByteRows) else x]
