"""Convert names and numbers of users' data for a plot: names shown as written, numbers finite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from stackae.errors import legible

if TYPE_CHECKING:
    from matplotlib.legend import Legend


def written(text: str, most: int = 200) -> str:
    """Return a name as a plot can show it: legible, short, not hidden (matplotlib hides labels that begin with _)."""
    shown = legible(text, most)
    return f" {shown}" if shown.startswith("_") else shown


def numbers_of(values: Tensor) -> np.ndarray:
    """Return finite float64 values: ±Inf becomes the largest float32 in magnitude, NaN becomes 0."""
    most = float(np.finfo(np.float32).max)
    finite: np.ndarray = np.nan_to_num(values.detach().cpu().double().numpy(), nan=0.0, posinf=most, neginf=-most)
    return finite


def as_written(legend: Legend) -> None:
    """Disable math mode, so that names with a $ are shown as they are."""
    for text in legend.get_texts():
        text.set_parse_math(False)
