"""stackae sample: new rows, decoded from codes that are drawn from the prior of a variational layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    data: o.DataOfRun = None,
    data_root: o.DataRootOfRun = None,
    engine: o.Engine = None,
    run: o.RunFolder = None,
    out: Annotated[
        Path | None,
        option("--out", f"File for the rows, {o.TABLES}, in the units of the data.", o.OUTPUT, "none", metavar="FILE"),
    ] = None,
    force: o.Force = False,
    json: o.Json = False,
) -> None:
    """Draw codes from the prior of the top layer, which is variational, and decode them: samples.png.

    Of a code of two units the plane is drawn too, cell by cell of equal probability: latent-grid.png.
    """
    from stackae.data.formats import WRITTEN
    from stackae.runs import open_run
    from stackae.tables import Table, check_finite
    from stackae.workflows.inputs import DataRequest, dataset_of, whole_number
    from stackae.workflows.outputs import check_out, write_table

    from .console import closing, emit_json, run_option
    from .progress import Shown

    opened = open_run(run)
    rows = whole_number("--count", count, MOST_ROWS)
    number = 0 if seed == "0" else whole_number("--seed", seed, 2**31)
    if out is not None:
        check_out(out, WRITTEN, must_be_new=not force)
    stack = opened.load_stack(engine or "auto")
    top = _variational(opened, stack)
    drawn = _decoded(opened, stack, top.prior_samples(rows, number))
    check_finite("samples", drawn.numpy(), why="the decoder overflows: pretrain it again with a sigmoid output")
    dataset = dataset_of(opened, DataRequest(data, data_root), Shown())
    pictures = _pictures(opened, stack, top, drawn, dataset.image_shape)
    opened.publish(pictures)
    if out is not None:
        names = dataset.column_names or [f"x{column}" for column in range(drawn.shape[1])]
        write_table(out, Table(names, drawn.numpy()), None, Shown())
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
    run: Run, stack: StackedAutoencoder, top: VariationalAutoencoder, drawn: Tensor, shape: tuple[int, ...] | None
) -> dict[str, bytes]:
    from stackae.autoencoders.variational import prior_grid
    from stackae.latent_pictures import latent_grid, samples

    pictures = {"samples.png": samples(drawn[:DRAWN], shape)}
    if top.n_hidden == 2:
        pictures["latent-grid.png"] = latent_grid(_decoded(run, stack, prior_grid(SIDE)), shape)
    return pictures
