"""stackae data check: check whether pretraining would accept the data, and what to know of them before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stackae.data.formats import FORMATS, SETS, listed
from stackae.errors import legible

from . import options as o
from .console import emit_json, say, table
from .progress import Shown

if TYPE_CHECKING:
    from stackae.workflows.checks import DataCheck

EXAMPLES = """[bold]Examples[/bold]

stackae data check sensors.csv --target label

stackae data check machines.csv --group machine --window 60 --stride 30

stackae data check images.npy --json

stackae data check mnist --data-root DIR
"""
SHOWN = 20

app = typer.Typer(help="Look at data before training on them.", no_args_is_help=True)


@app.command("check", epilog=EXAMPLES)
def check(
    ctx: typer.Context,
    data: Annotated[str, typer.Argument(metavar="PATH", help=f"Data to look at: {SETS}, {listed(FORMATS)}.")],
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
    window: o.Window = None,
    stride: o.Stride = None,
    group: o.Group = None,
    time: o.Time = None,
    split: o.Split = None,
    validation_fraction: o.ValidationFraction = None,
    validation_rows: o.ValidationRows = None,
    test_fraction: o.TestFraction = None,
    json: o.Json = False,
) -> None:
    """Say whether pretraining would take the data, and what they hold; exit code 3 when it would refuse them.

    Says what each column of a table is taken for, and which rows or windows would be trained, validated and tested on.
    Reads .npy files in pieces: they may be larger than the memory.
    """
    from stackae.workflows import check_data

    found = check_data(ctx.params, callbacks=Shown())
    if json:
        emit_json(found.to_dict())
    else:
        _show(found)
    found.raise_refusal()


def _show(found: DataCheck) -> None:
    report = found.report
    parts = [(name, part) for name, part in (("training", report.training), ("test", report.test)) if part]
    if parts:
        each = [found.described(part) for _, part in parts]
        rows = [[label, *(lines.get(label, "-") for lines in each)] for label in each[0]]
        table(report.data, ["", *(name for name, _ in parts)], rows)
    if found.columns:
        table("Columns", list(found.columns[0]), [[legible(cell, 60) for cell in row] for row in found.columns[1:]])
    if found.parts:
        table("Parts", found.parts[0], found.parts[1:])
    if report.ragged_rows or report.not_numbers:
        say(
            f"besides     {report.ragged_rows:,} rows of another width, {report.not_numbers:,} cells that are no number"
        )
    counted = [(name, part.counts.tolist()) for name, part in parts if part.counts is not None]
    if counted:
        classes = list(zip(report.classes, *(counts for _, counts in counted), strict=True))
        rows = [[legible(name), *(f"{count:,}" for count in counts)] for name, *counts in classes[:SHOWN]]
        more = f" (the first {SHOWN} of {len(classes):,})" if len(classes) > SHOWN else ""
        table(f"Rows per class{more}", ["", *(name for name, _ in counted)], rows)
    for warning in found.warnings:
        say(f"note        {warning}")
    say(f"verdict     pretraining {'refuses' if report.refusal else 'takes'} the data")
    if found.next_command:
        say(f"next        {found.next_command}")
