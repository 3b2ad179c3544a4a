"""Draw a run's pictures into its folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import stackae.plots.latent as latent
import stackae.plots.runs as plots
from stackae.analysis.sweep import plane_of
from stackae.autoencoders.corruption import Corruption
from stackae.data import Dataset, Rows
from stackae.data.rows import subset
from stackae.errors import DataError
from stackae.models.heads.reconstruction import DeepAutoencoder
from stackae.models.stack import StackedAutoencoder, in_batches
from stackae.plots import curves as losses
from stackae.runs import Run
from stackae.runs.summary import last_trainings
from stackae.workflows.inputs import part_of

MOST_CODES = 2000


def pretraining_pictures(run: Run, dataset: Dataset) -> dict[str, bytes]:
    """Draw curves.png, filters.png, reconstructions.png, and codes.png."""
    stack = run.load_stack(run.pretrain_config.engine)
    part = part_of(dataset)
    examples = example_rows(run, stack, part.x, part.y, 10)
    weight, own_shape = stack.autoencoders[0].filters
    return (
        curves(run)
        | codes("codes.png", stack.encode, dataset)
        | {
            "filters.png": plots.filters(weight, own_shape or dataset.image_shape),
            "reconstructions.png": plots.reconstructions(examples, dataset.image_shape, dataset.config.window),
        }
    )


def codes(name: str, encode: Callable[[Tensor], Tensor], dataset: Dataset) -> dict[str, bytes]:
    """Draw the top codes of at most MOST_CODES rows in a plane, by class where classes are known.

    The rows are the first of the test part, or of the first part that has rows. A code of two units is the plane; of a
    wider one, it is that of the first two principal components; {} where memory does not suffice for them.
    """
    part = part_of(dataset)
    some = slice(0, MOST_CODES)
    found = in_batches(encode, part.x if len(part.x) <= MOST_CODES else subset(part.x, torch.arange(MOST_CODES)))
    y = part.y[some] if part.y is not None and dataset.classes else None
    width, axes = found.shape[1], ("$h_1$", "$h_2$")
    title = f"codes of {len(found):,} rows, {width} unit{'s' if width > 1 else ''}"
    if width != 2:
        try:
            found, title = plane_of(found, "pca"), f"{title}, by PCA"
        except DataError:  # codes too wide for the memory, or beyond the numbers
            return {}
        axes = ("first principal component", "second principal component")
    return {name: latent.latent_scatter(found, y, dataset.classes, title, axes)}


def curves(run: Run) -> dict[str, bytes]:
    """Draw curves.png of every stage trained so far; of a stage that was trained again, the last training."""
    return {"curves.png": losses.loss_curves(epochs_of(run))}


def curves_together(runs: list[Run]) -> dict[str, bytes]:
    """Draw one curves.png for several runs."""
    return {"curves.png": losses.loss_curves_together([epochs_of(run) for run in runs])}


def epochs_of(run: Run) -> list[dict[str, Any]]:
    """Return the records of each stage's last training, in stage order."""
    return last_trainings(record for record in run.each_metric() if record["event"] == "epoch")


def example_rows(
    run: Run,
    stack: StackedAutoencoder,
    x: Rows,
    y: Tensor | None,
    count: int,
    layer: int | None = None,
    deep: DeepAutoencoder | None = None,
) -> list[tuple[str, Tensor]]:
    """Return named rows of examples to draw, in the units of the data before scaling.

    They are the originals and their reconstructions through each layer (or ``layer`` alone); for a denoising first
    layer also a corrupted input and its reconstruction. With ``deep`` they are the originals and their reconstructions
    through the top layer and through ``deep``.
    """
    scaling = run.load_scaling()
    rows = x[plots.pick_examples(x, y, count)]
    top = len(stack.autoencoders)
    levels = [top] if deep is not None else range(1, top + 1) if layer is None else [layer]
    first = run.pretrain_config.layers[0].corruption
    noise = Corruption(first.kind, first.level, float(x.min()), float(x.max()))
    noisy = noise(rows, stack.autoencoders[0].engine, seed=run.pretrain_config.seed, layer=1, step=0)
    with torch.no_grad():
        named = [("original", rows)]
        named += [(f"layer {level}", stack.reconstruct(rows, level)) for level in levels]
        if deep is not None:
            named += [("fine-tuned", deep.reconstruct(rows))]
        elif first.kind != "none":
            named += [(first.kind, noisy), ("restored", stack.reconstruct(noisy, 1))]
    return [(name, scaling.inverse_transform(values)) for name, values in named]
