"""stackae sweep: measure reconstruction error against the width of the code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stackae.errors import shown, suggested

from . import options as o
from .console import emit_json, number, say, table
from .options import option
from .progress import Shown

if TYPE_CHECKING:
    from stackae.workflows.sweeping import SweepResult

BESIDE = "beside other options of layers"
EXAMPLES = """[bold]Examples[/bold]

stackae sweep --widths 2,8,32,128

stackae sweep --widths 64,256,1024 --activation relu --weights untied --sparsity l1:0.01

stackae sweep --widths 2,4,8,16 --below 300 --data mnist --data-root DIR

stackae sweep --widths 16,64 --activation relu --corruption none --scatter tsne --out runs/widths
"""


def command(
    ctx: typer.Context,
    widths: Annotated[
        str, option("--widths", "Widths of the code to try.", o.LAYERS, "2,8,32,128", metavar="<n,m,k>")
    ] = "2,8,32,128",
    below: Annotated[
        o.Text,
        option("--below", "Widths of layers below, trained once: 300, or 500,300.", o.LAYERS, metavar="<n,m>"),
    ] = None,
    kind: o.Kind = None,
    activation: Annotated[o.Text, o.layer("activation", f"linear; auto {BESIDE}")] = None,
    output_activation: o.OutputActivation = None,
    loss: o.Loss = None,
    weights: o.LayerWeights = None,
    corruption: Annotated[o.Text, o.layer("corruption", f"none; auto {BESIDE}")] = None,
    emphasis: o.Emphasis = None,
    dropout: o.Dropout = None,
    sparsity: o.Sparsity = None,
    revive: o.Revive = None,
    contraction: o.Contraction = None,
    weight_decay: o.WeightDecay = None,
    weight_l1: o.WeightL1 = None,
    max_norm: o.MaxNorm = None,
    init: Annotated[o.Text, o.layer("init", f"pca; auto {BESIDE}")] = None,
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
    engine: o.Engine = None,
    precision: o.Precision = None,
    device: o.Device = None,
    codes: o.Codes = None,
    config: o.Config = None,
    scatter: Annotated[
        str,
        option(
            "--scatter",
            "Picture of the codes: pca or tsne of the widest code, or auto (a code of width 2 as it is, else pca).",
            o.OUTPUT,
            "auto",
            metavar="<name>",
        ),
    ] = "auto",
    out: Annotated[
        Path | None, option("--out", "Folder to write.", o.OUTPUT, "runs/<time>-<data>-sweep", metavar="<dir>")
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
    from stackae.workflows import sweep

    result = sweep(ctx.params, widths=widths, below=below, config=config, scatter=scatter, out=out, callbacks=Shown())
    if json:
        emit_json(result.to_dict())
    else:
        _show(result)


def _show(result: SweepResult) -> None:
    document, lines = result.document, []
    for point in document["widths"]:
        error, explained, kept = "diverged", "-", "-"
        if "squared_error" in point:
            error, explained = number(point["squared_error"]), f"{100 * point['explained']:.1f} %"
            kept = f"{point['kept_epoch']} of {point['epochs']}"
        principal = (number(point["pca_error"]), f"{100 * point['pca_explained']:.1f} %")
        lines.append([str(point["width"]), error, explained, *principal, kept])
    below = f" above {'-'.join(map(str, document['below']))}" if document["below"] else ""
    title = f"Squared error per row{below}, {document['rows']:,} {document['measured_on']} rows of {document['data']}"
    table(title, ["width", "autoencoder", "explained", "PCA", "explained", "best epoch"], lines)
    say(f"enough      {document['enough']} units: within {result.points} points of the best explained variance")
    worse = [str(each["width"]) for each in document["widths"] if each.get("squared_error", 0) > each["pca_error"]]
    if worse:
        what = f"width{'s' if len(worse) > 1 else ''} {', '.join(worse)}"
        remedy = "; try --activation linear --corruption none" if result.is_held_back else ", or its epochs"
        say(f"PCA         is better at {what}: the training is the limit there{remedy}")
    folder = shown(result.path.resolve())
    say(f"folder      {folder}", *(f"            {folder / name}" for name in result.files))
    say(f"next        {suggested('pretrain', '--config', folder / 'config.toml')}")
