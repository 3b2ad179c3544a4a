"""stackae reconstruct: draw originals over their reconstructions, or write all reconstructions as a table."""

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

stackae reconstruct

stackae reconstruct --count 20 --layer 1 --out restored.png

stackae reconstruct --weights finetuned

stackae reconstruct --data new.csv --out restored.csv
"""


def command(
    ctx: typer.Context,
    count: Annotated[str, option("--count", "Rows in the picture.", o.DATA, "10", metavar="<int>")] = "10",
    layer: Annotated[
        o.Text,
        option("--layer", "Reconstruct through this layer.", o.LAYERS, "each; the top of a table", metavar="<int>"),
    ] = None,
    weights: Annotated[str, option("--weights", o.TRAINED, o.LAYERS, "pretrained", metavar="<name>")] = "pretrained",
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
    engine: o.Engine = None,
    run: o.RunFolder = None,
    out: Annotated[
        Path | None,
        option(
            "--out",
            f"File to write: .png, {o.OUT}.",
            o.OUTPUT,
            "reconstructions.png in the run folder",
            metavar="<file>",
        ),
    ] = None,
    force: o.Force = False,
    json: o.Json = False,
) -> None:
    """Draw rows of the data over what each layer makes of them; of a denoising stack, noisy rows over restored ones.

    A table holds no picture but the reconstructions of all rows of the part, through the top layer or the
    one named, in the units and the precision of the data: as text with row (from 0) and the names of the columns.
    """
    from stackae.workflows import DataRequest, reconstruct_run

    result = reconstruct_run(
        run,
        count=count,
        layer=layer,
        weights=weights,
        part=part,
        data=DataRequest.of_options(ctx.params),
        engine=engine or "auto",
        out=out,
        force=force,
        callbacks=Shown(),
    )
    if json:
        emit_json(result.to_dict())
        return
    say(f"{'picture' if result.rows is not None else 'restored':<12}{shown(result.file.resolve())}")
    say(f"next        stackae encode{run_option(result.run)}")
