"""stackae evaluate: measure each trained head, and the reconstruction error of every layer."""

from __future__ import annotations

from typing import Any

import typer

from . import options as o
from .console import closing, emit_json, number, percent, run_option, say, table
from .printing.figures import show_classes, show_targets
from .progress import Shown

EXAMPLES = """[bold]Examples[/bold]

stackae evaluate

stackae evaluate --json --run runs/seeds

stackae evaluate --data new.csv --target species --part test
"""


def command(
    ctx: typer.Context,
    part: o.Part = None,
    data: o.DataOfRun = None,
    data_root: o.DataRootOfRun = None,
    storage: o.Storage = None,
    delimiter: o.Delimiter = None,
    decimal: o.Decimal = None,
    encoding: o.Encoding = None,
    header: o.Header = None,
    missing_values: o.MissingValuesOfRun = None,
    target: o.TargetOfRun = None,
    target_kind: o.TargetKindOfRun = None,
    engine: o.Engine = None,
    run: o.RunFolder = None,
    json: o.Json = False,
) -> None:
    """Evaluate the newest run: accuracy and confusion of its classifier, reconstruction error of each layer, and of all
    layers fine-tuned as one network."""
    from stackae.workflows import DataRequest, evaluate_run

    result = evaluate_run(
        run,
        part=part,
        data=DataRequest.of_options(ctx.params),
        engine=engine or "auto",
        callbacks=Shown(),
    )
    metrics = result.metrics
    if json:
        emit_json(metrics)
        return
    for each in result.targets.values():
        show_targets(each, metrics["part"])
    if "accuracy" in metrics:
        _show_accuracy(metrics, result.balanced)
    tuned = [metrics["finetuned_reconstruction"]] if "finetuned_reconstruction" in metrics else []
    nats = "cross_entropy" in metrics["reconstruction"][0]
    rows = [
        [
            f"{what} {one['layer']} ({one['n_hidden']})",
            number(one["squared_error"]),
            number(one["mean_squared_error"]),
            *([number(one["cross_entropy"]), number(one["mean_cross_entropy"])] if nats else []),
            f"{100 * one['explained']:.1f} %",
        ]
        for what, each in (("layer", metrics["reconstruction"]), ("fine-tuned", tuned))
        for one in each
    ]
    title = f"Reconstruction of {metrics['which']}"
    columns = ["up to", "squared error per row", "per feature"]
    columns += ["cross-entropy per row, nats", "per feature"] if nats else []
    table(title, [*columns, "variance explained"], rows)
    closing(result.run, result.files, result.next_command + run_option(result.run))


def _show_accuracy(metrics: dict[str, Any], balanced: bool) -> None:
    from stackae.metrics import accuracy_text

    strangers = sum(one["rows"] for one in metrics["unseen_classes"])
    apart = f"; {strangers:,} of classes that were not trained stand apart" if strangers else ""
    right = accuracy_text(metrics["accuracy"], metrics["labelled_rows"], " labelled rows")
    say(
        f"accuracy    {right}: {metrics['which']}{apart}",
        f"balanced    {percent(metrics['balanced_accuracy'])}, the mean recall of its classes; mean precision "
        f"{percent(metrics['macro_precision'])}",
    )
    show_classes(metrics, metrics["part"], balanced)
