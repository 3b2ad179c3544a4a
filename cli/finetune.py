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
    from stackae.evaluate import ClassifierReport
    from stackae.finetune import FinetuneResult
    from stackae.runs import Run, Work

EXAMPLES = """[bold]Examples[/bold]

stackae finetune --head classifier

stackae finetune --head classifier --train head --epochs 50

stackae finetune --head classifier --data labelled.csv --target species --run runs/seeds
"""


def command(
    ctx: typer.Context,
    head: Annotated[o.Text, option("--head", "classifier.", o.LAYERS, "classifier")] = None,
    init: Annotated[
        o.Text, option("--init", "pretrained, or random to see what pretraining is worth.", o.LAYERS, "pretrained")
    ] = None,
    train: Annotated[o.Text, option("--train", "head (few labels) or all layers (many).", o.LAYERS, "all")] = None,
    data: o.Data = None,
    data_root: o.DataRoot = None,
    target: o.Target = None,
    epochs: Annotated[o.Text, option("--epochs", "Epochs.", o.TRAINING, "auto: 16, more for few rows")] = None,
    learning_rate: Annotated[o.Text, option("--learning-rate", "First learning rate.", o.TRAINING, "0.003")] = None,
    weight_decay: Annotated[o.Text, option("--weight-decay", "L2 penalty of the weights.", o.TRAINING, "1e-5")] = None,
    batch_size: o.BatchSize = None,
    optimizer: o.Optimizer = None,
    momentum: o.Momentum = None,
    schedule: o.Schedule = None,
    patience: o.Patience = None,
    seed: o.Seed = None,
    engine: o.Engine = None,
    precision: o.Precision = None,
    device: o.Device = None,
    run: o.RunFolder = None,
    config: o.Config = None,
    checkpoint_every: o.CheckpointEvery = None,
    json: o.Json = False,
) -> None:
    """Put a softmax head on the stack of the newest run and train it with labels.

    Data are the run's own unless others of the same width are named; they are scaled as the run's were.
    """
    from stackae.engine import choose_device, choose_step
    from stackae.runs import open_run

    from .inputs import dataset_of, seconds
    from .training import finetuning_work

    opened = open_run(run)
    every = seconds("--checkpoint-every", checkpoint_every)
    settings = _settings(opened, ctx.params, config)
    choose_step(settings.engine, choose_device(settings.device), settings.precision)
    opened.load_stack(settings.engine)
    dataset = dataset_of(opened, ctx.params)
    train_and_report(opened, finetuning_work(opened, settings, dataset), settings, dataset, every, json)


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
        note(summary(dataset, settings))
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


def summary(dataset: Dataset, settings: FinetuneConfig) -> str:
    from stackae.engine import choose_device, choose_step

    y = dataset.train.y
    labelled = 0 if y is None else int((y >= 0).sum())
    device = choose_device(settings.device)
    step = choose_step(settings.engine, device, settings.precision)
    return (
        f"data     {dataset.name}: {labelled:,} labelled training rows, {len(dataset.classes)} classes\n"
        f"step     {'fused' if step.fused else 'eager'} on {device} ({step.reason})"
    )


def report(
    run: Run, settings: FinetuneConfig, result: FinetuneResult, tested: ClassifierReport | None, as_json: bool
) -> None:
    """Says what became of the fine-tuning."""
    from .console import closing, emit_json, run_option, table

    kept = [record for record in result.history if record.best][-1]
    document: dict[str, Any] = {
        "run": str(run.path),
        "init": settings.init,
        "train": settings.train,
        "epochs": len(result.history),
        "kept_epoch": kept.epoch,
        "validation_loss": kept.validation_loss,
        "validation_error": kept.validation_error,
        "seconds": sum(record.seconds for record in result.history),
    }
    files = ["classifier.safetensors", "curves.png"]
    if tested is not None:
        document |= {"accuracy": tested.accuracy, "test_rows": tested.rows}
        files.append("confusion-test.png")
    if as_json:
        emit_json(document)
        return
    row = [
        f"{settings.init}, {settings.train}",
        f"{kept.epoch} of {len(result.history)}",
        "-" if kept.validation_error is None else f"{100 * (1 - kept.validation_error):.2f} %",
        f"{100 * document['accuracy']:.2f} %" if "accuracy" in document else "-",
        f"{document['seconds']:.1f}",
    ]
    table("Fine-tuned", ["weights", "kept epoch", "validation accuracy", "test accuracy", "seconds"], [row])
    closing(run.path, files, f"stackae evaluate{run_option(run)}")
