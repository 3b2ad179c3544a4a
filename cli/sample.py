"""stackae sample: decode new rows from the prior of a variational layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options as o
from .console import closing, emit_json, run_option
from .options import option
from .progress import Shown

EXAMPLES = """[bold]Examples[/bold]

stackae pretrain --layers 784,300,2 --kind dense,variational --beta 0.1

stackae sample

stackae sample --count 1000 --seed 1 --out samples.npy
"""


def command(
    ctx: typer.Context,
    count: Annotated[str, option("--count", "Rows to draw.", o.DATA, "100", metavar="<int>")] = "100",
    seed: Annotated[str, option("--seed", "Seed of the draw.", o.DATA, "0", metavar="<int>")] = "0",
    data: o.DataOfRun = None,
    data_root: o.DataRootOfRun = None,
    storage: o.Storage = None,
    delimiter: o.Delimiter = None,
    decimal: o.Decimal = None,
    encoding: o.Encoding = None,
    header: o.Header = None,
    missing_values: o.MissingValuesOfRun = None,
    engine: o.Engine = None,
    run: o.RunFolder = None,
    out: Annotated[
        Path | None,
        option("--out", f"File for the rows, {o.OUT}, in the units of the data.", o.OUTPUT, "none", metavar="<file>"),
    ] = None,
    force: o.Force = False,
    json: o.Json = False,
) -> None:
    """Draw codes from the prior of the top layer, which is variational, and decode them: samples.png.

    Of a code of two units the plane is drawn too, cell by cell of equal probability: latent-grid.png.
    """
    from stackae.workflows import DataRequest, sample_run

    result = sample_run(
        run,
        count=count,
        seed=seed,
        data=DataRequest.of_options(ctx.params),
        engine=engine or "auto",
        out=out,
        force=force,
        callbacks=Shown(),
    )
    if json:
        emit_json(result._asdict())
    else:
        closing(result.run, result.pictures, f"stackae reconstruct{run_option(result.run)}")
