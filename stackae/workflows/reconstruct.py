"""Reconstruct rows: a picture of originals over reconstructions, or a table of all reconstructions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from stackae.data.formats import WRITTEN
from stackae.data.formats.writing import Table
from stackae.data.run_rows import RowsRead
from stackae.data.scaling import Scaling
from stackae.errors import ConfigError, argument
from stackae.plots import runs as pictures
from stackae.runs import Run, open_run
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.inputs import DataRequest, check_weights, rows_of, whole_number
from stackae.workflows.outputs import Made, MadeOfRows, check_out, write_content, write_made
from stackae.workflows.pictures import example_rows

MOST_ROWS = 100


class ReconstructResult(NamedTuple):
    """The file that was written: a picture with these rows of images or curves, or a table (rows, n_visible)."""

    run: Path
    data: str
    part: str
    which: str
    file: Path
    rows: list[str] | None = None
    shape: tuple[int, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `stackae reconstruct`."""
        what: dict[str, Any] = {"reconstructions": self.file, "shape": self.shape}
        if self.rows is not None:
            what = {"picture": self.file, "rows": self.rows}
        return {"run": self.run, "data": self.data, "part": self.part, "which": self.which, **what}


def reconstruct_run(
    run: Run | Path | str | None = None,
    *,
    count: int | str = 10,
    layer: int | str | None = None,
    weights: str = "pretrained",
    part: str | None = None,
    data: DataRequest | str | None = None,
    engine: str = "auto",
    out: Path | str | None = None,
    force: bool = False,
    callbacks: Callbacks | None = None,
) -> ReconstructResult:
    """Draw rows of the data over each layer's reconstruction; for a denoising stack, corrupted rows over restored ones.

    Args:
        count: rows in the picture.
        layer: reconstruct through this layer alone, from 1; None is each layer, in a table the top.
        weights: pretrained, or finetuned for reconstruction.
        out: a .png file; None is reconstructions.png of the run. A table, in the format of its suffix, holds the
            reconstructions of all rows of the part, in the units and the precision of the data.

    Other arguments, and errors, are those of ``stackae.workflows.score``.
    """
    callbacks = callbacks or Callbacks()
    opened = open_run(run)
    drawn = whole_number(argument("count"), count, MOST_ROWS)
    layers = len(opened.pretrain_config.layers)
    number = whole_number(argument("layer"), layer, layers) if layer else None
    path = opened.path / "reconstructions.png" if out is None else Path(out)
    as_picture = check_out(path, (".png", *WRITTEN), must_be_new=out is not None and not force) == ".png"
    check_weights(weights)
    if weights == "finetuned" and number not in (None, layers):
        raise ConfigError(
            f"{argument('layer')}: expected {layers}, the top of what was fine-tuned as one network, got {number}; "
            f"leave it out, or use {argument('weights', 'pretrained')}"
        )
    stack = opened.load_stack(engine)
    deep = opened.load_head("reconstruction", engine)[0] if weights == "finetuned" else None
    rows = rows_of(opened, DataRequest.of(data), part, callbacks, labels=as_picture)
    result = ReconstructResult(opened.path, rows.name, rows.part, rows.which, path)
    if not as_picture:
        reconstruct = partial(stack.reconstruct, layer=number) if deep is None else deep.reconstruct
        table = partial(_restored, reconstruct, opened.load_scaling())
        write_made(path, rows, table, None, callbacks, "reconstructing")
        return result._replace(shape=(len(rows.x), rows.x.shape[1]))
    named = example_rows(opened, stack, rows.x, rows.y, drawn, number, deep)
    drawn_as = rows.image_shape, opened.config.data.window
    write_content(path, pictures.reconstructions(named, *drawn_as), opened if out is None else None)
    return result._replace(rows=[name for name, _ in named])


def _restored(reconstruct: Callable[[Tensor], Tensor], scaling: Scaling, rows: RowsRead) -> Table:
    """Return all reconstructions in the units of the data, as its columns; x0, ... if those have no names."""
    pieces = MadeOfRows(rows, "reconstructions", lambda x: Made(scaling.inverse_transform(reconstruct(x))))
    names = rows.column_names or [f"x{column}" for column in range(rows.x.shape[1])]
    return Table(names, len(rows.x), pieces, None if rows.places is not None else rows.encoding)
