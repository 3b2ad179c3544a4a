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
    from stackae.runs import Run
    from stackae.training.history import EpochRecord

EXAMPLES = """[bold]Examples[/bold]

stackae pretrain --layers 784,300,150

stackae pretrain --layers 784,300,150 --data mnist --data-root DIR --corruption masking:0.3,gaussian:0.1

stackae pretrain --layers 64,256,32 --data sensors.csv --target label --sparsity kl:0.05:0.5,none

stackae pretrain --config runs/latest/config.toml --seed 1
"""


def command(
    ctx: typer.Context,
    layers: Annotated[
        o.Text, option("--layers", "Input width, then the width of each code: 784,300,150.", o.LAYERS, metavar="N,M,K")
    ] = None,
    activation: Annotated[
        o.Text,
        option("--activation", "sigmoid, tanh, relu, leaky_relu, elu, softplus, gelu or linear.", o.LAYERS, "sigmoid"),
    ] = None,
    output_activation: Annotated[
        o.Text, option("--output-activation", "Of the decoder.", o.LAYERS, "auto: sigmoid for data in [0, 1]")
    ] = None,
    loss: Annotated[o.Text, option("--loss", "mse or bce.", o.LAYERS, "mse")] = None,
    tied: Annotated[
        bool | None, option("--tied/--untied", "Decoder weights are the encoder's, transposed.", o.LAYERS, "tied")
    ] = None,
    corruption: Annotated[
        o.Text,
        option(
            "--corruption", "none, gaussian:SD, masking:P or salt-and-pepper:P, on the input.", o.LAYERS, "masking:0.3"
        ),
    ] = None,
    sparsity: Annotated[
        o.Text, option("--sparsity", "none, kl:RHO:WEIGHT or l1:WEIGHT, on the code.", o.LAYERS, "none")
    ] = None,
    weight_decay: Annotated[o.Text, option("--weight-decay", "L2 penalty of the weights.", o.LAYERS, "1e-5")] = None,
    learning_rate: Annotated[o.Text, option("--learning-rate", "First learning rate.", o.LAYERS, "0.003")] = None,
    epochs: Annotated[o.Text, option("--epochs", "Epochs a layer.", o.LAYERS, "auto: 16, more for few rows")] = None,
    data: o.Data = None,
    data_root: o.DataRoot = None,
    target: o.Target = None,
    scale: o.Scale = None,
    validation_fraction: Annotated[
        o.Text, option("--validation-fraction", "Share of the training rows held out.", o.DATA, "0.1")
    ] = None,
    test_fraction: Annotated[
        o.Text, option("--test-fraction", "Share held out for testing, where the data name none.", o.DATA, "0.2")
    ] = None,
    batch_size: o.BatchSize = None,
    optimizer: o.Optimizer = None,
    momentum: o.Momentum = None,
    schedule: o.Schedule = None,
    patience: o.Patience = None,
    seed: o.Seed = None,
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
    json: o.Json = False,
) -> None:
    """Train a stack layer by layer: each autoencoder learns to reconstruct the codes below it."""
    from stackae.runs import check_free, default_path, new_run

    from .console import note

    data_config, pretrain_config = _settings(ctx.params, config)
    path = run or default_path(data_config.data, pretrain_config.layer_sizes)
    check_free(path, force)
    dataset, pretrain_config = _prepare(data_config, pretrain_config)
    if dry_run:
        _show_plan(pretrain_config, dataset, json)
        return
    note(_summary(pretrain_config, dataset))
    with new_run(path, force) as made:
        history = _train(made, pretrain_config, dataset)
    _report(made, pretrain_config, history, json)


def _settings(params: dict[str, Any], config: Path | None) -> tuple[DataConfig, PretrainConfig]:
    """Defaults < --config < environment < flags."""
    from stackae.config import DataConfig, PretrainConfig, read_tables
    from stackae.fields import validated

    from .inputs import absolute, overridden

    tables = read_tables(config)
    given = {name: value for name, value in params.items() if value is not None}
    data_options = {name: given.pop(name) for name in DataConfig.model_fields if name in given}
    data_config = absolute(validated(DataConfig, overridden(tables.get("data", {}), data_options), "data"))
    for name in ("run", "force", "config", "dry_run", "json"):
        given.pop(name, None)
    layers = given.pop("layers", None)
    if "epochs" in given:
        given["max_epochs"] = given.pop("epochs")
    return data_config, PretrainConfig.from_options(layers, base=tables.get("pretrain"), **given)


def _prepare(data_config: DataConfig, config: PretrainConfig) -> tuple[Dataset, PretrainConfig]:
    """The data and the settled configuration; whatever cannot work is refused here, before anything is written."""
    from stackae.data import load_data
    from stackae.engine import choose_device, choose_step
    from stackae.pretrain import settle

    choose_step(config.engine, choose_device(config.device), config.precision)
    dataset = load_data(data_config)
    return dataset, settle(config, dataset.train.x)


def _summary(config: PretrainConfig, dataset: Dataset) -> str:
    from stackae.engine import choose_device, choose_step

    device = choose_device(config.device)
    step = choose_step(config.engine, device, config.precision)
    return (
        f"data     {dataset.name}: {len(dataset.train.x):,} training, {len(dataset.validation.x):,} validation, "
        f"{len(dataset.test.x):,} test rows of {config.n_visible}, scaled by {dataset.scaling.kind}\n"
        f"step     {'fused' if step.fused else 'eager'} on {device} ({step.reason})"
    )


def _show_plan(config: PretrainConfig, dataset: Dataset, as_json: bool) -> None:
    from .console import emit_json, note, table

    note(_summary(config, dataset))
    layers: list[dict[str, Any]] = []
    for number, (n, layer) in enumerate(zip(config.layer_sizes, config.layers, strict=False), start=1):
        m = layer.n_hidden
        layers.append(
            {
                "layer": number,
                "sizes": f"{n}-{m}-{n}",
                "activations": f"{layer.activation} / {layer.output_activation}",
                "corruption": layer.corruption.model_dump(),
                "sparsity": layer.sparsity.model_dump(),
                "parameters": n * m * (1 if layer.tied else 2) + n + m,
                "input_bytes": dataset.train.x.nbytes if number == 1 else len(dataset.train.x) * n * 4,
                "steps": -(-len(dataset.train.x) // config.batch_size) * int(layer.max_epochs),
            }
        )
    if as_json:
        emit_json({"data": dataset.name, "layers": layers})
        return
    rows = [
        [f"layer {plan['layer']}  {plan['sizes']}"]
        + [str(plan[name]) for name in ("activations", "corruption", "sparsity")]
        + [f"{plan['parameters']:,}", f"{plan['input_bytes'] / 2**20:,.1f} MiB", f"{plan['steps']:,}"]
        for plan in layers
    ]
    table("Plan", ["", "activations", "corruption", "sparsity", "parameters", "input", "steps"], rows)


def _train(run: Run, config: PretrainConfig, dataset: Dataset) -> list[EpochRecord]:
    from stackae.config import RunConfig
    from stackae.pretrain import pretrain_layers

    from .console import Display
    from .pictures import draw_pretraining

    run.write_config(RunConfig(data=dataset.config, pretrain=config))
    run.save_scaling(dataset.scaling)
    history: list[EpochRecord] = []
    with Display([run]) as display:
        for trained in pretrain_layers(dataset.train.x, config, validation=dataset.validation.x, listener=display):
            run.save_layer(trained.number, trained.autoencoder)
            history += trained.history
    draw_pretraining(run, dataset)
    return history


def _report(run: Run, config: PretrainConfig, history: list[EpochRecord], as_json: bool) -> None:
    from .console import closing, emit_json, run_option, table

    layers = []
    for number, (n, layer) in enumerate(zip(config.layer_sizes, config.layers, strict=False), start=1):
        records = [record for record in history if record.stage == f"layer{number}"]
        kept = [record for record in records if record.best][-1]
        layers.append(
            {
                "layer": number,
                "n_visible": n,
                "n_hidden": layer.n_hidden,
                "epochs": len(records),
                "kept_epoch": kept.epoch,
                "loss": kept.loss,
                "validation_loss": kept.validation_loss,
                "seconds": sum(record.seconds for record in records),
            }
        )
    if as_json:
        emit_json({"run": str(run.path), "layers": layers})
        return
    rows = [
        [
            f"layer {entry['layer']}  {entry['n_visible']}-{entry['n_hidden']}-{entry['n_visible']}",
            f"{entry['kept_epoch']} of {entry['epochs']}",
            f"{entry['loss']:.4g}",
            "-" if entry["validation_loss"] is None else f"{entry['validation_loss']:.4g}",
            f"{entry['seconds']:.1f}",
        ]
        for entry in layers
    ]
    table("Pretrained", ["", "kept epoch", "loss", "validation loss", "seconds"], rows)
    closing(
        run,
        ["curves.png", "filters.png", "reconstructions.png", "metrics.jsonl", "config.toml"],
        f"stackae finetune --head classifier{run_option(run)}",
    )
