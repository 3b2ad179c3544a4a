"""Plots of a run as PNG bytes. matplotlib is imported when the first one is drawn."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterable, Sequence, Sized
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from stackae.errors import legible
from stackae.plots.parts import as_written, numbers_of, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CORRUPTED = "corrupted_validation_loss"
TRAINING: dict[str, Any] = {"color": "C0", "label": "training"}
VALIDATION: dict[str, Any] = {"color": "C1", "label": "validation"}
LONGEST_NAME = 24  # characters of a class
MOST_PANELS, PANELS_A_ROW = 64, 8


def new_figure(width: float, height: float) -> Figure:
    """Make a figure of that size in inches, without pyplot and its global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def png_of(figure: Figure) -> bytes:
    """Render a figure as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # of a name in a script that the font lacks
        figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def drawable(image_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Return (h, w) or (h, w, 3 or 4) if matplotlib can draw that shape, else None."""
    if image_shape is None or len(image_shape) == 2:
        return image_shape
    if image_shape[2] == 1:
        return image_shape[:2]
    return image_shape if image_shape[2] in (3, 4) else None


def loss_curves(epochs: list[dict[str, Any]]) -> bytes:
    """Plot training and validation loss by epoch, one panel per stage, with the best epoch marked.

    A stage of one epoch, such as a head that L-BFGS solves, has no curve: its panel says the losses.

    If training corrupts its rows, its loss is dashed, beside the validation loss on corrupted rows, by which the best
    epoch was chosen; that on clean validation rows is dotted: training loss cannot be compared with it.

    epochs: the epoch records of metrics.jsonl.
    """
    staged = _by_stage(epochs)
    figure, panels = _panels(staged)
    for axes, stage in panels:
        records = staged[stage]
        if len(records) == 1:
            _say_losses(axes, stage, records[0])
            continue
        _draw_losses(axes, records, marker=".")
        best = _best(records)["epoch"]
        axes.axvline(best, color="grey", linestyle=":", label="kept")
        axes.set_title(f"{stage}, epoch {best} kept")
    return png_of(_with_legend(figure))


def loss_curves_together(runs: list[list[dict[str, Any]]]) -> bytes:
    """Plot ``loss_curves`` of several runs in the same panels, with a dot at each run's best epoch."""
    staged = [_by_stage(epochs) for epochs in runs]
    figure, panels = _panels(stage for each in staged for stage in each)
    for axes, stage in panels:
        trained = [each[stage] for each in staged if stage in each]
        for records in trained:
            _draw_losses(axes, records, linewidth=0.9, alpha=0.6)
        best = [_best(records) for records in trained]
        losses = [record[_measure(record)] for record in best]
        axes.plot([record["epoch"] for record in best], losses, "k.", markersize=5, label="kept")
        axes.set_title(f"{stage}, {len(best)} seed{'s' if len(best) > 1 else ''}")
    return png_of(_with_legend(figure))


def loss_curves_compared(runs: dict[str, list[dict[str, Any]]]) -> bytes:
    """Plot losses of runs by name, one color per run: training dashed, validation solid, a dot at the best epoch."""
    staged = {name: _by_stage(epochs) for name, epochs in runs.items()}
    figure, panels = _panels(stage for each in staged.values() for stage in each)
    for axes, stage in panels:
        for number, (name, each) in enumerate(staged.items()):
            if stage in each:
                _draw_compared(axes, each[stage], name, f"C{number}")
        noisy = any(CORRUPTED in map(_measure, each[stage]) for each in staged.values() if stage in each)
        dashed = "training, on noisy rows" if noisy else "training"
        axes.set(title=stage, xlabel="epoch", ylabel=f"loss per row (dashed: {dashed})")
        axes.locator_params(axis="x", integer=True)
        axes.grid(alpha=0.3)
    return png_of(_with_legend(figure))


def _by_stage(epochs: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    stages: dict[str, list[dict[str, Any]]] = {}
    for record in epochs:
        stages.setdefault(record["stage"], []).append(record)
    return stages


def _panels(stages: Iterable[str]) -> tuple[Figure, list[tuple[Axes, str]]]:
    """Make one panel per stage, for the first MOST_PANELS stages, in rows of at most PANELS_A_ROW."""
    every = list(dict.fromkeys(stages))
    shown = every[:MOST_PANELS]
    columns = max(1, min(len(shown), PANELS_A_ROW))
    rows = max(1, math.ceil(len(shown) / columns))
    figure = new_figure(4.2 * columns, 3.4 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for spare in axes[len(shown) :]:
        spare.set_axis_off()
    if len(shown) < len(every):
        figure.suptitle(f"the first {len(shown)} of {len(every):,} stages")
    return figure, list(zip(axes, shown, strict=False))


def _draw_compared(axes: Axes, records: list[dict[str, Any]], name: str, color: str) -> None:
    x = [record["epoch"] for record in records]
    validated = records[0]["validation_loss"] is not None
    measure = "validation_loss" if validated else "loss"  # on clean rows: the runs' corruption may differ
    axes.plot(x, [record[measure] for record in records], color=color, label=written(name, 60))
    if validated:
        axes.plot(x, [record["loss"] for record in records], color=color, linestyle="--", linewidth=0.8)
    best = _best(records)
    axes.plot([best["epoch"]], [best[measure]], "o", color=color, markersize=4)


def _draw_losses(axes: Axes, records: list[dict[str, Any]], **style: Any) -> None:
    x = [record["epoch"] for record in records]
    noisy = CORRUPTED in map(_measure, records)
    training = {"color": "C0", "linestyle": "--", "label": "training, noisy rows"} if noisy else TRAINING
    axes.plot(x, [record["loss"] for record in records], **training | style)
    if noisy:
        corrupted = [math.nan if each.get(CORRUPTED) is None else each[CORRUPTED] for each in records]
        axes.plot(x, corrupted, color="C2", label="validation, noisy rows", **style)
    if records[0]["validation_loss"] is not None:
        clean = {"color": "C1", "linestyle": ":", "label": "validation, clean rows"} if noisy else VALIDATION
        axes.plot(x, [record["validation_loss"] for record in records], **clean | style)
    axes.set(xlabel="epoch", ylabel="loss per row")
    axes.locator_params(axis="x", integer=True)
    axes.grid(alpha=0.3)


def _say_losses(axes: Axes, stage: str, record: dict[str, Any]) -> None:
    """Write the losses of a stage's only epoch."""
    kinds = {"training": "loss", "validation, noisy rows": CORRUPTED, "validation": "validation_loss"}
    lines = [f"{title} {record[kind]:.4g}" for title, kind in kinds.items() if record.get(kind) is not None]
    axes.set_axis_off()
    axes.set_title(f"{stage}, one epoch")
    axes.text(0.5, 0.5, "\n".join(["loss per row", *lines]), ha="center", va="center", transform=axes.transAxes)


def _measure(record: dict[str, Any]) -> str:
    """Return the name of the loss that chose the best epoch; older records have no corrupted validation loss."""
    found = [name for name in (CORRUPTED, "validation_loss") if record.get(name) is not None]
    return found[0] if found else "loss"


def _best(records: list[dict[str, Any]]) -> dict[str, Any]:
    return [record for record in records if record["best"]][-1]


def _with_legend(figure: Figure) -> Figure:
    """Add one legend below all panels, where it hides no curve; each label once."""
    named = [zip(*reversed(axes.get_legend_handles_labels()), strict=True) for axes in figure.axes]
    once = {label: handle for pairs in named for label, handle in pairs}
    if once:
        as_written(figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=len(once)))
    return figure


def filters(weight: Tensor, image_shape: tuple[int, ...] | None, most: int = 100) -> bytes:
    """Draw the first layer's weights (n_hidden, n_visible), one image per unit; red is positive, blue negative.

    Without an image shape, draw the weights as one heat map: units down, features across.
    """
    w = weight.detach().cpu().numpy()
    figure = new_figure(8, 8)
    shape = drawable(image_shape)
    if shape is None or len(shape) == 3:
        axes = figure.subplots()
        bound = float(np.abs(w).max()) or 1.0
        shown = axes.imshow(w, cmap="RdBu_r", vmin=-bound, vmax=bound, aspect="auto", interpolation="nearest")
        axes.set(title="first-layer weights", xlabel="feature", ylabel="unit")
        figure.colorbar(shown)
        return png_of(figure)
    count = min(most, len(w))
    columns = math.ceil(math.sqrt(count))
    figure.suptitle(f"first-layer filters ({count} of {len(w)} units, each scaled to its own range)")
    _image_grid(figure, w[:count], shape, columns)
    return png_of(figure)


def reconstructions(rows: list[tuple[str, Tensor]], image_shape: tuple[int, ...] | None) -> bytes:
    """Draw named rows of images under one another: originals over their reconstructions.

    Each entry is (name, (n, n_visible)). Without an image shape, the rows are drawn as curves over the features.
    """
    figure = new_figure(1.0 * len(rows[0][1]) + 1.2, 1.05 * len(rows) + 0.3)
    shape = drawable(image_shape)
    named = [(name, numbers_of(values)) for name, values in rows]
    low, high = float(named[0][1].min()), float(named[0][1].max())
    high = high if high > low else low + max(1.0, 1e-6 * abs(low))
    if shape is None:
        _draw_rows_as_curves(figure, named, low, high)
    else:
        _draw_rows_as_images(figure, named, shape, low, high)
    return png_of(figure)


def _draw_rows_as_curves(figure: Figure, rows: list[tuple[str, np.ndarray]], low: float, high: float) -> None:
    grid = figure.subplots(len(rows), len(rows[0][1]), squeeze=False)
    for (name, values), line in zip(rows, grid, strict=True):
        for axes, value in zip(line, values, strict=True):
            axes.set(xticks=[], yticks=[], ylim=(low, high))
            axes.plot(value, linewidth=0.8)
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
