"""stackae sweep: reconstruction error against the width of the code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stackae.data.formats import FORMATS

from . import options as o
from .options import option

if TYPE_CHECKING:
    from stackae.config import PretrainConfig
    from stackae.data import Dataset

    from .swept import Measured

MOST_WIDTHS = 100
BESIDE = "beside other options of layers"
OF_FILES = (*FORMATS, ".json", ".png", ".toml")
SCATTERS = ("auto", "pca", "tsne")
EXAMPLES = """[bold]Examples[/bold]

stackae sweep --widths 2,8,32,128

stackae sweep --widths 64,256,1024 --activation relu --weights untied --sparsity l1:0.01

stackae sweep --widths 2,4,8,16 --below 300 --data mnist --data-root DIR

stackae sweep --widths 16,64 --activation relu --corruption none --scatter tsne --out runs/widths
"""


def command(
    ctx: typer.Context,
    widths: Annotated[
        str, option("--widths", "Widths of the code to try.", o.LAYERS, "2,8,32,128", metavar="N,M,K")
    ] = "2,8,32,128",
    below: Annotated[
        o.Text, option("--below", "Widths of layers below it, trained once: 300, or 500,300.", o.LAYERS, metavar="N,M")
    ] = None,
    kind: o.Kind = None,
    activation: Annotated[
        o.Text, option("--activation", o.ACTIVATION_HELP, o.LAYERS, f"linear; sigmoid {BESIDE}")
    ] = None,
    output_activation: o.OutputActivation = None,
    loss: o.Loss = None,
    weights: o.LayerWeights = None,
    corruption: Annotated[
        o.Text, option("--corruption", o.CORRUPTIONS, o.LAYERS, f"none; masking:0.3 {BESIDE}")
    ] = None,
    emphasis: o.Emphasis = None,
    dropout: o.Dropout = None,
    sparsity: o.Sparsity = None,
    revive: o.Revive = None,
    contraction: o.Contraction = None,
    weight_decay: o.WeightDecay = None,
    weight_l1: o.WeightL1 = None,
    max_norm: o.MaxNorm = None,
    init: Annotated[o.Text, option("--init", o.INITS, o.LAYERS, f"pca; random {BESIDE}")] = None,
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
    engine: o.Engine = None,
    precision: o.Precision = None,
    device: o.Device = None,
    config: o.Config = None,
    scatter: Annotated[
        str,
        option(
            "--scatter",
            "How codes are drawn: pca or tsne, of the widest code.",
            o.OUTPUT,
            "auto: the code of width 2 as it is where there is one, else pca",
        ),
    ] = "auto",
    out: Annotated[
        Path | None, option("--out", "Folder to write.", o.OUTPUT, "runs/<time>-<data>-sweep", metavar="DIR")
    ] = None,
    json: o.Json = False,
) -> None:
    """Train the same autoencoder with codes of several widths, and compare how well rows come back from them.

    The error is that of the validation rows, through the whole stack, beside PCA's with as many components.
    A code too narrow loses what tells rows apart; one as wide as the rows may copy them without learning anything.
    Where the curve bends says how many units the data need.
    Where it lies above PCA's, the training is the limit: narrow codes suffer from noise, and sigmoid units saturate.

    Unless an option or a file says what layers are, the code is linear, read without noise, and begins at PCA.
    Otherwise the options of layers, and their defaults, are those of `stackae pretrain`.

    The folder holds sweep.json (figures and settings), sweep.png (both curves), codes.png (codes by class) and
    config.toml, which trains the width that is enough. It is written when all is done, whole or not at all.
    """
    from stackae.config import read_tables
    from stackae.data import load_data
    from stackae.runs.beginning import reserved
    from stackae.runs.durable import write_folder
    from stackae.runs.places import timed_path
    from stackae.sweep import check_neighbours
    from stackae.workflows.settings import data_settings

    from .console import emit_json, progress_note
    from .swept import close, document_of, files_of, show

    sizes = _sizes("--widths", widths)
    lower = _sizes("--below", below) if below is not None else []
    _check(sizes, scatter, out)
    tables = read_tables(config)
    data_config = data_settings(ctx.params, tables)
    dataset = load_data(data_config)
    if scatter == "tsne":
        check_neighbours(len(dataset.validation.x) or len(dataset.train.x))
    configs = _configs(ctx.params, tables, dataset, lower, sorted(sizes))
    with reserved(out, timed_path(data_config.data, "sweep")) as path:
        measured = _train(dataset, configs)
        progress_note("drawing pictures")
        document = document_of(dataset, configs, measured)
        files = files_of(dataset, measured, document, scatter)
        write_folder(path, files)
    if json:
        emit_json({"sweep": str(path), **document})
    else:
        show(document)
        close(path, list(files), document)


def _sizes(option_name: str, text: str) -> list[int]:
    from stackae.errors import ConfigError

    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not part.isascii() or not part.isdigit() or not 1 <= int(part[:10]) < 10**9:
            raise ConfigError(
                f"{option_name}: expected whole numbers of at least 1, such as 8,32, got '{part}' in '{text}'"
            )
    sizes = [int(part) for part in parts]
    if option_name == "--widths" and len(set(sizes)) != len(sizes):
        raise ConfigError(f"--widths: expected each width once, got '{text}'; leave out what is there twice")
    return sizes


def _check(sizes: list[int], scatter: str, out: Path | None) -> None:
    from stackae.errors import ConfigError, legible, nearest

    if len(sizes) > MOST_WIDTHS:
        raise ConfigError(f"--widths: expected at most {MOST_WIDTHS} widths, got {len(sizes)}; try fewer")
    if scatter not in SCATTERS:
        raise ConfigError(f"--scatter: expected {', '.join(SCATTERS)}, got '{scatter}'{nearest(scatter, SCATTERS)}")
    empty = out is not None and out.is_dir() and not out.is_symlink() and not any(out.iterdir())
    if out is not None and (out.exists() or out.is_symlink()) and not empty:
        raise ConfigError(f"--out: expected a new folder, got {out}, which exists; choose another name")
    if out is not None and out.suffix.lower() in OF_FILES:
        name = legible(out.name, 100)
        raise ConfigError(f"--out: expected a folder, got {name}, the name of a file; leave out {out.suffix}")


def _configs(
    params: dict[str, Any], tables: dict[str, dict[str, Any]], dataset: Dataset, lower: list[int], widths: list[int]
) -> list[PretrainConfig]:
    """One a width, settled; whatever cannot work is refused here, before anything is trained."""
    from stackae.autoencoders.building import numbers_of
    from stackae.engine import choose_device, choose_step
    from stackae.footprint import check_pretraining
    from stackae.pretrain import settle
    from stackae.workflows.settings import pretrain_settings

    sizes = [dataset.train.x.shape[1], *lower]
    params = params | _usual(params, tables, sizes, max(widths))
    configs: list[PretrainConfig] = []
    kept = 0
    for width in widths:
        layers = ",".join(map(str, [*sizes, width]))
        config = pretrain_settings(params | {"layers": layers}, tables)
        check_pretraining(config, 0, 0)
        configs.append(settle(config, dataset.train.x, dataset.row_shape))
        check_pretraining(configs[-1], len(dataset.train.x), len(dataset.validation.x), kept=kept)
        kept += sum(numbers_of(n, layer) for n, layer in zip(config.layer_sizes, config.layers, strict=False))
    choose_step(configs[0].engine, choose_device(configs[0].device), configs[0].precision)
    return configs


def _usual(params: dict[str, Any], tables: dict[str, dict[str, Any]], sizes: list[int], widest: int) -> dict[str, str]:
    """What the layers are where nothing is said of them: below as ever, on top what narrow codes learn best with."""
    from stackae.config import LayerConfig

    of_training = {"learning_rate", "batch_size", "patience"}
    said = {name for name in {*LayerConfig.model_fields, "weights"} - of_training if params.get(name) is not None}
    if said or "pretrain" in tables:
        return {}
    below = LayerConfig(n_hidden=1).model_dump()
    init = "pca" if widest <= sizes[-1] and _has_room(sizes[-1]) else "random"
    top = {"activation": "linear", "corruption": "none", "init": init}
    return {name: ",".join([below[name]] * (len(sizes) - 1) + [value]) for name, value in top.items()}


def _has_room(width: int) -> bool:
    """Whether the memory holds what a start in closed form takes of so many inputs."""
    import torch

    from stackae.errors import DataError
    from stackae.moments import check_room

    try:
        check_room(width, torch.device("cpu"))
    except DataError:
        return False
    return True


def _train(dataset: Dataset, configs: list[PretrainConfig]) -> Measured:
    """Raises DivergedError where no width stays finite."""
    from stackae.errors import DivergedError
    from stackae.sweep import principal_errors, sweep_widths
    from stackae.workflows.log import Logged
    from stackae.workflows.summary import summary

    from .console import note
    from .progress import Shown
    from .swept import Measured

    note(*summary(configs[:1], dataset))
    held_out = len(dataset.validation.x) > 0
    part, rows = ("validation", dataset.validation) if held_out else ("train", dataset.train)
    principal = principal_errors(dataset.train.x, rows.x).tolist()
    swept = []
    with Logged(Shown()).training(1) as display:
        for each in sweep_widths(dataset.train.x, configs, validation=dataset.validation.x, callback=display):
            swept.append(each)
            if isinstance(each.result, DivergedError):
                note(f"width {each.width} diverged: {each.result}")
    measured = Measured(swept, principal, part, rows)
    if not measured.finite and isinstance(swept[0].result, DivergedError):
        raise swept[0].result
    return measured
