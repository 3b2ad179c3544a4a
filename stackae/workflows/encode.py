"""Encode rows by a layer of a trained run, into a table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from stackae.data.formats import WRITTEN
from stackae.data.formats.writing import Table
from stackae.data.run_rows import RowsRead
from stackae.errors import ConfigError, argument, legible
from stackae.models.heads import Finetuned
from stackae.models.stack import StackedAutoencoder
from stackae.runs import Run, open_run
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.inputs import DataRequest, check_weights, rows_of, whole_number
from stackae.workflows.outputs import Made, MadeOfRows, check_out, write_made


class EncodeResult(NamedTuple):
    """Codes (rows, n_hidden) as written, the layer that made them or all, and the rows that they encode."""

    run: Path
    codes: Path
    layer: int | Literal["all"]
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
        layer: the layer whose code is written, from 1; None is the top, and all writes the codes of every layer side by
            side, the lowest first.
        weights: pretrained, or finetuned: those of the head that was trained last.
        out: the table to write, in the format of its suffix; None is codes-layerN.npy, or codes-all.npy, of the run.

    Other arguments, and errors, are those of ``stackae.workflows.score``.
    """
    callbacks = callbacks or Callbacks()
    opened = open_run(run)
    layers = _layers(layer, len(opened.pretrain_config.layers))
    name: int | Literal["all"] = "all" if layer == "all" else layers[-1]
    path = opened.path / f"codes-{_told(name).replace(' ', '')}.npy" if out is None else Path(out)
    check_out(path, WRITTEN, must_be_new=out is not None and not force)
    check_weights(weights)
    model = opened.load_stack(engine) if weights == "pretrained" else opened.load_encoders(engine)
    rows = rows_of(opened, DataRequest.of(data), "all", callbacks, labels=False)
    columns = _columns(layers, opened.pretrain_config.layer_sizes)
    table = partial(_codes, model, layers, columns, f"codes of {_told(name)}")
    write_made(path, rows, table, opened if out is None else None, callbacks, "encoding")
    return EncodeResult(opened.path, path, name, (len(rows.x), len(columns)), rows.which, rows.bad_rows)


def _layers(asked: int | str | None, count: int) -> list[int]:
    """The layers whose codes are written, from 1. Raises ConfigError for one that is not there."""
    if asked == "all":
        return [*range(1, count + 1)]
    if not asked:
        return [count]
    if isinstance(asked, str) and not asked.lstrip("-").isdigit():
        raise ConfigError(f"{argument('layer')}: expected 1 to {count}, or all, got {legible(asked)}")
    return [whole_number(argument("layer"), asked, count)]


def _told(name: int | str) -> str:
    return "all" if name == "all" else f"layer {name}"


def _columns(layers: Sequence[int], sizes: Sequence[int]) -> list[str]:
    """Names of the units: h1, h2, ... of one layer; layer1_h1, ... of several."""
    before = {layer: f"layer{layer}_" if len(layers) > 1 else "" for layer in layers}
    return [f"{before[layer]}h{unit}" for layer in layers for unit in range(1, sizes[layer] + 1)]


def _codes(
    model: StackedAutoencoder | Finetuned, layers: Sequence[int], columns: list[str], what: str, rows: RowsRead
) -> Table:
    def codes(x: Tensor) -> Made:
        return Made(torch.cat([model.encode(x, layer) for layer in layers], dim=1))

    return Table(columns, len(rows.x), MadeOfRows(rows, what, codes))
