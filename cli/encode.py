"""stackae encode: write the codes of a layer as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stackae.errors import shown

from . import options as o
from .console import emit_json, run_option, say
from .options import option
from .progress import Shown

EXAMPLES = """[bold]Examples[/bold]

stackae encode

stackae encode --layer 1 --data new.npy --out codes.npy

stackae encode --data new.csv --out codes.csv

stackae encode --weights finetuned

stackae encode --layer all --out features.parquet
"""


def command(
    ctx: typer.Context,
    layer: Annotated[
        o.Text,
        option(
            "--layer",
            "Layer whose code is written, from 1; or all, side by side.",
            o.LAYERS,
            "the top",
            metavar="<int|all>",
        ),
    ] = None,
    weights: o.Weights = "pretrained",
    data: o.DataOfRun = None,
    data_root: o.DataRootOfRun = None,
    storage: o.Storage = None,
    delimiter: o.Delimiter = None,
    decimal: o.Decimal = None,
    encoding: o.Encoding = None,
    header: o.Header = None,
    missing_values: o.MissingValuesOfRun = None,
    target: o.TargetOfRun = None,
    engine: o.Engine = None,
    run: o.RunFolder = None,
    out: Annotated[
        Path | None,
        option(
            "--out",
            f"File to write, {o.OUT}.",
            o.OUTPUT,
            "codes-layerN.npy, or codes-all.npy, in the run folder",
            metavar="<file>",
        ),
    ] = None,
    force: o.Force = False,
    json: o.Json = False,
) -> None:
    """Write the codes of all rows, in their order (a set's own test part last).

    FILE.npy has float32 (rows, n_hidden). A text file has a line per row: row (from 0), then h1, h2, ...;
    of all layers layer1_h1, ...
    """
    from stackae.workflows import DataRequest, encode_run

    result = encode_run(
        run,
        layer=layer,
        weights=weights,
        data=DataRequest.of_options(ctx.params),
        engine=engine or "auto",
        out=out,
        force=force,
        callbacks=Shown(),
    )
    if json:
        emit_json(result._asdict())
        return
    rows, width = result.shape
    which = "all layers" if result.layer == "all" else f"layer {result.layer}"
    say(f"rows        {result.which}")
    say(f"codes       {shown(result.codes.resolve())}  {rows:,} rows of {width}, {which}")
    say(f"next        stackae reconstruct{run_option(result.run)}")
