"""Rows that a command shows to a trained run: a part of its own data, or all rows of another file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from stackae.data import Rows
    from stackae.runs import Run


class RowsOfRun(NamedTuple):
    """Scaled rows of one part of data called ``name``, and the number of each row there, from 0."""

    name: str
    part: str
    x: Rows
    y: Tensor | None
    numbers: range
    column_names: tuple[str, ...]
    image_shape: tuple[int, ...] | None


def rows_for(run: Run, params: dict[str, Any]) -> RowsOfRun:
    """Those of --part; without it the test part of the run's own data (where that has none, the first that has rows),
    and all rows of others."""
    from stackae.data import load_data, load_source, scaled_rows

    from .inputs import data_of, part_of

    config = data_of(run, params)
    wish = params.get("part") or (None if config == data_of(run, {}) else "all")
    if wish == "all":
        source = load_source(config)
        part, known = scaled_rows(source, run.load_scaling()), (source.column_names, source.image_shape)
        return RowsOfRun(source.name, wish, *part, range(len(part.x)), *known)
    dataset = load_data(config, run.load_scaling())
    wish, part = part_of(dataset, wish)
    return RowsOfRun(dataset.name, wish, *part, range(len(part.x)), dataset.column_names, dataset.image_shape)
