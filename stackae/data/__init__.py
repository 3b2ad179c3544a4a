"""Data: readers of files and known sets, division into parts, scaling, batches.

Names are loaded on first use, so that the table of formats costs no import of torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
_HOMES = {
    "loading": ("Dataset", "Part", "load_data", "load_source", "scaled_rows"),
    "minibatches": ("epoch_order", "in_order"),
    "rows": ("ByteRows", "Rows"),
    "scaling": ("Scaling",),
    "source": ("Source",),
}


def __getattr__(name: str) -> Any:
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'stackae.data' has no attribute {name!r}")
    return getattr(import_module(f"stackae.data.{home}"), name)
