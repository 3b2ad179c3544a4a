"""Plots of low-dimensional codes as PNG bytes: samples, the plane of two units, and codes by class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from stackae.errors import legible
from stackae.plots.parts import as_written, drawable, new_figure, numbers_of, png_of, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES, MOST_LABELS, LONGEST_NAME, LEGEND_ROWS = 40, 20, 18, 22
OTHERS, UNKNOWN, INK = "#8a8a8a", "#c9c9c9", "#222222"


def samples(images: Tensor, image_shape: tuple[int, ...] | None, title: str = "samples from the prior") -> bytes:
    """Draw images (n, n_visible), n >= 1, as a square grid on one scale; without an image shape, as curves."""
    columns = math.ceil(math.sqrt(len(images)))
    shape = drawable(image_shape)
    slope = shape[0] / shape[1] if shape else 1.0
    height = 7 * slope * math.ceil(len(images) / columns) / columns
    figure = new_figure(7, min(14.0, max(1.0, height)) + 0.4)
    axes = figure.subplots()
    _draw_cells(axes, images, shape, columns, margin=True)
    axes.set(title=title, xticks=[], yticks=[])
    return png_of(figure)


def latent_grid(images: Tensor, image_shape: tuple[int, ...] | None) -> bytes:
    """Draw images (side², n_visible), decoded from ``stackae.autoencoders.variational.prior_grid``.

    They cover the plane of two units in cells of equal probability under the prior; the axes give the units' values.

    Raises:
        ValueError: the number of images is not a square.
    """
    side = math.isqrt(len(images))
    if side == 0 or side**2 != len(images):
        raise ValueError(f"images: expected side x side of them, got {len(images)}; decode prior_grid(side)")
    figure = new_figure(7.6, 7.6)
    axes = figure.subplots()
    height, width, gap = _draw_cells(axes, images, drawable(image_shape), side, margin=False)
    shown = np.unique(np.linspace(0, side - 1, min(side, 7)).round().astype(int))
    values = torch.special.ndtri((torch.from_numpy(shown) + 0.5) / side).tolist()
    names = [f"{value + 0.0:.1f}".replace("-0.0", "0.0").replace("-", "−") for value in values]
    axes.set_xticks([i * width + (width - gap - 1) / 2 for i in shown], names)
    axes.set_yticks([(side - 1 - i) * height + (height - gap - 1) / 2 for i in shown], names)
    axes.set(title="what each code decodes to", xlabel="$h_1$", ylabel="$h_2$")
    return png_of(figure)


def _draw_cells(
    axes: Axes, images: Tensor, shape: tuple[int, ...] | None, columns: int, margin: bool
) -> tuple[int, int, int]:
    """Draw images row by row into a grid, with white margins (``margin``) or dark lines of one pixel between them.

    Returns height and width of a cell and the gap in it, in pixels; the first cell begins at −½, as pixels do.
    """
    values = numbers_of(images)
    low, high = float(values.min()), float(values.max())
    values = (values - low) / ((high - low) or 1.0)
    rows = math.ceil(len(values) / columns)
    axes.set_frame_on(False)
    axes.tick_params(length=0)
    if shape is None:
        _draw_curves(axes, values, rows, columns)
        return 1, 1, 0
    gap = max(1, shape[0] // 14) if margin else 1
    height, width = shape[0] + gap, shape[1] + gap
    sheet = np.full((rows * height, columns * width, *shape[2:]), float(margin))
    for index, image in enumerate(values):
        top, left = index // columns * height, index % columns * width
        sheet[top : top + shape[0], left : left + shape[1]] = image.reshape(shape)
    shown = sheet[: len(sheet) - gap, : sheet.shape[1] - gap]
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    return height, width, gap


def _draw_curves(axes: Axes, values: np.ndarray, rows: int, columns: int) -> None:
    """Draw each curve in a framed unit cell, all as one collection: much faster than one axes per curve."""
    from matplotlib.collections import LineCollection

    if values.shape[1] == 1:
        values = values.repeat(2, axis=1)
    across = np.linspace(-0.42, 0.42, values.shape[1])
    index = np.arange(len(values))
    x = (index % columns)[:, None] + across
    y = (index // columns)[:, None] + 0.38 - 0.76 * values
    frame = np.array([[-0.45, -0.45], [0.45, -0.45], [0.45, 0.45], [-0.45, 0.45], [-0.45, -0.45]])
    corners = np.stack((index % columns, index // columns), axis=1)[:, None] + frame
    axes.add_collection(LineCollection(list(corners), colors="#e2e2e2", linewidths=0.7))
    axes.add_collection(LineCollection(list(np.stack((x, y), axis=2)), colors="C0", linewidths=0.9))
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))


def latent_scatter(
    codes: Tensor,
    y: Tensor | None,
    classes: tuple[str, ...],
    title: str = "codes by class",
    axis_names: tuple[str, str] = ("$h_1$", "$h_2$"),
) -> bytes:
    """Plot codes (n, 2) as points, one color per class; y (n,) int64 indexes classes, −1 for no class, or is None.

    Up to 20 classes are also labeled at their medians. Beyond 40 classes, those with the fewest rows are gray.

    Raises:
        ValueError: codes of another width.
    """
    if codes.dim() != 2 or codes.shape[1] != 2:
        raise ValueError(f"codes: expected shape (n, 2), got {tuple(codes.shape)}; choose two units")
    points = numbers_of(codes)
    labels = np.full(len(points), -1) if y is None else y.cpu().numpy()
    named, others = _named_classes(labels)
    colors = dict(zip(named, _colors(len(named)), strict=True))
    entries = [(_short(classes[label]), colors[label]) for label in named]
    entries += [(f"{others} others", OTHERS)] if others else []
    entries += [("no label", UNKNOWN)] if y is not None and bool((labels < 0).any()) else []
    figure = new_figure(6.8 + _legend_width(entries), 6.6)
    axes = figure.subplots()
    _draw_points(axes, points, labels, colors)
    if len(named) <= MOST_LABELS:
        for label in named:
            _write(axes, np.median(points[labels == label], axis=0), _short(classes[label]))
    _draw_legend(axes, entries)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_title("\n".join(map(written, title.split("\n"))), parse_math=False)
    axes.set(xlabel=axis_names[0], ylabel=axis_names[1])
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return png_of(figure)


def _draw_points(axes: Axes, points: np.ndarray, labels: np.ndarray, colors: dict[int, Any]) -> None:
    """Draw points without a color first, and the others in random order, so that no class hides another."""
    size = float(np.clip(50000 / max(1, len(points)), 2, 26))
    plain = ~np.isin(labels, list(colors))
    for some, color in ((plain & (labels < 0), UNKNOWN), (plain & (labels >= 0), OTHERS)):
        axes.scatter(points[some, 0], points[some, 1], color=color, alpha=0.5, s=size, linewidths=0)
    order = np.random.default_rng(0).permutation(np.flatnonzero(~plain))
    each = np.array(list(colors.values()))[np.searchsorted(list(colors), labels[order])] if colors else []
    axes.scatter(points[order, 0], points[order, 1], color=each, alpha=0.75, s=size, linewidths=0)


def _named_classes(labels: np.ndarray) -> tuple[list[int], int]:
    """Return the classes that get a color, in order, and the number of others."""
    found, rows = np.unique(labels[labels >= 0], return_counts=True)
    most = found[np.argsort(-rows, kind="stable")[:MOST_CLASSES]]
    return sorted(most.tolist()), len(found) - len(most)


def _colors(count: int) -> list[Any]:
    import matplotlib as mpl

    if count <= 20:
        return list(mpl.colormaps["tab10" if count <= 10 else "tab20"](np.arange(count)))
    return list(mpl.colormaps["turbo"](np.linspace(0.03, 0.97, count)))


def _short(name: str) -> str:
    return legible(name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…")


def _write(axes: Axes, place: np.ndarray, name: str) -> None:
    """Write a name with a white outline, legible over points of any color."""
    from matplotlib.patheffects import withStroke

    text = axes.text(place[0], place[1], name, color=INK, ha="center", va="center", weight="bold")
    text.set_path_effects([withStroke(linewidth=3, foreground="white")])
    text.set_parse_math(False)


def _legend_width(entries: list[tuple[str, Any]]) -> float:
    """Estimate the width of the legend in inches."""
    longest = max((len(name) for name, _ in entries), default=0)
    return math.ceil(len(entries) / LEGEND_ROWS) * (0.45 + 0.085 * longest)


def _draw_legend(axes: Axes, entries: list[tuple[str, Any]]) -> None:
    """Draw a legend beside the points. Names are set afterwards: a legend would skip "_a", and parse "$"."""
    from matplotlib.lines import Line2D

    if not entries:
        return
    handles = [Line2D([], [], linestyle="", marker="o", markersize=6, color=color) for _, color in entries]
    columns = math.ceil(len(entries) / LEGEND_ROWS)
    legend = axes.figure.legend(
        handles, [" "] * len(entries), loc="outside right upper", ncols=columns, frameon=False, handletextpad=0.2
    )
    for text, (name, _) in zip(legend.get_texts(), entries, strict=True):
        text.set_text(name)
    as_written(legend)
