"""stackae reconstruct: originals over their reconstructions as a picture, or all reconstructions as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from . import options as o
from .options import option

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from stackae.data.for_run import RowsRead
    from stackae.runs import Run
    from stackae.tables import Table


MOST_ROWS = 100
EXAMPLES = """[bold]Examples[/bold]

stackae reconstruct

stackae reconstruct --count 20 --layer 1 --out restored.png

stackae reconstruct --weights finetuned

stackae reconstruct --data new.csv --out restored.csv
"""


def command(
    count: Annotated[str, option("--count", "Rows in the picture.", o.DATA, "10")] = "10",
    layer: Annotated[
        o.Text, option("--layer", "Through this layer alone.", o.LAYERS, "each; the top of a table")
    ] = None,
    weights: Annotated[
        str, option("--weights", "pretrained, or finetuned for reconstruction.", o.LAYERS, "pretrained")
    ] = "pretrained",
    part: o.Part = None,
    data: o.DataOfRun = None,
    data_root: o.DataRootOfRun = None,
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
            metavar="FILE",
        ),
    ] = None,
    force: o.Force = False,
    json: o.Json = False,
) -> None:
    """Draw rows of the data over what each layer makes of them; of a denoising stack, noisy rows over restored ones.

    A table holds no picture but the reconstructions of all rows of the part, through the top layer or the
    one named, in the units and the precision of the data: as text with row (from 0) and the names of the columns.
    """
    from functools import partial

    from stackae.data.formats import WRITTEN
    from stackae.errors import ConfigError
    from stackae.pictures import reconstructions
    from stackae.runs import open_run
    from stackae.workflows.inputs import DataRequest, check_weights, rows_of, whole_number
    from stackae.workflows.outputs import check_out, write_content, write_table
    from stackae.workflows.pictures import example_rows

    from .console import emit_json, run_option, say, shown
    from .progress import Shown

    opened = open_run(run)
    shown_rows = whole_number("--count", count, MOST_ROWS)
    count_of_layers = len(opened.pretrain_config.layers)
    number = whole_number("--layer", layer, count_of_layers) if layer else None
    path = out or opened.path / "reconstructions.png"
    as_picture = check_out(path, (".png", *WRITTEN), must_be_new=out is not None and not force) == ".png"
    check_weights(weights)
    if weights == "finetuned" and number not in (None, count_of_layers):
        raise ConfigError(
            f"--layer: expected {count_of_layers}, the top of what was fine-tuned as one network, got {number}; "
            "leave it out, or use --weights pretrained"
        )
    stack = opened.load_stack(engine or "auto")
    deep = opened.load_reconstruction(engine or "auto") if weights == "finetuned" else None
    rows = rows_of(opened, DataRequest(data, data_root, target), part, Shown(), labels=as_picture)
    document: dict[str, Any] = {"run": str(opened.path), "data": rows.name, "part": rows.part, "which": rows.which}
    if not as_picture:
        table = restored(rows, partial(stack.reconstruct, layer=number) if deep is None else deep.reconstruct, opened)
        write_table(path, table, None, Shown(), rows.bad_rows)
        document |= {"reconstructions": str(path), "shape": list(table.values.shape)}
    else:
        named = example_rows(opened, stack, rows.x, rows.y, shown_rows, number, deep)
        write_content(path, reconstructions(named, rows.image_shape), opened if out is None else None)
        document |= {"picture": str(path), "rows": [name for name, _ in named]}
    if json:
        emit_json(document)
        return
    say(f"{'picture' if as_picture else 'restored':<12}{shown(path.resolve())}")
    say(f"next        stackae encode{run_option(opened.path)}")


def restored(rows: RowsRead, reconstruct: Callable[[Tensor], Tensor], run: Run) -> Table:
    """The reconstructions of all rows in the units of the data, with the names of their columns: x0, ... for none."""
    from stackae.tables import Table, check_finite
    from stackae.workflows.outputs import made_of

    from .progress import Shown

    scaling = run.load_scaling()
    values = made_of(rows.x, lambda x: scaling.inverse_transform(reconstruct(x)), "reconstructing", Shown())
    check_finite("reconstructions", values, rows.numbers.tolist())
    names = rows.column_names or [f"x{column}" for column in range(values.shape[1])]
    return Table(names, values, [("row", rows.numbers.tolist())])
