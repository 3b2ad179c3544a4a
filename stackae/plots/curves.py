"""Losses of runs by epoch, as PNG bytes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from stackae.plots.parts import as_written, new_figure, png_of, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CORRUPTED = "corrupted_validation_loss"
TRAINING: dict[str, Any] = {"color": "C0", "label": "training"}
VALIDATION: dict[str, Any] = {"color": "C1", "label": "validation"}
MOST_PANELS, PANELS_A_ROW = 64, 8


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
