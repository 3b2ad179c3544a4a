"""stackae reconstruct: a picture of originals over their reconstructions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options as o
from .options import option

MOST_ROWS = 100
EXAMPLES = """[bold]Examples[/bold]

stackae reconstruct

stackae reconstruct --count 20 --layer 1 --out restored.png

stackae reconstruct --weights finetuned
"""


def command(
    ctx: typer.Context,
    count: Annotated[str, option("--count", "Rows to show.", o.DATA, "10")] = "10",
    layer: Annotated[o.Text, option("--layer", "Through this layer alone.", o.LAYERS, "each layer")] = None,
    weights: Annotated[
        str, option("--weights", "pretrained, or finetuned for reconstruction.", o.LAYERS, "pretrained")
    ] = "pretrained",
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
    json: o.Json = False,
) -> None:
    """Draw rows of the data over what each layer makes of them; of a denoising stack, noisy rows over restored ones."""
    from stackae.errors import ConfigError
    from stackae.pictures import reconstructions
    from stackae.runs import open_run, write_whole

    from .console import emit_json, run_option, say, shown
    from .inputs import check_out, check_weights, dataset_of, part_of, whole_number
    from .pictures import example_rows

    opened = open_run(run)
    shown_rows = whole_number("--count", count, MOST_ROWS)
    count_of_layers = len(opened.pretrain_config.layers)
    number = whole_number("--layer", layer, count_of_layers) if layer else None
    path = out or opened.path / "reconstructions.png"
    check_out(path, must_be_new=out is not None and not force)
    check_weights(weights)
    if weights == "finetuned" and number not in (None, count_of_layers):
        raise ConfigError(
            f"--layer: expected {count_of_layers}, the top of what was fine-tuned as one network, got {number}; "
            "leave it out, or use --weights pretrained"
        )
    stack = opened.load_stack(engine or "auto")
    deep = opened.load_reconstruction(engine or "auto") if weights == "finetuned" else None
    dataset = dataset_of(opened, ctx.params)
    _, rows = part_of(dataset, part)
    named = example_rows(opened, stack, rows.x, rows.y, shown_rows, number, deep)
    picture = reconstructions(named, dataset.image_shape)
    if out is None:
        opened.publish({path.name: picture})
    else:
        write_whole(path, picture)
    if json:
        emit_json({"run": str(opened.path), "picture": str(path), "rows": [name for name, _ in named]})
        return
    say(f"picture     {shown(path.resolve())}")
    say(f"next        stackae encode{run_option(opened)}")
