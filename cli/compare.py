"""stackae compare: measure what pretraining is worth on the user's data, beside other ways to learn from its labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stackae.errors import shown, suggested

from . import options as o
from .console import emit_json, percent, say, table
from .options import option
from .progress import Shown

if TYPE_CHECKING:
    from stackae.workflows.comparing import CompareResult

COMPARED = "What is compared"
NAMES = (
    "pretrained, random, pca-start, joint; unlabelled, logistic, svm, boosting, pca-logistic, spread-pca, spread-codes"
)
OF_NUMBERS = "ridge, svm, boosting, pca-ridge, neighbors-pca, neighbors-codes"
EXAMPLES = """[bold]Examples[/bold]

stackae compare

stackae compare --layers 784,500,500,500 --data mnist --data-root DIR --labels 100,1000 --seeds 3

stackae compare --data sensors.csv --target label --contenders pretrained,random,svm,boosting

stackae compare --data houses.csv --target price --target-kind numbers --budget seconds
"""


def command(
    ctx: typer.Context,
    layers: Annotated[
        o.Text,
        option(
            "--layers",
            "Input width, or auto, then the width of each code.",
            o.LAYERS,
            "two codes as wide as the rows, 16 to 256 units",
            metavar="<n,m,k>",
        ),
    ] = None,
    contenders: Annotated[
        o.Text,
        option(
            "--contenders",
            f"Which to compare: {NAMES}; for numbers {OF_NUMBERS} in the place of the last seven.",
            COMPARED,
            "all but pca-start, joint and unlabelled, for their time",
            metavar="<a,b|all>",
        ),
    ] = None,
    labels: Annotated[
        o.Text,
        option(
            "--labels",
            "Numbers of labels to learn from, in all (each class its share), and all.",
            COMPARED,
            "10,100,1000, up to half of all, and all",
            metavar="<n,m,all>",
        ),
    ] = None,
    seeds: Annotated[
        str,
        option("--seeds", "Number of draws of the labels; seeds from --seed on.", COMPARED, "3", metavar="<int>"),
    ] = "3",
    budget: Annotated[
        str,
        option(
            "--budget",
            "What is equal for all networks: epochs of fine-tuning, or seconds of all training, pretraining too.",
            COMPARED,
            "epochs",
            metavar="<name>",
        ),
    ] = "epochs",
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
    out: Annotated[
        Path | None,
        option("--out", "Folder to write, or to go on with.", o.OUTPUT, "compare/<data>", metavar="<dir>"),
    ] = None,
    json: o.Json = False,
) -> None:
    """Measure what pretraining is worth on your data, beside random weights and what scikit-learn has.

    All contenders learn from the same labels, and the same test rows, which choose nothing, measure all of them.
    Settings of a model are chosen by cross-validation on its labels. Unlabelled rows serve pretraining, PCA and label
    spreading. The differences have paired bootstrap intervals of 95 %, over test rows and draws of labels.

    Options of layers are those of `stackae pretrain`; a [finetune] table in --config is that of every network.

    The folder holds compare.json, compare.png, config.toml, the error of every test row in every fit, and the
    pretrained stack of each seed. The same command goes on where it was interrupted, and fits what more seeds, labels
    or contenders need.
    """
    from stackae.workflows import compare

    result = compare(
        ctx.params,
        contenders=contenders,
        labels=labels,
        seeds=seeds,
        budget=budget,
        config=config,
        out=out,
        callbacks=Shown(),
    )
    if json:
        emit_json(result.to_dict())
    else:
        _show(result)


def _show(result: CompareResult) -> None:
    document, outcome = result.document, result.outcome
    counts = sorted({row.labels for row in outcome.rows})
    total = document["labels"]
    lines = []
    for name in dict.fromkeys(row.contender for row in outcome.rows):
        own = [outcome.row(name, count) for count in counts]
        cells = [f"{percent(each.error)} ± {100 * each.spread:.1f}" for each in own]
        lines.append([name, *cells, f"{sum(each.seconds for each in own) / len(own) + own[0].before:.1f}"])
    draws = len(document["seeds"])
    title = f"Mean {document['measure']} and its deviation over {draws} draw{'s' * (draws > 1)}"
    heads = [f"all {count:,} labels" if count == total else f"{count:,} labels" for count in counts]
    table(f"{title}, {document['test_rows']:,} test rows of {document['data']}", ["", *heads, "seconds"], lines)
    say(f"chance      {percent(document['chance'])}: always the most frequent class, or the mean of the targets")
    for number, sentence in enumerate(outcome.verdicts):
        say(f"{'verdict' if number == 0 else '':10}  {sentence}")
    names = list(dict.fromkeys(row.contender for row in outcome.rows))
    if document["measure"] == "error" and "unlabelled" not in names and counts[0] < total:
        say("left out    unlabelled, which learns from the other rows too: often best where labels are few, but slow")
        say(f"            add it to this folder by --contenders {','.join([*names, 'unlabelled'])}")
    folder = shown(result.path.resolve())
    say(f"folder      {folder}", *(f"            {folder / name}" for name in result.files))
    say(f"next        {suggested('pretrain', '--config', folder / 'config.toml')}")
