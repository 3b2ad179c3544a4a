"""Pictures of a run beside its losses: filters, reconstructions and confusions, as PNG bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence, Sized
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from stackae.errors import legible
from stackae.plots.parts import drawable, new_figure, numbers_of, png_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST_NAME = 24  # characters of a class
MOST_CHANNELS, CHANNEL = 16, 0.4  # of a window that have a curve each, and its height, where a row alone has 1


def filters(weight: Tensor, image_shape: tuple[int, ...] | None, most: int = 100) -> bytes:
    """Draw the first layer's weights (n_hidden, n_visible), one image per unit; red is positive, blue negative.

    Without an image shape, draw the weights as one heat map: units down, features across.
    """
    from matplotlib.ticker import MaxNLocator

    w = weight.detach().cpu().numpy()
    figure = new_figure(8, 8)
    shape = drawable(image_shape)
    if shape is None or len(shape) == 3:
        axes = figure.subplots()
        bound = float(np.abs(w).max()) or 1.0
        shown = axes.imshow(w, cmap="RdBu_r", vmin=-bound, vmax=bound, aspect="auto", interpolation="nearest")
        axes.set(title="first-layer weights", xlabel="feature", ylabel="unit")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
        figure.colorbar(shown)
        return png_of(figure)
    count = min(most, len(w))
    columns = math.ceil(math.sqrt(count))
    figure.suptitle(f"first-layer filters ({count} of {len(w)} units, each scaled to its own range)")
    _image_grid(figure, w[:count], shape, columns)
    return png_of(figure)


def reconstructions(
    rows: list[tuple[str, Tensor]], image_shape: tuple[int, ...] | None, window: int | None = None
) -> bytes:
    """Draw named rows of images under one another: originals over their reconstructions.

    Each entry is (name, (n, n_visible)). Without an image shape, the rows are drawn as curves over the features; those
    of a ``window`` of several channels as a curve per channel, each on the scale that it has in the originals.
    """
    shape = drawable(image_shape)
    channels = 1 if window is None else max(1, rows[0][1].shape[1] // window)
    channels = channels if shape is None and channels <= MOST_CHANNELS else 1
    figure = new_figure(1.0 * len(rows[0][1]) + 1.2, 1.05 * len(rows) * max(1.0, CHANNEL * channels) + 0.3)
    named = [(name, numbers_of(values)) for name, values in rows]
    if shape is None:
        _draw_rows_as_curves(figure, named, channels)
    else:
        _draw_rows_as_images(figure, named, shape, *_range_of(named[0][1]))
    return png_of(figure)


def _range_of(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return low, high if high > low else low + max(1.0, 1e-6 * abs(low))


def _draw_rows_as_curves(figure: Figure, rows: list[tuple[str, np.ndarray]], channels: int) -> None:
    """Draw the first channel on top; a curve fills its band where it is as large as the originals are."""
    grid = figure.subplots(len(rows), len(rows[0][1]), squeeze=False)
    ranges = [_range_of(part) for part in np.split(rows[0][1], channels, axis=1)]
    for (name, values), line in zip(rows, grid, strict=True):
        for axes, value in zip(line, values, strict=True):
            axes.set(xticks=[], yticks=[], ylim=(-0.03 * channels, 1.03 * channels))
            for place, (part, (low, high)) in enumerate(zip(np.split(value, channels), ranges, strict=True)):
                axes.plot(channels - 1 - place + (part - low) / (high - low), linewidth=0.8, color=f"C{place % 10}")
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")


def _draw_rows_as_images(
    figure: Figure, rows: list[tuple[str, np.ndarray]], shape: tuple[int, ...], low: float, high: float
) -> None:
    """Draw all images as one array on white, as in ``_image_grid``."""
    margin = max(1, shape[0] // 14)
    height, width = shape[0] + margin, shape[1] + margin
    sheet = np.ones((len(rows) * height, len(rows[0][1]) * width, *shape[2:]))
    for i, (_, values) in enumerate(rows):
        for j, value in enumerate(values):
            image = np.clip((value.reshape(shape) - low) / (high - low), 0, 1)
            sheet[i * height : i * height + shape[0], j * width : j * width + shape[1]] = image
    axes = figure.subplots()
    axes.imshow(sheet[:-margin, :-margin], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_frame_on(False)
    axes.set_xticks([])
    axes.set_yticks([i * height + shape[0] / 2 - 0.5 for i in range(len(rows))], [name for name, _ in rows])
    axes.tick_params(length=0)


def confusion_matrix(
    confusion: Tensor, classes: Sequence[str], title: str, unseen: Tensor | None = None, others: Sequence[str] = ()
) -> bytes:
    """Draw confusion (n_classes, n_classes), rows true, columns predicted, with counts in the cells up to 20 classes.

    Below it, rows of classes that the classifier does not know: unseen (m, n_classes), named by ``others``.
    """
    known, counts = [legible(name, LONGEST_NAME) for name in classes], confusion.numpy()
    names = [*known, *(f"{legible(name, LONGEST_NAME)} (not trained)" for name in others)]
    if unseen is not None:
        counts = np.concatenate([counts, unseen.numpy()])
    margin = 1.2 + 0.08 * max(map(len, names))  # inches
    figure = new_figure(*(min(12.0, max(4.5, margin + 0.5 * count)) for count in (len(known), len(names))))
    axes = figure.subplots()
    share = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set(title=title, xlabel="predicted", ylabel="true")
    if others:
        axes.axhline(len(known) - 0.5, color="grey", linewidth=1)
    if len(names) <= 20:
        rotation = 90 if max(map(len, known)) > 2 else 0
        axes.set_xticks(range(len(known)), known, rotation=rotation, parse_math=False)
        axes.set_yticks(range(len(names)), names, parse_math=False)
        for i, j in zip(*np.nonzero(counts), strict=True):
            axes.text(
                j, i, str(counts[i, j]), ha="center", va="center", color="white" if share[i, j] > 0.5 else "black"
            )
    return png_of(figure)


def _image_grid(figure: Figure, images: np.ndarray, shape: tuple[int, ...], columns: int) -> None:
    """Draw all images as one array with margins: much faster than one axes per image."""
    rows = math.ceil(len(images) / columns)
    height, width = shape[0] + 1, shape[1] + 1
    sheet = np.full((rows * height, columns * width), np.nan)
    for index, image in enumerate(images):
        top, left = index // columns * height, index % columns * width
        sheet[top : top + shape[0], left : left + shape[1]] = image.reshape(shape) / (np.abs(image).max() or 1.0)
    axes = figure.subplots()
    axes.imshow(sheet, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    axes.set_axis_off()


def pick_examples(x: Sized, y: Tensor | None, count: int = 10) -> Tensor:
    """Return (count,) indices of example rows: one per class in turn if labels are known, else the first ones."""
    if y is None or y.dim() != 1 or not bool((y >= 0).any()):
        return torch.arange(min(count, len(x)))
    classes = torch.unique(y[y >= 0]).tolist()
    chosen: list[int] = []
    for turn in range(count):
        rows = torch.nonzero(y == classes[turn % len(classes)]).flatten()
        which = turn // len(classes)
        if which < len(rows):
            chosen.append(int(rows[which]))
    return torch.tensor(chosen)
