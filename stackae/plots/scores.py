"""Plots of anomaly scores as PNG bytes: histograms of normal and anomalous rows, and errors of the suspects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor

from stackae.errors import legible
from stackae.plots.parts import as_written, drawable, new_figure, numbers_of, png_of, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

FEWEST_BINS, MOST_BINS = 12, 60
WIDE = 30.0  # scores that span a larger factor are drawn on a logarithmic axis
COLORS = ("#3b74a8", "#d9622b")  # normal, anomalous
CALIBRATION, INK, ERROR_MAP = "#9a9a9a", "#222222", "magma"
MOST_NAMES, LONGEST_NAME, PANELS_A_ROW = 40, 16, 3


class Panel(NamedTuple):
    """One method's scores: of the rows (n,), of known anomalies (m,), and of calibration rows (k,).

    ``anomalous`` is None if none are known; an infinite threshold is not drawn.
    """

    title: str
    threshold: float
    calibration: Tensor
    rows: Tensor
    anomalous: Tensor | None = None


class Suspects(NamedTuple):
    """Suspicious rows: their names, the rows and their reconstructions (k, d), and the squared errors (k, d), NaN where
    a cell is missing."""

    title: str
    names: Sequence[str]
    rows: Tensor
    reconstructions: Tensor
    errors: Tensor


def anomaly_scores(
    panels: Sequence[Panel],
    labels: Sequence[str],
    suspects: Sequence[Suspects],
    image_shape: tuple[int, ...] | None,
    feature_names: Sequence[str] = (),
) -> bytes:
    """Draw histograms of every score above the most suspicious rows, as images with reconstructions and errors.

    Without an image shape, draw a heat map of the errors: suspects down, features across. ``labels`` name the
    calibration rows, the rows, and the anomalous rows.
    """
    shape = drawable(image_shape)
    blocks = [block for block in suspects if len(block.rows)]
    longest = max((len(block.rows) for block in blocks), default=1)
    columns = min(len(panels), PANELS_A_ROW)
    lines = math.ceil(len(panels) / columns)
    width = max(4.3 * columns, 8.6)
    across = width / max(1, len(blocks)) / (longest + 1.2)
    below = 3.2 * across * (shape[0] / shape[1]) + 0.75 if shape else 0.27 * longest + 1.9
    above = 3.3 * lines + 0.4
    figure = new_figure(width, above + min(9.0, below))
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[above, min(9.0, below)])[:, 0]
    places = upper.subplots(lines, columns, squeeze=False).ravel()
    for axes, panel in zip(places, panels, strict=False):
        _draw_panel(axes, panel, labels)
    for spare in places[len(panels) :]:
        spare.set_axis_off()
    handles, names = upper.axes[0].get_legend_handles_labels()
    as_written(upper.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False))
    for place, block in zip(lower.subfigures(1, len(blocks), squeeze=False)[0] if blocks else (), blocks, strict=True):
        draw = _draw_maps if shape is None else _draw_images
        draw(place, block, shape or (), feature_names)
    return png_of(figure)


def _draw_panel(axes: Axes, panel: Panel, labels: Sequence[str]) -> None:
    from matplotlib.ticker import NullFormatter

    groups = [panel.rows] if panel.anomalous is None else [panel.rows, panel.anomalous]
    everything = np.concatenate([scores.numpy() for scores in (panel.calibration, *groups)])
    fewest = min((len(scores) for scores in (panel.calibration, *groups) if len(scores)), default=0)
    bins = int(np.clip(1.5 * math.sqrt(fewest), FEWEST_BINS, MOST_BINS))
    edges, logarithmic = _edges(everything, panel.threshold, bins)
    named = zip(groups, labels[1:], COLORS, strict=False)
    for scores, label, color in named:
        heights, _ = np.histogram(scores.numpy(), edges, weights=_shares(scores))
        axes.stairs(heights, edges, fill=True, color=color, alpha=0.6, label=written(label, 60))
    if len(panel.calibration):
        heights, _ = np.histogram(panel.calibration.numpy(), edges, weights=_shares(panel.calibration))
        axes.stairs(heights, edges, color=CALIBRATION, linewidth=1.1, label=labels[0])
    if math.isfinite(panel.threshold):
        axes.axvline(panel.threshold, color=INK, linestyle="--", linewidth=1.1, label="threshold")
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())  # of one decade, labels would overlap
    axes.set_title(panel.title, parse_math=False, fontsize=10.5)
    axes.set(xlabel="score", ylabel="% of rows", xlim=(edges[0], edges[-1]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)


def _shares(scores: Tensor) -> np.ndarray:
    return np.full(len(scores), 100 / max(1, len(scores)))


def _edges(scores: np.ndarray, threshold: float, bins: int) -> tuple[np.ndarray, bool]:
    """Return edges of bins that cover all scores and the threshold, and whether they are spaced logarithmically."""
    low, high = (float(scores.min()), float(scores.max())) if len(scores) else (0.0, 1.0)
    if math.isfinite(threshold):
        low, high = min(low, threshold), max(high, threshold)
    if low > 0 and high > WIDE * low:
        return np.geomspace(low * 0.95, high * 1.05, bins + 1), True
    margin = 0.02 * (high - low) or 0.5
    return np.linspace(max(0.0, low - margin), high + margin, bins + 1), False


def _draw_images(
    figure: Figure | SubFigure, block: Suspects, shape: tuple[int, ...], feature_names: Sequence[str]
) -> None:
    """Draw three rows of images on white: the suspects, their reconstructions, and the differences."""
    import matplotlib as mpl

    rows, made, errors = (numbers_of(values) for values in (block.rows, block.reconstructions, block.errors))
    low, high = float(rows.min()), float(rows.max())
    gap = max(1, shape[0] // 14)
    height, width = shape[0] + gap, shape[1] + gap
    sheet = np.ones((3 * height - gap, len(rows) * width - gap, 3))
    distance = np.sqrt(errors.reshape(len(rows), *shape[:2], -1).sum(axis=-1))
    heat = mpl.colormaps[ERROR_MAP](distance / (float(distance.max()) or 1.0))[..., :3]
    for line, values in enumerate((rows, made)):
        gray = np.clip((values - low) / ((high - low) or 1.0), 0, 1).reshape(len(rows), *shape[:2], -1)
        for column, image in enumerate(gray):
            _place(sheet, line * height, column * width, image[..., :3])
    for column, image in enumerate(heat):
        _place(sheet, 2 * height, column * width, image)
    axes = figure.subplots()
    axes.imshow(sheet, interpolation="nearest")
    axes.set_frame_on(False)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.set_xticks([column * width + shape[1] / 2 - 0.5 for column in range(len(rows))], block.names, fontsize=8)
    axes.set_xlabel("number of the row, over its score", fontsize=8)
    axes.xaxis.set_label_position("top")
    axes.set_yticks([line * height + shape[0] / 2 - 0.5 for line in range(3)], ["row", "reconstructed", "error"])
    axes.set_title(written(block.title), parse_math=False, fontsize=10.5)


def _place(sheet: np.ndarray, top: int, left: int, image: np.ndarray) -> None:
    sheet[top : top + image.shape[0], left : left + image.shape[1]] = image


def _draw_maps(
    figure: Figure | SubFigure, block: Suspects, shape: tuple[int, ...], feature_names: Sequence[str]
) -> None:
    """Draw each feature's share of each suspect's error."""
    errors = numbers_of(block.errors)
    shares = 100 * errors / np.maximum(errors.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    axes = figure.subplots()
    shown = axes.imshow(shares, cmap="magma_r", vmin=0, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(shares)), [name.replace("\n", "  ") for name in block.names], parse_math=False)
    if shares.shape[1] <= MOST_NAMES:
        names = feature_names or [str(number) for number in range(shares.shape[1])]
        short = [legible(name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…") for name in names]
        turned = max(map(len, short)) > 3
        axes.set_xticks(range(len(short)), short, rotation=60 if turned else 0, parse_math=False)
        if turned:
            for text in axes.get_xticklabels():
                text.set(ha="right", rotation_mode="anchor")
    axes.set(xlabel="feature", ylabel="row, score")
    axes.set_title(written(block.title), parse_math=False, fontsize=10.5)
    figure.colorbar(shown, label="% of the row's error")
