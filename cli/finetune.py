"""stackae finetune: train a head on a pretrained stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as o
from .options import option

if TYPE_CHECKING:
    from pathlib import Path

    from stackae.config import FinetuneConfig
    from stackae.data import Dataset
    from stackae.finetune import FinetuneResult
    from stackae.runs import Run, Work

    from .heads import Tested

EXAMPLES = """[bold]Examples[/bold]

stackae finetune --head classifier

stackae finetune --head classifier --train head --epochs 50

stackae finetune --head classifier --train gradual --layer-decay 0.5

stackae finetune --head classifier --class-weight balanced

stackae finetune --head reconstruction --epochs 100

stackae finetune --head regressor --data houses.csv --target price,rent

stackae finetune --head classifier --data labelled.csv --target species --run runs/seeds
"""
TOLD = ("head", "init", "train", "layer_decay", "max_norm", "class_weight")
HEADS = "classifier; reconstruction: encoders and decoders as one network; regressor; multilabel"


def command(
    ctx: typer.Context,
    head: Annotated[o.Text, option("--head", f"{HEADS}.", o.LAYERS, "classifier")] = None,
    init: Annotated[
        o.Text, option("--init", "pretrained, or random to see what pretraining is worth.", o.LAYERS, "pretrained")
    ] = None,
    train: Annotated[
        o.Text,
        option("--train", "head (few labels), all (many), or gradual: layer by layer from the top.", o.LAYERS, "all"),
    ] = None,
    layer_decay: Annotated[
        o.Text, option("--layer-decay", "Learning rate of a layer over that of the one above it.", o.LAYERS, "1")
    ] = None,
    class_weight: Annotated[
        o.Text, option("--class-weight", "none, or balanced: rare classes count as much as others.", o.TRAINING, "none")
    ] = None,
    data: o.DataOfRun = None,
    data_root: o.DataRootOfRun = None,
    target: o.TargetOfRun = None,
    unlabelled: o.Unlabelled = None,
    epochs: Annotated[o.Text, option("--epochs", "Epochs.", o.TRAINING, "auto: 16, more for few rows")] = None,
    learning_rate: Annotated[o.Text, option("--learning-rate", "First learning rate.", o.TRAINING, "0.003")] = None,
    weight_decay: Annotated[o.Text, option("--weight-decay", "L2 penalty of the weights.", o.TRAINING, "1e-5")] = None,
    max_norm: Annotated[
        o.Text, option("--max-norm", "Longest incoming weights of a unit; 0 lets them be.", o.TRAINING, "0")
    ] = None,
    batch_size: o.BatchSize = None,
    optimizer: o.Optimizer = None,
    momentum: o.Momentum = None,
    schedule: o.Schedule = None,
    patience: o.Patience = None,
    seed: o.SeedOfRun = None,
    engine: o.Engine = None,
    precision: o.Precision = None,
    device: o.Device = None,
    run: o.RunFolder = None,
    config: o.Config = None,
    checkpoint_every: o.CheckpointEvery = None,
    json: o.Json = False,
) -> None:
    """Put a head on the stack of the newest run and train it: with labels, or unrolled, for reconstruction.

    Data are the run's own unless others of the same width are named; they are scaled as the run's were.
    """
    from stackae.data.labels import classes_named
    from stackae.engine import choose_device, choose_step
    from stackae.runs import open_run
    from stackae.workflows.inputs import DataRequest, dataset_of, kind_of_targets, seconds

    from .progress import Shown
    from .training import finetuning_work

    opened = open_run(run)
    every = seconds("--checkpoint-every", checkpoint_every)
    settings = _settings(opened, ctx.params, config)
    choose_step(settings.engine, choose_device(settings.device), settings.precision)
    opened.load_stack(settings.engine)
    request = DataRequest(data, data_root, target, kind_of_targets(settings), unlabelled)
    dataset = dataset_of(opened, request, Shown())
    if unlabelled:
        classes_named("--unlabelled", unlabelled, dataset.classes, dataset.name)
    check_memory(opened, dataset, settings)
    train_and_report(opened, finetuning_work(opened, settings, dataset), settings, dataset, every, json)


def check_memory(run: Run, dataset: Dataset, settings: FinetuneConfig) -> None:
    """Raises ConfigError where the training of the head does not fit into the memory."""
    from stackae.footprint import check_finetuning

    of_head = {"classifier": len(dataset.classes), "reconstruction": 0}
    outputs = of_head.get(settings.head, len(dataset.targets))
    check_finetuning(settings, run.pretrain_config, len(dataset.train.x), len(dataset.validation.x), outputs)


def train_and_report(
    run: Run, work: Work, settings: FinetuneConfig, dataset: Dataset, every: float, as_json: bool
) -> None:
    """Goes on with the very same work where it was left, else begins it."""
    from stackae.runs import latest
    from stackae.runs.places import unfinished

    from .console import note, shown
    from .training import finetune, remembered

    with run.writing(), remembered(run.path):
        left = (
            latest(run.path, "finetune", lambda error: note(f"passed over: {error}")) if unfinished(run.path) else None
        )
        if left is not None and left.state.work != work:
            left = None
        if left is not None:
            note(f"goes on from {shown(left.path)}")
        note(*summary(run, dataset, settings))
        result, tested = finetune(run, work, settings, dataset, every, left)
        report(run, settings, result, tested, as_json)


def _settings(run: Run, params: dict[str, Any], config: Path | None) -> FinetuneConfig:
    """Defaults, with the seed of the pretraining < --config < environment < flags."""
    from stackae.config import FinetuneConfig, read_tables
    from stackae.fields import validated

    values = {"seed": run.pretrain_config.seed, **read_tables(config).get("finetune", {})}
    given = {name: value for name, value in params.items() if value is not None}
    if "epochs" in given:
        given["max_epochs"] = given.pop("epochs")
    return validated(
        FinetuneConfig, {**values, **{name: given[name] for name in FinetuneConfig.model_fields if name in given}}
    )


def _other_layer(run: Run, settings: FinetuneConfig) -> str:
    """The first layer of which no dense chain is made, which is what the fused step has; "" where there is none."""
    for number, layer in enumerate(run.pretrain_config.layers, start=1):
        inverts = settings.head == "reconstruction" and layer.kind == "marginalized" and layer.activation != "linear"
        if inverts or not layer.encodes_densely:
            kept = f", sparsity {layer.sparsity.model_dump()}" if layer.sparsity.keeps_few else ""
            return f"layer {number} of kind {layer.kind}{kept}"
    return ""


def summary(run: Run, dataset: Dataset, settings: FinetuneConfig) -> list[str]:
    from stackae.engine import choose_device, choose_step

    from .heads import rows_to_learn_from

    device = choose_device(settings.device)
    step = choose_step(settings.engine, device, settings.precision)
    eagerly = settings.steps_eagerly or (_other_layer(run, settings) if settings.train != "head" else "")
    fused = step.fused and not eagerly
    reason = f"{step.reason}; {eagerly}" if step.fused and eagerly else step.reason
    decay = f", layer decay {settings.layer_decay:g}" if settings.layer_decay != 1 else ""
    norm = f", max norm {settings.max_norm:g}" if settings.max_norm else ""
    norm += ", class weight balanced" if settings.class_weight == "balanced" else ""
    return [
        f"data     {dataset.name}: {rows_to_learn_from(dataset, settings)}",
        f"head     {settings.head}, {settings.init} weights, train {settings.train}{decay}{norm}",
        f"step     {'fused' if fused else 'eager'} on {device} ({reason})",
    ]


def report(run: Run, settings: FinetuneConfig, result: FinetuneResult[Any], tested: Tested, as_json: bool) -> None:
    """Says what became of the fine-tuning."""
    from stackae.runs.run import head_file

    from .console import closing, emit_json, run_option, table
    from .figures import show_classes

    kept = [record for record in result.history if record.best][-1]
    document: dict[str, Any] = {
        "run": str(run.path),
        **{name: getattr(settings, name) for name in TOLD},
        "epochs": len(result.history),
        "kept_epoch": kept.epoch,
        "validation_loss": kept.validation_loss,
        "validation_error": kept.validation_error,
        "seconds": sum(record.seconds for record in result.history),
        **tested.figures,
    }
    if as_json:
        emit_json(document)
        return
    balanced = settings.class_weight == "balanced"
    accuracy = f"validation {'balanced ' if balanced else ''}accuracy"
    row = {
        "weights": f"{settings.init}, {settings.train}",
        "kept epoch": f"{kept.epoch} of {len(result.history)}",
        accuracy: "-" if kept.validation_error is None else f"{100 * (1 - kept.validation_error):.2f} %",
        "validation loss": "-" if kept.validation_loss is None else f"{kept.validation_loss:.4g}",
        **tested.cells,
        "seconds": f"{document['seconds']:.1f}",
    }
    del row["validation loss" if settings.head in ("classifier", "multilabel") else accuracy]
    table(f"Fine-tuned: {settings.head}", list(row), [list(row.values())])
    if "per_class" in tested.figures:
        show_classes(tested.figures, "test", balanced)
    files = [head_file(settings.head), "curves.png", *tested.pictures]
    closing(run.path, files, f"stackae evaluate{run_option(run.path)}")
