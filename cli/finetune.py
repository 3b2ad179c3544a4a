"""stackae finetune: train a head on a pretrained stack."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options as o
from .printing.reports import Reported
from .signals import requests

EXAMPLES = """[bold]Examples[/bold]

stackae finetune --head classifier

stackae finetune --head classifier --train head --epochs 50

stackae finetune --head classifier --train gradual --layer-decay 0.5

stackae finetune --head classifier --unlabelled adversarial

stackae finetune --head classifier --class-weight balanced

stackae finetune --head reconstruction --epochs 100

stackae finetune --head regressor --data houses.csv --target price,rent

stackae finetune --head classifier --data labelled.csv --target species --run runs/seeds
"""


def command(
    ctx: typer.Context,
    head: Annotated[o.Text, o.head("head")] = None,
    init: Annotated[o.Text, o.head("init")] = None,
    train: Annotated[o.Text, o.head("train")] = None,
    labels: Annotated[o.Text, o.head("labels")] = None,
    labels_seed: Annotated[o.Text, o.head("labels_seed")] = None,
    unlabelled: Annotated[o.Text, o.head("unlabelled")] = None,
    neighbours: Annotated[o.Text, o.head("neighbours")] = None,
    layer_decay: Annotated[o.Text, o.head("layer_decay")] = None,
    class_weight: Annotated[o.Text, o.head("class_weight")] = None,
    data: o.DataOfRun = None,
    data_root: o.DataRootOfRun = None,
    storage: o.Storage = None,
    delimiter: o.Delimiter = None,
    decimal: o.Decimal = None,
    encoding: o.Encoding = None,
    header: o.Header = None,
    missing_values: o.MissingValuesOfRun = None,
    target: o.TargetOfRun = None,
    background: o.Background = None,
    corruption: Annotated[o.Text, o.head("corruption")] = None,
    dropout: Annotated[o.Text, o.head("dropout", "0")] = None,
    epochs: Annotated[o.Text, o.head("max_epochs")] = None,
    learning_rate: Annotated[o.Text, o.head("learning_rate")] = None,
    weight_decay: Annotated[o.Text, o.head("weight_decay")] = None,
    decaying: Annotated[o.Text, o.head("decaying")] = None,
    max_norm: Annotated[o.Text, o.head("max_norm")] = None,
    outputs: Annotated[o.Text, o.head("outputs")] = None,
    initial_weights: Annotated[o.Text, o.head("initial_weights")] = None,
    batch_size: o.BatchSize = None,
    optimizer: o.Optimizer = None,
    momentum: o.Momentum = None,
    momentum_ramp: o.MomentumRamp = None,
    schedule: o.Schedule = None,
    rate_decay: o.RateDecay = None,
    shuffle: o.Shuffle = None,
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
        data=DataRequest.of_options(ctx.params),
        checkpoint_every=checkpoint_every,
        callbacks=Reported(json),
        requests=requests(),
    )
