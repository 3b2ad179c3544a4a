"""stackae reconstruct: a picture of originals over their reconstructions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options as o
from .options import option

EXAMPLES = """[bold]Examples[/bold]

stackae reconstruct

stackae reconstruct --count 20 --layer 1 --out restored.png
"""


def command(
    ctx: typer.Context,
    count: Annotated[int, option("--count", "Rows to show.", o.DATA, "10", min=1, max=100)] = 10,
    layer: Annotated[int | None, option("--layer", "Through this layer alone.", o.LAYERS, "each layer")] = None,
    part: Annotated[o.Text, option("--part", "test, validation or train.", o.DATA, "test")] = None,
    data: o.Data = None,
    data_root: o.DataRoot = None,
    target: o.Target = None,
    engine: o.Engine = None,
    run: o.RunFolder = None,
    out: Annotated[
        Path | None,
        option("--out", "File to write.", o.OUTPUT, "reconstructions.png in the run folder", metavar="FILE"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.", rich_help_panel=o.OUTPUT)] = False,
) -> None:
    """Draw rows of the data over what each layer makes of them; of a denoising stack, noisy rows over restored ones."""
    from stackae.pictures import reconstructions
    from stackae.runs import Run, write_whole

    from .console import run_option, shown, stdout
    from .inputs import check_out, dataset_of, layer_number, part_of
    from .pictures import example_rows

    opened = Run.open(run)
    if layer is not None:
        layer_number(layer, len(opened.pretrain_config.layers))
    path = out or opened.path / "reconstructions.png"
    check_out(path, must_be_new=out is not None and not force)
    stack = opened.load_stack(engine or "auto")
    dataset = dataset_of(opened, ctx.params)
    _, rows = part_of(dataset, part)
    named = example_rows(opened, stack, rows.x, rows.y, count, layer)
    write_whole(path, reconstructions(named, dataset.image_shape))
    stdout.print(f"picture     {shown(path.resolve())}", markup=False)
    stdout.print(f"next        stackae encode{run_option(opened)}", markup=False)
