"""Data: readers of files and known sets, division into parts, scaling, batches."""

from stackae.data.loading import Dataset, Part, load_data, load_source, scaled_rows
from stackae.data.minibatches import epoch_order, in_order
from stackae.data.rows import ByteRows, Rows
from stackae.data.scaling import Scaling
from stackae.data.source import Source

__all__ = [
    "ByteRows",
    "Dataset",
    "Part",
    "Rows",
    "Scaling",
    "Source",
    "epoch_order",
    "in_order",
    "load_data",
    "load_source",
    "scaled_rows",
]
