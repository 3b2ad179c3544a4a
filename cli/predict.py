"""stackae predict: predict classes, values or labels of rows by a fine-tuned head."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stackae.config.heads import HEADS
from stackae.data.formats import listed
from stackae.errors import shown

from . import options as o
from .console import cell, emit_json, run_option, say, table
from .options import option
from .progress import Shown

EXAMPLES = """[bold]Examples[/bold]

stackae predict --data new.csv

stackae predict --data new.csv --out answers.csv --run runs/seeds

stackae predict --data new.npy --head regressor --out values.npy
"""
SHOWN = 20
HEAD = f"Head to predict with: {listed(head for head, row in HEADS.items() if row.predicts)}."


def command(
    ctx: typer.Context,
    data: o.DataOfRun = None,
    part: o.Part = None,
    data_root: o.DataRootOfRun = None,
    storage: o.Storage = None,
    delimiter: o.Delimiter = None,
    decimal: o.Decimal = None,
    encoding: o.Encoding = None,
    header: o.Header = None,
    missing_values: o.MissingValuesOfRun = None,
    target: o.TargetOfRun = None,
    head: Annotated[o.Text, option("--head", HEAD, o.LAYERS, "the one trained last", metavar="<name>")] = None,
    engine: o.Engine = None,
    run: o.RunFolder = None,
    out: Annotated[
        Path | None,
        option("--out", f"File to write, {o.OUT}.", o.OUTPUT, "predictions.csv in the run folder", metavar="<file>"),
    ] = None,
    force: o.Force = False,
    json: o.Json = False,
) -> None:
    """Predict the class, the values or the labels of rows by the head of the newest run.

    A text file has a line per row: row (from 0), then class and p(CLASS) for each class, or the value of each target,
    or LABEL (1 or 0) and p(LABEL) for each label. FILE.npy has the probabilities or values alone, float32.
    """
    from stackae.workflows import DataRequest, predict_run

    result = predict_run(
        run,
        data=DataRequest.of_options(ctx.params),
        part=part,
        head=head,
        engine=engine or "auto",
        out=out,
        force=force,
        callbacks=Shown(),
    )
    document = result.to_dict()
    if json:
        emit_json(document)
        return
    what = next(name for name in ("classes", "targets", "labels") if name in document)
    each = document[what]
    columns = list(each[0])
    if what == "classes":
        each = [one for one in each if one["rows"]]  # classes that are predicted, the most frequent first
        each.sort(key=lambda one: -int(one["rows"]))
    more = f", {SHOWN} of {len(each):,} {what}" if len(each) > SHOWN else ""
    lines = [[cell(value) for value in one.values()] for one in each[:SHOWN]]
    table(f"Predicted for {result.which}{more}", columns, lines)
    say(f"predicted   {shown(result.file.resolve())}")
    say(f"next        stackae evaluate{run_option(result.run)}")
