"""Where rows lie while a network on a device is trained on them: there where they fit, else in memory."""

from __future__ import annotations

import torch

from stackae.data.rows import Rows

SHARE = 0.6  # of the free memory of a device that one set of rows may take: codes of the next layer come beside it


def home(size: int, device: torch.device) -> torch.device:
    """Where ``size`` bytes of rows for a network on ``device`` should lie: on it, or on the CPU when it is too small.

    Rows on the CPU are sent over batch by batch, while the batches before are trained on.
    """
    if device.type != "cuda":
        return device
    free, _ = torch.cuda.mem_get_info(device)
    return device if size <= SHARE * free else torch.device("cpu")


def placed(x: Rows, device: torch.device) -> Rows:
    """The rows at home, for a network on ``device``."""
    return x.to(home(x.nbytes, device))
