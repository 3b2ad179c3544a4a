"""stackae finetune: train a head on a pretrained stack."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options as o
from .options import option
from .reports import Reported
from .signals import requests

EXAMPLES = """[bold]Examples[/bold]

stackae finetune --head classifier

stackae finetune --head classifier --train head --epochs 50

stackae finetune --head classifier --train gradual --layer-decay 0.5

stackae finetune --head classifier --class-weight balanced

stackae finetune --head reconstruction --epochs 100

stackae finetune --head regressor --data houses.csv --target price,rent

stackae finetune --head classifier --data labelled.csv --target species --run runs/seeds
"""
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
    from stackae.workflows import DataRequest, finetune_run, finetune_settings

    finetune_run(
        run,
        finetune_settings(ctx.params, config),
        data=DataRequest(data, data_root, target, unlabelled=unlabelled),
        checkpoint_every=checkpoint_every,
        callbacks=Reported(json),
        requests=requests(),
    )
