"""stackae encode: the codes of any layer, as a .npy file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as o
from .options import option

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from stackae.data import Rows
    from stackae.runs import Run

EXAMPLES = """[bold]Examples[/bold]

stackae encode

stackae encode --layer 1 --data new.npy --out codes.npy

stackae encode --weights finetuned
"""


def command(
    ctx: typer.Context,
    layer: Annotated[o.Text, option("--layer", "Layer whose code is written, from 1.", o.LAYERS, "the top")] = None,
    weights: o.Weights = "pretrained",
    data: o.Data = None,
    data_root: o.DataRoot = None,
    target: o.Target = None,
    engine: o.Engine = None,
    run: o.RunFolder = None,
    out: Annotated[
        Path | None, option("--out", "File to write.", o.OUTPUT, "codes-layerN.npy in the run folder", metavar="FILE")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.", rich_help_panel=o.OUTPUT)] = False,
    json: o.Json = False,
) -> None:
    """Write the codes of all rows, in their order (a set's own test part last), as float32 (rows, n_hidden)."""
    from stackae.data import load_source, scaled_rows
    from stackae.runs import open_run

    from .console import emit_json, run_option, say, shown
    from .inputs import check_out, data_of, whole_number

    opened = open_run(run)
    count = len(opened.pretrain_config.layers)
    number = whole_number("--layer", layer, count) if layer else count
    path = out or opened.path / f"codes-layer{number}.npy"
    check_out(path, must_be_new=out is not None and not force)
    encoder = _encoder(opened, weights, number, engine or "auto")
    rows = scaled_rows(load_source(data_of(opened, ctx.params)), opened.load_scaling())
    shape = write_codes(opened if out is None else None, path, encoder, rows.x)
    if json:
        emit_json({"run": str(opened.path), "codes": str(path), "layer": number, "shape": list(shape)})
        return
    say(f"codes       {shown(path.resolve())}  {shape[0]:,} rows of {shape[1]}, layer {number}")
    say(f"next        stackae reconstruct{run_option(opened)}")


def _encoder(run: Run, weights: str, number: int, engine: str) -> Callable[[Tensor], Tensor]:
    from .inputs import check_weights

    check_weights(weights)
    if weights == "pretrained":
        stack = run.load_stack(engine)
        return lambda x: stack.encode(x, number)
    model = run.load_encoders(engine)
    return lambda x: model.encode(x, number)


def write_codes(run: Run | None, path: Path, encode: Callable[[Tensor], Tensor], x: Rows) -> tuple[int, ...]:
    """Writes encode(x) as .npy, whole or not at all, as a file of the run if one is given, and returns its shape."""
    import numpy as np

    from stackae.runs import write_whole
    from stackae.stack import in_batches

    codes = in_batches(encode, x).numpy()
    content = io.BytesIO()
    np.save(content, codes, allow_pickle=False)
    if run is None:
        write_whole(path, content.getbuffer())
    else:
        run.publish({path.name: content.getbuffer()})
    shape: tuple[int, ...] = codes.shape
    return shape
