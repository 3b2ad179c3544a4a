"""Reports of the commands that train: the plan before, and the result after, for a stack, several, or a head."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from stackae.config.heads import HEADS
from stackae.errors import DivergedError, shown, suggested

from ..console import closing, emit_json, note, number, percent, run_option, say, table
from ..progress import Shown
from ..signals import last_words
from .figures import show_classes

if TYPE_CHECKING:
    from stackae.config import LayerConfig
    from stackae.workflows.finetune import FinetunedRun
    from stackae.workflows.resume import Resumed
    from stackae.workflows.stacks import PretrainedRun
    from stackae.workflows.summary import LayerReport, Plan

MANY_DEAD = 0.1  # share of units from which on a warning is printed
PER_FEATURE = ", losses per feature"
SETTINGS = ("head", "init", "train", "labels", "labels_seed", "layer_decay", "max_norm", "class_weight", "outputs")


class Reported(Shown):
    """Show the progress of a training, and report its result."""

    def __init__(self, as_json: bool, per_feature: bool = False) -> None:
        super().__init__(per_feature)
        self.command = f"stackae {shlex.join(sys.argv[1:])}"
        self._as_json = as_json

    def writing(self, kept: Callable[[], str]) -> AbstractContextManager[None]:
        return last_words(kept)

    def pretrained(self, outcome: PretrainedRun, last: bool) -> None:
        if last or not self._as_json:  # else the head's document is the one that is printed
            (_report_seeds if outcome.together else _report_run)(outcome, self._as_json, self._per_feature)

    def finetuned(self, outcome: FinetunedRun) -> None:
        (_emit_head if self._as_json else _report_head)(outcome)


def report_complete(outcome: Resumed, as_json: bool) -> None:
    """Report that nothing was left to do, if so."""
    if outcome.pretrained is not None or outcome.finetuned is not None:
        return
    if as_json:
        emit_json({"run": str(outcome.path), "complete": True})
        return
    say(f"complete    {shown(outcome.path)}: nothing is left to do, and every file is as it was written")
    say(f"next        {suggested('runs', 'show', shown(outcome.path))}")


def show_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        emit_json(plan._asdict())
        return
    rows = [
        [
            f"layer {layer.layer}  {layer.sizes}",
            layer.kind,
            layer.activations,
            ", ".join(layer.settings),
            f"{layer.parameters:,}",
            f"{layer.input_bytes / 2**20:,.1f} MiB",
            f"{layer.steps:,} in "
            + (f"{layer.seconds:,.0f} s" if layer.seconds < 120 else f"{layer.seconds / 60:,.0f} min"),
        ]
        for layer in plan.layers
    ]
    title = "Plan" if len(plan.seeds) == 1 else f"Plan of {len(plan.seeds)} stacks, trained together"
    table(title, ["", "kind", "activations", "trained with", "parameters", "input", "steps, at most"], rows)


def _report_run(trained: PretrainedRun, as_json: bool, per_feature: bool) -> None:
    run, layers = trained.runs[0], trained.reports[0]
    if as_json:
        emit_json({"run": str(run.path), "layers": layers, "below_pca": trained.below_pca or None})
        return
    if per_feature:
        layers = [layer.per_feature() for layer in layers]
    noisy = any(layer.corrupted_validation_loss is not None for layer in layers)
    rows = [
        [
            f"{layer.layer}  {layer.n_visible}-{layer.n_hidden}",
            f"{layer.kept_epoch}/{layer.epochs}",
            f"{layer.loss:.3g}",
            *(
                "-" if loss is None else f"{loss:.3g}"
                for loss in (layer.validation_loss, *([layer.corrupted_validation_loss] if noisy else []))
            ),
            percent(layer.explained),
            percent(layer.pca_explained),
            *([] if noisy else [f"{layer.seconds:.1f}"]),
        ]
        for layer in layers
    ]
    losses = ["loss", "validation", *(["under noise"] if noisy else [])]
    columns = ["layer", "epoch", *losses, "explains", "PCA", *([] if noisy else ["seconds"])]
    table(f"Pretrained{PER_FEATURE if per_feature else ''}", columns, rows)
    if trained.below_pca:
        say(f"below PCA   {trained.below_pca}")
    for layer, config in zip(layers, trained.configs[0].layers, strict=True):
        if (layer.dead or 0) >= MANY_DEAD:
            _say_dead(layer, config)
    pictures = ["curves.png", "filters.png", "reconstructions.png", "codes.png"]
    closing(run.path, [*pictures, "metrics.jsonl", "config.toml"], trained.next_command + run_option(run.path))


def _report_seeds(trained: PretrainedRun, as_json: bool, per_feature: bool) -> None:
    """Print the loss of each layer over the seeds that stayed finite: of validation rows or, without them, training."""
    layers, names = trained.over_seeds, [run.path.name for run in trained.runs]
    if as_json:
        outcomes = zip(trained.configs, trained.runs, trained.outcomes, trained.reports, strict=True)
        seeds = [
            {"seed": config.seed, "run": str(run.path)}
            | ({"layers": reports} if reports else {"diverged": str(outcome)})
            for config, run, outcome, reports in outcomes
        ]
        emit_json({"run": str(trained.path), "layers": layers, "seeds": seeds})
        return
    for config, outcome in zip(trained.configs, trained.outcomes, strict=True):
        if isinstance(outcome, DivergedError):
            note(f"seed {config.seed} diverged: {outcome}")
    if per_feature:
        layers = [layer.per_feature() for layer in layers]
    rows = [
        [
            f"layer {layer.layer}  {layer.n_visible}-{layer.n_hidden}-{layer.n_visible}",
            *(number(each) for each in (layer.mean, layer.sd, layer.lowest, layer.highest)),
            f"{min(layer.kept_epochs)} to {max(layer.kept_epochs)}",
            f"{layer.seconds:.1f}",
        ]
        for layer in layers
    ]
    title = f"Pretrained, {len(trained.finite)} of {len(names)} seeds: {layers[0].measure.replace('_', ' ')}"
    title += PER_FEATURE if per_feature else ""
    table(title, ["", "mean", "sd", "lowest", "highest", "best epochs", "seconds"], rows)
    means = [
        f"layer {layer.layer} {number(layer.corrupted_mean)}" for layer in layers if layer.corrupted_mean is not None
    ]
    if means:
        say(f"under noise {', '.join(means)} (means of the best epochs' validation loss)")
    say(f"latest      runs/latest is {trained.finite[0].path.name}")
    shown = names if len(names) < 3 else [f"{names[0]} to {names[-1]}"]
    closing(trained.path, ["curves.png", *shown], trained.next_command)


def _say_dead(layer: LayerReport, config: LayerConfig) -> None:
    """Suggest a remedy for dead units, whose output is the same for every row."""
    from stackae.workflows.reporting.verdicts import dead_remedy

    share = f"{100 * (layer.dead or 0):.1f} % of its units say the same of every row"
    say(f"dead        layer {layer.layer}: {share}; try {dead_remedy(config)}")


def _emit_head(trained: FinetunedRun) -> None:
    from stackae.metrics import with_interval

    result, best, choice = trained.result, trained.result.kept, trained.result.choice
    right = None if result.validation_error is None else 1 - result.validation_error
    folded = None if choice.folded is None or choice.folded.error is None else 1 - choice.folded.error
    document = {
        "run": str(trained.run.path),
        **{name: getattr(trained.settings, name) for name in SETTINGS},
        "trained": choice.train,
        "solved_with_decay": choice.decay,
        "why": choice.why,
        "epochs": len(result.history),
        "kept_epoch": best.epoch,
        "validation_loss": best.validation_loss,
        "validation_error": result.validation_error,
        "validation_rows": result.validation_rows,
        **with_interval("validation_accuracy", right, result.validation_rows),
        **with_interval("cross_validated_accuracy", folded, choice.rows),
        "cross_validated_rows": choice.rows,
        "seconds": trained.seconds,
    }
    emit_json(document | trained.tested.figures)


def _report_head(trained: FinetunedRun) -> None:
    from stackae.metrics import accuracy_text

    settings, figures, result, choice = trained.settings, trained.tested.figures, trained.result, trained.result.choice
    best, folded = result.kept, result.choice.folded
    head, balanced = HEADS[settings.head], settings.class_weight == "balanced"
    row = {"weights": f"{settings.init}, {choice.train}"}
    row["best epoch"] = f"{best.epoch} of {len(result.history)}" if choice.decay is None else "L-BFGS"
    if folded is not None and folded.error is not None:
        row["cross-validated accuracy"] = accuracy_text(1 - folded.error, choice.rows)
    elif head.has_error:
        right = None if result.validation_error is None else 1 - result.validation_error
        rows = None if balanced else result.validation_rows
        row[f"validation {'balanced ' if balanced else ''}accuracy"] = accuracy_text(right, rows)
    else:
        row["validation loss"] = number(best.validation_loss)
    if head.targets is None:
        row["test error, pretrained"] = number(figures.get("pretrained_squared_error"))
        row["fine-tuned"] = number(figures.get("squared_error"))
    elif head.targets == "classes":
        row["test accuracy"] = accuracy_text(figures.get("accuracy"), figures.get("test_rows"))
        row |= {"balanced": percent(figures["balanced_accuracy"])} if figures else {}
    elif "subset_accuracy" in figures:
        row["test, all labels right"] = accuracy_text(figures["subset_accuracy"], figures["labelled_rows"])
    else:
        found = [target["r2"] for target in figures.get("targets", []) if target["r2"] is not None]
        row["test R2, mean" if figures else "test"] = f"{sum(found) / len(found):.4f}" if found else "-"
    table(f"Fine-tuned: {settings.head}", [*row, "seconds"], [[*row.values(), f"{trained.seconds:.1f}"]])
    if choice.why:
        decay = "" if choice.decay is None else f", with an L2 decay of {choice.decay:.2g} of its weights"
        say(f"trained     {choice.name}{decay}: {choice.why}")
    if "per_class" in figures:
        show_classes(figures, "test", balanced)
    closing(trained.run.path, trained.files, f"stackae evaluate{run_option(trained.run.path)}")
