"""Data: readers of files and known sets, division into parts, scaling, batches."""

from stackae.data.loading import Dataset, Part, load_data, load_source, scaled_rows
from stackae.data.minibatches import in_order, minibatches
from stackae.data.scaling import Scaling
from stackae.data.source import Source

__all__ = [
    "Dataset",
    "Part",
    "Scaling",
    "Source",
    "in_order",
    "load_data",
    "load_source",
    "minibatches",
    "scaled_rows",
]
