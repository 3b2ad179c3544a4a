"""What comes from elsewhere into a picture: names, shown as they are written, and numbers, all of them finite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from stackae.errors import legible

if TYPE_CHECKING:
    from matplotlib.legend import Legend


def written(text: str, most: int = 200) -> str:
    """A name from elsewhere as a picture may show it: legible, short, and not hidden, as labels are that begin by _."""
    shown = legible(text, most)
    return f" {shown}" if shown.startswith("_") else shown


def numbers_of(values: Tensor) -> np.ndarray:
    """float64, all finite: what left the numbers of float32 lies at their ends, and NaN at 0."""
    most = float(np.finfo(np.float32).max)
    finite: np.ndarray = np.nan_to_num(values.detach().cpu().double().numpy(), nan=0.0, posinf=most, neginf=-most)
    return finite


def as_written(legend: Legend) -> None:
    """Names are not read as formulas where there is a $ in them."""
    for text in legend.get_texts():
        text.set_parse_math(False)
