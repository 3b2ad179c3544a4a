"""stackae sample: new rows, decoded from codes that are drawn from the prior of a variational layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as o
from .options import option

if TYPE_CHECKING:
    from torch import Tensor

    from stackae.autoencoders.variational import VariationalAutoencoder
    from stackae.runs import Run
    from stackae.stack import StackedAutoencoder

MOST_ROWS = 1_000_000
DRAWN = 100
SIDE = 20
EXAMPLES = """[bold]Examples[/bold]

stackae pretrain --layers 784,300,2 --kind dense,variational --beta 0.1

stackae sample

stackae sample --count 1000 --seed 1 --out samples.npy
"""


def command(
    count: Annotated[str, option("--count", "Rows to draw.", o.DATA, "100")] = "100",
    seed: Annotated[str, option("--seed", "Of the draw.", o.DATA, "0")] = "0",
    data: o.Data = None,
    data_root: o.DataRoot = None,
    engine: o.Engine = None,
    run: o.RunFolder = None,
    out: Annotated[
        Path | None,
        option(
            "--out",
            "File for the rows (count, n_visible), in the data's units and precision.",
            o.OUTPUT,
            "none",
            metavar="FILE",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.", rich_help_panel=o.OUTPUT)] = False,
    json: o.Json = False,
) -> None:
    """Draw codes from the prior of the top layer, which is variational, and decode them: samples.png.

    Of a code of two units the plane is drawn too, cell by cell of equal probability: latent-grid.png.
    """
    import io

    import numpy as np

    from stackae.runs import open_run, write_whole

    from .console import closing, emit_json, run_option
    from .inputs import check_out, whole_number

    opened = open_run(run)
    rows = whole_number("--count", count, MOST_ROWS)
    number = 0 if seed == "0" else whole_number("--seed", seed, 2**31)
    if out is not None:
        check_out(out, must_be_new=not force)
    stack = opened.load_stack(engine or "auto")
    top = _variational(opened, stack)
    drawn = _decoded(opened, stack, top.prior_samples(rows, number))
    pictures = _pictures(opened, stack, top, drawn, {"data": data, "data_root": data_root})
    opened.publish(pictures)
    if out is not None:
        buffer = io.BytesIO()
        np.save(buffer, drawn.numpy())
        write_whole(out, buffer.getbuffer())
    if json:
        emit_json({"run": str(opened.path), "rows": rows, "pictures": list(pictures), "out": str(out) if out else None})
        return
    closing(opened.path, list(pictures), f"stackae reconstruct{run_option(opened)}")


def _variational(run: Run, stack: StackedAutoencoder) -> VariationalAutoencoder:
    from stackae.autoencoders.variational import VariationalAutoencoder
    from stackae.errors import RunError

    top = stack.autoencoders[-1]
    if not isinstance(top, VariationalAutoencoder):
        kind = run.pretrain_config.layers[-1].kind
        raise RunError(
            f"{run.path}: expected a run whose top layer is variational, got kind {kind}, which has no prior to draw "
            "from; train one by `stackae pretrain --layers 784,300,20 --kind dense,variational`"
        )
    return top


def _decoded(run: Run, stack: StackedAutoencoder, codes: Tensor) -> Tensor:
    """In the units of the data before scaling."""
    from stackae.stack import in_batches

    return run.load_scaling().inverse_transform(in_batches(stack.decode, codes))


def _pictures(
    run: Run, stack: StackedAutoencoder, top: VariationalAutoencoder, drawn: Tensor, params: dict[str, str | None]
) -> dict[str, bytes]:
    from stackae.autoencoders.variational import prior_grid
    from stackae.latent_pictures import latent_grid, samples

    from .inputs import dataset_of

    shape = dataset_of(run, params).image_shape
    pictures = {"samples.png": samples(drawn[:DRAWN], shape)}
    if top.n_hidden == 2:
        pictures["latent-grid.png"] = latent_grid(_decoded(run, stack, prior_grid(SIDE)), shape)
    return pictures
