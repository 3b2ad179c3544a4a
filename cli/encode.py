"""stackae encode: the codes of any layer, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from . import options as o
from .options import option

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from stackae.runs import Run

EXAMPLES = """[bold]Examples[/bold]

stackae encode

stackae encode --layer 1 --data new.npy --out codes.npy

stackae encode --data new.csv --out codes.csv

stackae encode --weights finetuned
"""


def command(
    layer: Annotated[o.Text, option("--layer", "Layer whose code is written, from 1.", o.LAYERS, "the top")] = None,
    weights: o.Weights = "pretrained",
    data: o.DataOfRun = None,
    data_root: o.DataRootOfRun = None,
    target: o.TargetOfRun = None,
    engine: o.Engine = None,
    run: o.RunFolder = None,
    out: Annotated[
        Path | None,
        option("--out", f"File to write, {o.TABLES}.", o.OUTPUT, "codes-layerN.npy in the run folder", metavar="FILE"),
    ] = None,
    force: o.Force = False,
    json: o.Json = False,
) -> None:
    """Write the codes of all rows, in their order (a set's own test part last).

    FILE.npy has float32 (rows, n_hidden). A text file has a line per row: row (from 0), then h1, h2, ...
    """
    from stackae.data.formats import WRITTEN
    from stackae.runs import open_run
    from stackae.tables import Table, check_finite
    from stackae.workflows.inputs import DataRequest, rows_of, whole_number
    from stackae.workflows.outputs import check_out, made_of, write_table

    from .console import emit_json, run_option, say, shown
    from .progress import Shown

    opened = open_run(run)
    count = len(opened.pretrain_config.layers)
    number = whole_number("--layer", layer, count) if layer else count
    path = out or opened.path / f"codes-layer{number}.npy"
    check_out(path, WRITTEN, must_be_new=out is not None and not force)
    encoder = _encoder(opened, weights, number, engine or "auto")
    rows = rows_of(opened, DataRequest(data, data_root, target), "all", Shown(), labels=False)
    codes = made_of(rows.x, encoder, "encoding", Shown())
    check_finite(f"codes of layer {number}", codes, rows.numbers.tolist())
    names = [f"h{unit}" for unit in range(1, codes.shape[1] + 1)]
    table = Table(names, codes, [("row", rows.numbers.tolist())])
    write_table(path, table, opened if out is None else None, Shown(), rows.bad_rows)
    shape = codes.shape
    if json:
        document = {"run": str(opened.path), "codes": str(path), "layer": number, "shape": list(shape)}
        emit_json(document | {"which": rows.which, "left_out_rows": rows.bad_rows})
        return
    say(f"rows        {rows.which}")
    say(f"codes       {shown(path.resolve())}  {shape[0]:,} rows of {shape[1]}, layer {number}")
    say(f"next        stackae reconstruct{run_option(opened)}")


def _encoder(run: Run, weights: str, number: int, engine: str) -> Callable[[Tensor], Tensor]:
    from stackae.workflows.inputs import check_weights

    check_weights(weights)
    if weights == "pretrained":
        stack = run.load_stack(engine)
        return lambda x: stack.encode(x, number)
    model = run.load_encoders(engine)
    return lambda x: model.encode(x, number)
