"""Data: readers of files and known sets, division into parts, scaling, batches.

Names are loaded on first use, so that the table of formats costs no import of torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackae.lazy import lazily

if TYPE_CHECKING:
    from stackae.data.loading import Dataset as Dataset
    from stackae.data.loading import Part as Part
    from stackae.data.loading import load_data as load_data
    from stackae.data.loading import load_pool as load_pool
    from stackae.data.loading import load_source as load_source
    from stackae.data.loading import scaled_rows as scaled_rows
    from stackae.data.minibatches import epoch_order as epoch_order
    from stackae.data.minibatches import in_order as in_order
    from stackae.data.rows import ByteRows as ByteRows
    from stackae.data.rows import Rows as Rows
    from stackae.data.scaling import Scaling as Scaling
    from stackae.data.source import Source as Source

__getattr__, __dir__ = lazily(__name__, __file__)
