"""Encode rows by a layer of a trained run, into a table."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

from stackae.data.formats import WRITTEN
from stackae.data.formats.writing import Table
from stackae.data.run_rows import RowsRead
from stackae.errors import argument
from stackae.models.heads import Finetuned
from stackae.models.stack import StackedAutoencoder
from stackae.runs import Run, open_run
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.inputs import DataRequest, check_weights, rows_of, whole_number
from stackae.workflows.outputs import Made, MadeOfRows, check_out, write_made


class EncodeResult(NamedTuple):
    """Codes (rows, n_hidden) as written, the layer that made them, and the rows that they encode."""

    run: Path
    codes: Path
    layer: int
    shape: tuple[int, ...]
    which: str
    left_out_rows: int


def encode_run(
    run: Run | Path | str | None = None,
    *,
    layer: int | str | None = None,
    weights: str = "pretrained",
    data: DataRequest | str | None = None,
    engine: str = "auto",
    out: Path | str | None = None,
    force: bool = False,
    callbacks: Callbacks | None = None,
) -> EncodeResult:
    """Write the codes of all rows, in order (a named set's own test rows last), float32 (rows, n_hidden).

    Args:
        layer: the layer whose code is written, from 1; None is the top.
        weights: pretrained, or finetuned: those of the head that was trained last.
        out: the table to write, in the format of its suffix; None is codes-layerN.npy of the run.

    Other arguments, and errors, are those of ``stackae.workflows.score``.
    """
    callbacks = callbacks or Callbacks()
    opened = open_run(run)
    count = len(opened.pretrain_config.layers)
    number = whole_number(argument("layer"), layer, count) if layer else count
    path = opened.path / f"codes-layer{number}.npy" if out is None else Path(out)
    check_out(path, WRITTEN, must_be_new=out is not None and not force)
    check_weights(weights)
    model = opened.load_stack(engine) if weights == "pretrained" else opened.load_encoders(engine)
    rows = rows_of(opened, DataRequest.of(data), "all", callbacks, labels=False)
    shape = len(rows.x), opened.pretrain_config.layer_sizes[number]
    table = partial(_codes, model, number, shape[1])
    write_made(path, rows, table, opened if out is None else None, callbacks, "encoding")
    return EncodeResult(opened.path, path, number, shape, rows.which, rows.bad_rows)


def _codes(model: StackedAutoencoder | Finetuned, layer: int, width: int, rows: RowsRead) -> Table:
    pieces = MadeOfRows(rows, f"codes of layer {layer}", lambda x: Made(model.encode(x, layer)))
    return Table([f"h{unit}" for unit in range(1, width + 1)], len(rows.x), pieces)
