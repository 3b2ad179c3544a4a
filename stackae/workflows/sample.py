"""Sample new rows: decode codes that are drawn from the prior of a variational layer."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from stackae.autoencoders.variational import VariationalAutoencoder, prior_grid
from stackae.data.formats import WRITTEN
from stackae.data.formats.writing import Finite, Here, Piece, Table, bad_rows
from stackae.errors import RunError, argument
from stackae.models.stack import StackedAutoencoder, in_batches
from stackae.plots.latent import latent_grid, samples
from stackae.runs import Run, open_run
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.inputs import DataRequest, dataset_of, whole_number
from stackae.workflows.outputs import check_out, write_table

MOST_ROWS = 1_000_000
DRAWN = 100
SIDE = 20


class SampleResult(NamedTuple):
    """The number of rows drawn, the names of their pictures in the run, and the file of rows if one was named."""

    run: Path
    rows: int
    pictures: list[str]
    out: Path | None


def sample_run(
    run: Run | Path | str | None = None,
    *,
    count: int | str = 100,
    seed: int | str = 0,
    data: DataRequest | str | None = None,
    engine: str = "auto",
    out: Path | str | None = None,
    force: bool = False,
    callbacks: Callbacks | None = None,
) -> SampleResult:
    """Draw codes from the prior of the top layer, which must be variational, and decode them: samples.png of the run.

    For a code of two units, also draw its plane, in cells of equal probability: latent-grid.png.

    Args:
        count: number of rows to draw.
        data: the run's own data, if they have moved: for their column names and image shape.
        out: a table for the rows, in the format of its suffix, in the units of the data; None writes none.

    Raises:
        RunError: the top layer is not variational. Other errors and arguments are those of ``stackae.workflows.score``.
    """
    callbacks = callbacks or Callbacks()
    opened = open_run(run)
    rows = whole_number(argument("count"), count, MOST_ROWS)
    number = 0 if str(seed) == "0" else whole_number(argument("seed"), seed, 2**31)
    path = None if out is None else Path(out)
    if path is not None:
        check_out(path, WRITTEN, must_be_new=not force)
    stack = opened.load_stack(engine)
    top = _variational(opened, stack)
    drawn = _decoded(opened, stack, top.prior_samples(rows, number))
    why = "the decoder overflows: pretrain it again with a sigmoid output"
    check, values = Finite("samples", why=why), drawn.numpy()
    check.add(bad_rows(values))
    check.end()
    dataset = dataset_of(opened, DataRequest.of(data), callbacks)
    pictures = {"samples.png": samples(drawn[:DRAWN], dataset.image_shape)}
    if top.n_hidden == 2:
        pictures["latent-grid.png"] = latent_grid(_decoded(opened, stack, prior_grid(SIDE)), dataset.image_shape)
    opened.publish(pictures)
    if path is not None:
        names = dataset.column_names or [f"x{column}" for column in range(drawn.shape[1])]
        encoding = None if dataset.config.window else dataset.encoding
        write_table(path, Table(names, rows, Here([Piece(values)]), encoding), None, callbacks)
    return SampleResult(opened.path, rows, list(pictures), path)


def _variational(run: Run, stack: StackedAutoencoder) -> VariationalAutoencoder:
    top = stack.autoencoders[-1]
    if not isinstance(top, VariationalAutoencoder):
        kind = run.pretrain_config.layers[-1].kind
        raise RunError(
            f"{run.path}: expected a run whose top layer is variational, got kind {kind}, which has no prior to draw "
            "from; train one by `stackae pretrain --layers 784,300,20 --kind dense,variational`"
        )
    return top


def _decoded(run: Run, stack: StackedAutoencoder, codes: Tensor) -> Tensor:
    """Decode codes (n, n_hidden) to rows in the units of the data before scaling."""
    return run.load_scaling().inverse_transform(in_batches(stack.decode, codes))
