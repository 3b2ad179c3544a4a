"""stackae pretrain: train a stack layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as o
from .options import option

if TYPE_CHECKING:
    from stackae.config import DataConfig, PretrainConfig
    from stackae.data import Dataset

MOST_SEEDS = 1000
EXAMPLES = """[bold]Examples[/bold]

stackae pretrain --layers 784,300,150

stackae pretrain --layers 784,300,150 --data mnist --data-root DIR --corruption masking:0.3,gaussian:0.1

stackae pretrain --layers 64,256,32 --data sensors.csv --target label --sparsity kl:0.05:0.5,none

stackae pretrain --config runs/latest/config.toml --seed 1

stackae pretrain --layers 784,300,150 --seeds 8
"""


def command(
    ctx: typer.Context,
    layers: Annotated[
        o.Text,
        option(
            "--layers",
            "Input width, then the width of each code: 784,300,150; or 28x28x1,conv16,pool,64.",
            o.LAYERS,
            metavar="N,M,K",
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
    ridge: o.Ridge = None,
    hidden: o.Hidden = None,
    beta: o.Beta = None,
    learning_rate: o.LearningRate = None,
    epochs: o.Epochs = None,
    batch_size: o.LayerBatchSize = None,
    patience: o.LayerPatience = None,
    data: o.Data = None,
    data_root: o.DataRoot = None,
    target: o.Target = None,
    target_kind: o.TargetKind = None,
    leave_out: o.LeaveOut = None,
    ignore: o.Ignore = None,
    scale: o.Scale = None,
    validation_fraction: o.ValidationFraction = None,
    test_fraction: o.TestFraction = None,
    optimizer: o.Optimizer = None,
    momentum: o.Momentum = None,
    schedule: o.Schedule = None,
    seed: o.Seed = None,
    seeds: Annotated[
        o.Text,
        option("--seeds", "Train K stacks together, a run each, with seeds from --seed on.", o.TRAINING, metavar="K"),
    ] = None,
    engine: o.Engine = None,
    precision: o.Precision = None,
    device: o.Device = None,
    run: Annotated[
        Path | None, option("--run", "Folder to write.", o.OUTPUT, "runs/<time>-<data>-<layers>", metavar="DIR")
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
    json: o.Json = False,
) -> None:
    """Train a stack layer by layer: each autoencoder learns to reconstruct the codes below it."""
    from stackae.runs import check_free, default_path
    from stackae.runs.ownership import is_proven, never_began
    from stackae.workflows.inputs import seconds, whole_number

    from .console import note
    from .reports import show_plan, summary
    from .resume import newest_unfinished

    count = whole_number("--seeds", seeds, MOST_SEEDS) if seeds is not None else None
    every = seconds("--checkpoint-every", checkpoint_every)
    data_config, pretrain_config = _settings(ctx.params, config)
    begun = (run or newest_unfinished()) if resume else None
    path = begun or run
    default = default_path(data_config.data, pretrain_config.layer_sizes, count)
    goes_on = path is not None and resume and is_proven(path) and not never_began(path)
    if not goes_on:
        check_free(path, force)
    dataset, configs = _prepare(data_config, pretrain_config, count or 1)
    if dry_run:
        note(*summary(configs, dataset))
        show_plan(configs, dataset, json)
        return
    names = [f"seed-{each.seed}" for each in configs] if count else [""]
    if path is not None and goes_on:
        _go_on(path, names, configs, dataset, ctx.params, every)
    else:
        note(*summary(configs, dataset))
        _begin(path, default, names, configs, dataset, force, every, json)


def _begin(
    path: Path | None,
    default: Path,
    names: list[str],
    configs: list[PretrainConfig],
    dataset: Dataset,
    force: bool,
    every: float,
    as_json: bool,
) -> None:
    from stackae.runs import new_runs
    from stackae.training.replicas import alone

    from .reports import report_run, report_seeds
    from .training import pretrain, pretraining_work, remembered

    with new_runs(path, force, names, default) as (folder, runs), remembered(folder.path):
        work = pretraining_work(names, configs, dataset)
        results = pretrain(folder, runs, work, configs, dataset, every)
    if names != [""]:
        report_seeds(folder.path, runs, configs, results, as_json)
    else:
        report_run(runs[0], alone(results), as_json)


def _go_on(
    path: Path,
    names: list[str],
    configs: list[PretrainConfig],
    dataset: Dataset,
    params: dict[str, Any],
    every: float,
) -> None:
    """Goes on with the run at ``path``. Raises ConfigError where its settings, or its data, are others than these."""
    from stackae.errors import ConfigError
    from stackae.runs import Folder, latest
    from stackae.runs.differences import mathematical, of_work

    from .resume import go_on
    from .training import pretraining_work, remembered

    work = pretraining_work(names, configs, dataset)
    with Folder(path).writing(), remembered(path):
        left = latest(path, "pretrain", lambda error: None)
        found = mathematical(of_work(left.state.work, work)) if left else []
        if found:
            raise ConfigError(
                f"{path}: expected the settings that this run began with, got others; "
                "leave them out, change untrained layers by `stackae resume`, or train a new run without --resume:",
                *(f"  {each}" for each in found),
            )
        go_on(path, params, every, params["json"])


def _settings(params: dict[str, Any], config: Path | None) -> tuple[DataConfig, PretrainConfig]:
    """Defaults < --config < environment < flags."""
    from stackae.config import read_tables

    tables = read_tables(config)
    return data_settings(params, tables), pretrain_settings(params, tables)


def data_settings(params: dict[str, Any], tables: dict[str, dict[str, Any]]) -> DataConfig:
    """What the options say of the data, on top of the tables of a configuration file."""
    from stackae.config import DataConfig
    from stackae.fields import validated
    from stackae.workflows.inputs import absolute, overridden

    given = {name: params[name] for name in DataConfig.model_fields if params.get(name) is not None}
    return absolute(validated(DataConfig, overridden(tables.get("data", {}), given), "data"))


def pretrain_settings(params: dict[str, Any], tables: dict[str, dict[str, Any]]) -> PretrainConfig:
    """What the options say of layers and their training, on top of the tables of a configuration file."""
    from stackae.config import LayerConfig, PretrainConfig

    known = {*PretrainConfig.model_fields, *LayerConfig.model_fields, "epochs", "weights"}
    given = {name: value for name, value in params.items() if name in known and value is not None}
    layers = given.pop("layers", None)
    if "epochs" in given:
        given["max_epochs"] = given.pop("epochs")
    if "weights" in given:
        given["tied"] = ",".join(_tied(word.strip()) for word in given.pop("weights").split(","))
    return PretrainConfig.from_options(layers, base=tables.get("pretrain"), **given)


def _tied(word: str) -> str:
    from stackae.errors import ConfigError, nearest

    if word not in ("tied", "untied"):
        raise ConfigError(f"--weights: expected tied or untied, got '{word}'{nearest(word, ('tied', 'untied'))}")
    return "true" if word == "tied" else "false"


def _prepare(data_config: DataConfig, config: PretrainConfig, count: int) -> tuple[Dataset, list[PretrainConfig]]:
    """The data and the settled configurations; whatever cannot work is refused here, before anything is written."""
    from stackae.config import PretrainConfig
    from stackae.data import load_data
    from stackae.engine import choose_device, choose_step
    from stackae.fields import validated
    from stackae.footprint import check_pretraining
    from stackae.pretrain import settle

    seeds = range(config.seed, config.seed + count)
    configs = [validated(PretrainConfig, {**dict(config), "seed": seed}) for seed in seeds]
    choose_step(config.engine, choose_device(config.device), config.precision)
    check_pretraining(config, 0, 0, count)
    dataset = load_data(data_config)
    settled = [settle(each, dataset.train.x, dataset.row_shape) for each in configs]
    check_pretraining(settled[0], len(dataset.train.x), len(dataset.validation.x), count)
    return dataset, settled
