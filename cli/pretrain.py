"""stackae pretrain: train a stack layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options as o
from .options import option
from .printing.reports import Reported, report_complete, show_plan
from .signals import requests

EXAMPLES = """[bold]Examples[/bold]

stackae pretrain --layers 784,300,150

stackae pretrain --layers 784,300,150 --data mnist --data-root DIR --corruption masking:0.3,gaussian:0.1

stackae pretrain --layers auto,256,32 --data sensors.csv --target label --sparsity kl:0.05:0.5,none

stackae pretrain --config runs/latest/config.toml --seed 1

stackae pretrain --layers 784,300,150 --seeds 8
"""


def command(
    ctx: typer.Context,
    layers: Annotated[
        o.Text,
        option(
            "--layers",
            "Input width, or auto, then the width of each code: 784,300,150; or 28x28x1,conv16,pool,64.",
            o.LAYERS,
            metavar="<n,m,k>",
        ),
    ] = None,
    kind: o.Kind = None,
    activation: o.Activation = None,
    output_activation: o.OutputActivation = None,
    loss: o.Loss = None,
    weights: o.LayerWeights = None,
    corruption: o.Corruption = None,
    emphasis: o.Emphasis = None,
    dropout: o.Dropout = None,
    sparsity: o.Sparsity = None,
    revive: o.Revive = None,
    contraction: o.Contraction = None,
    weight_decay: o.WeightDecay = None,
    weight_l1: o.WeightL1 = None,
    max_norm: o.MaxNorm = None,
    init: o.Init = None,
    initial_weights: o.InitialWeights = None,
    ridge: o.Ridge = None,
    hidden: o.Hidden = None,
    beta: o.Beta = None,
    learning_rate: o.LearningRate = None,
    epochs: o.Epochs = None,
    batch_size: o.LayerBatchSize = None,
    patience: o.LayerPatience = None,
    data: o.Data = None,
    data_root: o.DataRoot = None,
    storage: o.Storage = None,
    delimiter: o.Delimiter = None,
    decimal: o.Decimal = None,
    encoding: o.Encoding = None,
    header: o.Header = None,
    missing_values: o.MissingValues = None,
    target: o.Target = None,
    target_kind: o.TargetKind = None,
    leave_out: o.LeaveOut = None,
    columns: o.Columns = None,
    drop: o.Drop = None,
    ids: o.Ids = None,
    categorical: o.Categorical = None,
    ordinal: o.Ordinal = None,
    missing: o.Missing = None,
    transpose: o.Transpose = None,
    pixels: o.Pixels = None,
    size: o.Size = None,
    colour: o.Colour = None,
    image_shape: o.ImageShape = None,
    scale: o.Scale = None,
    scale_factor: o.ScaleFactor = None,
    window: o.Window = None,
    stride: o.Stride = None,
    group: o.Group = None,
    time: o.Time = None,
    split: o.Split = None,
    validation_fraction: o.ValidationFraction = None,
    validation_rows: o.ValidationRows = None,
    test_fraction: o.TestFraction = None,
    optimizer: o.Optimizer = None,
    momentum: o.Momentum = None,
    momentum_ramp: o.MomentumRamp = None,
    schedule: o.Schedule = None,
    rate_decay: o.RateDecay = None,
    shuffle: o.Shuffle = None,
    seed: o.Seed = None,
    seeds: Annotated[
        o.Text,
        option(
            "--seeds",
            "Number of stacks to train together, a run each; seeds from --seed on.",
            o.TRAINING,
            metavar="<int>",
        ),
    ] = None,
    engine: o.Engine = None,
    precision: o.Precision = None,
    device: o.Device = None,
    codes: o.Codes = None,
    run: Annotated[
        Path | None, option("--run", "Folder to write.", o.OUTPUT, "runs/<time>-<data>-<layers>", metavar="<dir>")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing run.", rich_help_panel=o.OUTPUT)] = False,
    config: o.Config = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan, write nothing.", rich_help_panel=o.OUTPUT)
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run if it was begun, with these very settings; else begin it.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = False,
    checkpoint_every: o.CheckpointEvery = None,
    loss_unit: Annotated[
        o.Text,
        option(
            "--loss-unit", "Losses shown are sums per row, or means per feature.", o.OUTPUT, "row", metavar="<name>"
        ),
    ] = None,
    json: o.Json = False,
) -> None:
    """Train a stack layer by layer: each autoencoder learns to reconstruct the codes below it."""
    from stackae.workflows import is_per_feature, plan_run, pretrain_run, run_settings

    settings = run_settings(ctx.params, config)
    callbacks = Reported(json, is_per_feature(loss_unit))
    if dry_run:
        show_plan(plan_run(settings, run, seeds=seeds, force=force, resume=resume, callbacks=callbacks), json)
        return
    outcome = pretrain_run(
        settings,
        run,
        seeds=seeds,
        force=force,
        resume=resume,
        checkpoint_every=checkpoint_every,
        callbacks=callbacks,
        requests=requests(),
    )
    report_complete(outcome, json)
