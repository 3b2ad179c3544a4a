"""Texts of variable length in HDF5 files, as h5py, pandas and anndata write names of classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from stackae.data.formats.npy import LONGEST_LABEL
from stackae.data.memory import check_memory
from stackae.errors import DataError

AT_ONCE = 1 << 28  # bytes of texts that are read at once, at most: each may be as long as its file
MOST_AT_ONCE = 1 << 14
BYTES_OF_TEXT = 80  # that a short one takes, beside its characters


def is_of_texts(dataset: Any) -> bool:
    """Whether these are texts of any length."""
    import h5py

    found = h5py.check_string_dtype(dataset.dtype)
    return found is not None and found.length is None


def texts_of(label: str, dataset: Any, size: int) -> np.ndarray:
    """The texts (n,) of a dataset, one per row, of a file of so many bytes.

    Many may be one text of the file, as long as that: few are read at once, and looked at before the next. Raises
    DataError for several per row, for longer ones than labels are, and for what is no UTF-8.
    """
    count = int(dataset.size)
    if count != len(dataset):
        raise DataError(f"{label}: expected one text per row, got shape {dataset.shape}; save class names or numbers")
    check_memory(label, BYTES_OF_TEXT * count)
    found, step = list[str](), max(1, min(MOST_AT_ONCE, AT_ONCE // size))
    for start in range(0, count, step):
        texts = [text.decode() for text in dataset[start : start + step].reshape(-1).tolist()]
        if longest := max((len(text) for text in texts if len(text) > LONGEST_LABEL), default=0):
            raise DataError(
                f"{label}: expected labels of at most {LONGEST_LABEL:,} characters, got {longest:,}; save class names "
                "or numbers"
            )
        found += texts
    check_memory(label, count * np.dtype("U1").itemsize * max(map(len, found)))
    return np.array(found)
