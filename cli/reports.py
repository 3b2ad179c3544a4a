"""What the commands that train say: the plan beforehand, and what became of it, for a stack, several, or a head."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from stackae.config.heads import HEADS
from stackae.errors import DivergedError, shown, suggested

from .console import closing, emit_json, note, number, percent, run_option, say, table
from .figures import show_classes
from .progress import Shown
from .signals import last_words

if TYPE_CHECKING:
    from stackae.config import LayerConfig
    from stackae.workflows.finetune import FinetunedRun
    from stackae.workflows.resume import Resumed
    from stackae.workflows.stacks import PretrainedRun
    from stackae.workflows.summary import LayerOverSeeds, LayerReport, Plan

MANY_DEAD = 0.1  # share of units that is worth a word
SETTINGS = ("head", "init", "train", "layer_decay", "max_norm", "class_weight")


class Reported(Shown):
    """Shows a training while it goes on, and reports what came of it."""

    def __init__(self, as_json: bool) -> None:
        self.command = f"stackae {shlex.join(sys.argv[1:])}"
        self._as_json = as_json

    def writing(self, kept: Callable[[], str]) -> AbstractContextManager[None]:
        return last_words(kept)

    def pretrained(self, outcome: PretrainedRun, last: bool) -> None:
        (_report_seeds if outcome.together else _report_run)(outcome, self._as_json and last)

    def finetuned(self, outcome: FinetunedRun) -> None:
        _report_head(outcome, self._as_json)


def report_complete(outcome: Resumed, as_json: bool) -> None:
    """Says so where nothing was left to do."""
    if outcome.pretrained is not None or outcome.finetuned is not None:
        return
    if as_json:
        emit_json({"run": str(outcome.path), "complete": True})
        return
    say(f"complete    {shown(outcome.path)}: nothing is left to do, and every file is as it was written")
    say(f"next        {suggested('runs', 'show', shown(outcome.path))}")


def show_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        emit_json({**plan._asdict(), "layers": [layer._asdict() for layer in plan.layers]})
        return
    rows = [
        [
            f"layer {layer.layer}  {layer.sizes}",
            layer.kind,
            layer.activations,
            ", ".join(layer.settings),
            f"{layer.parameters:,}",
            f"{layer.input_bytes / 2**20:,.1f} MiB",
            f"{layer.steps:,}",
        ]
        for layer in plan.layers
    ]
    title = "Plan" if len(plan.seeds) == 1 else f"Plan of {len(plan.seeds)} stacks, trained together"
    table(title, ["", "kind", "activations", "trained with", "parameters", "input", "steps"], rows)


def _report_run(trained: PretrainedRun, as_json: bool) -> None:
    run, layers = trained.runs[0], trained.reports[0]
    if as_json:
        emit_json({"run": str(run.path), "layers": [layer._asdict() for layer in layers]})
        return
    noisy = any(layer.corrupted_validation_loss is not None for layer in layers)
    rows = [
        [
            _name(layer),
            f"{layer.kept_epoch} of {layer.epochs}",
            number(layer.loss),
            number(layer.validation_loss),
            *([number(layer.corrupted_validation_loss)] if noisy else []),
            f"{layer.seconds:.1f}",
        ]
        for layer in layers
    ]
    under_noise = ["under noise"] if noisy else []
    table("Pretrained", ["", "kept epoch", "loss", "validation loss", *under_noise, "seconds"], rows)
    for layer, config in zip(layers, trained.configs[0].layers, strict=True):
        if (layer.dead or 0) >= MANY_DEAD:
            say(_of_the_dead(layer, config))
    pictures = ["curves.png", "filters.png", "reconstructions.png"]
    following = f"stackae finetune --head classifier{run_option(run.path)}"
    closing(run.path, [*pictures, "metrics.jsonl", "config.toml"], following)


def _report_seeds(trained: PretrainedRun, as_json: bool) -> None:
    """Each layer's loss over the seeds that stayed finite: of validation, or of training where nothing is held out."""
    layers, names = trained.over_seeds, [run.path.name for run in trained.runs]
    if as_json:
        seeds = [_seed(trained, place) for place in range(len(names))]
        emit_json({"run": str(trained.path), "layers": [layer._asdict() for layer in layers], "seeds": seeds})
        return
    for config, outcome in zip(trained.configs, trained.outcomes, strict=True):
        if isinstance(outcome, DivergedError):
            note(f"seed {config.seed} diverged: {outcome}")
    rows = [
        [
            _name(layer),
            *(number(each) for each in (layer.mean, layer.sd, layer.lowest, layer.highest)),
            f"{min(layer.kept_epochs)} to {max(layer.kept_epochs)}",
            f"{layer.seconds:.1f}",
        ]
        for layer in layers
    ]
    title = f"Pretrained, {len(trained.finite)} of {len(names)} seeds: {layers[0].measure.replace('_', ' ')}"
    table(title, ["", "mean", "sd", "lowest", "highest", "kept epochs", "seconds"], rows)
    means = [
        f"layer {layer.layer} {number(layer.corrupted_mean)}" for layer in layers if layer.corrupted_mean is not None
    ]
    if means:
        say(f"under noise {', '.join(means)} (means of the kept epochs' validation loss)")
    say(f"latest      runs/latest is {trained.finite[0].path.name}")
    shown = names if len(names) < 3 else [f"{names[0]} to {names[-1]}"]
    closing(trained.path, ["curves.png", *shown], "stackae finetune --head classifier")


def _seed(trained: PretrainedRun, place: int) -> dict[str, Any]:
    outcome, layers = trained.outcomes[place], trained.reports[place]
    found = {"diverged": str(outcome)} if not layers else {"layers": [layer._asdict() for layer in layers]}
    return {"seed": trained.configs[place].seed, "run": str(trained.runs[place].path), **found}


def _name(layer: LayerReport | LayerOverSeeds) -> str:
    return f"layer {layer.layer}  {layer.n_visible}-{layer.n_hidden}-{layer.n_visible}"


def _of_the_dead(layer: LayerReport, config: LayerConfig) -> str:
    """What could be done about units that say the same of every row."""
    remedy = "a lower --learning-rate or fewer units" if config.revive == "resample" else "--revive resample"
    share = f"{100 * (layer.dead or 0):.1f} % of its units say the same of every row"
    return f"dead        layer {layer.layer}: {share}; try {remedy}"


def _report_head(trained: FinetunedRun, as_json: bool) -> None:
    run, settings, kept, figures = trained.run, trained.settings, trained.kept, trained.tested.figures
    epochs, seconds = len(trained.result.history), sum(record.seconds for record in trained.result.history)
    if as_json:
        document = {
            "run": str(run.path),
            **{name: getattr(settings, name) for name in SETTINGS},
            "epochs": epochs,
            "kept_epoch": kept.epoch,
            "validation_loss": kept.validation_loss,
            "validation_error": kept.validation_error,
            "seconds": seconds,
        }
        emit_json(document | figures)
        return
    balanced = settings.class_weight == "balanced"
    accuracy = None if kept.validation_error is None else 1 - kept.validation_error
    measured = {f"validation {'balanced ' if balanced else ''}accuracy": percent(accuracy)}
    if not HEADS[settings.head].has_error:
        measured = {"validation loss": number(kept.validation_loss)}
    row = {
        "weights": f"{settings.init}, {settings.train}",
        "kept epoch": f"{kept.epoch} of {epochs}",
        **measured,
        **_test_cells(settings.head, figures),
        "seconds": f"{seconds:.1f}",
    }
    table(f"Fine-tuned: {settings.head}", list(row), [list(row.values())])
    if "per_class" in figures:
        show_classes(figures, "test", balanced)
    closing(run.path, trained.files, f"stackae evaluate{run_option(run.path)}")


def _test_cells(head: str, figures: dict[str, Any]) -> dict[str, str]:
    """Cells of the table by their titles; without figures, as where the test part has no labels, one of "-"."""
    if HEADS[head].targets is None:
        before, after = figures.get("pretrained_squared_error"), figures.get("squared_error")
        return {"test error, pretrained": number(before), "fine-tuned": number(after)}
    if HEADS[head].targets == "classes":
        balanced = {"balanced": percent(figures["balanced_accuracy"])} if figures else {}
        return {"test accuracy": percent(figures.get("accuracy")), **balanced}
    if "subset_accuracy" in figures:
        return {"test, all labels right": percent(figures["subset_accuracy"])}
    found = [target["r2"] for target in figures.get("targets", []) if target["r2"] is not None]
    return {"test R2, mean" if figures else "test": f"{sum(found) / len(found):.4f}" if found else "-"}
