"""What all plots share: figures and their bytes, names shown as written, finite numbers.

matplotlib is imported when the first plot is drawn, or aside before it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from stackae.errors import legible

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

DOTS_PER_INCH = 120


@contextmanager
def loaded_aside() -> Iterator[None]:
    """Load matplotlib on a thread of its own meanwhile: a second core is free while data are read.

    An error there is not raised: the first plot meets it again.
    """

    def load() -> None:
        with suppress(Exception):
            import matplotlib.backends.backend_agg
            import matplotlib.figure  # noqa: F401 - loaded for the plots to come

    with ThreadPoolExecutor(1, "matplotlib") as thread:
        thread.submit(load)
        yield


def new_figure(width: float, height: float) -> Figure:
    """Make a figure of that size in inches, without pyplot and its global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")


def png_of(figure: Figure) -> bytes:
    """Render a figure as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # of a name in a script that the font lacks
        canvas: Any = FigureCanvasAgg(figure)  # whose method has no types
        canvas.print_png(buffer)  # savefig would draw twice, once for the layout alone
    return buffer.getvalue()


def drawable(image_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Return (h, w) or (h, w, 3 or 4) if matplotlib can draw that shape, else None."""
    if image_shape is None or len(image_shape) == 2:
        return image_shape
    if image_shape[2] == 1:
        return image_shape[:2]
    return image_shape if image_shape[2] in (3, 4) else None


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
