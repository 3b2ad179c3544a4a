"""Tables that commands write: into the run, or to the file that --out names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from torch import Tensor

    from stackae.data import Rows
    from stackae.runs import Run
    from stackae.runs.durable import Content
    from stackae.tables import Table


def write_table(path: Path, table: Table, run: Run | None, left_out: int = 0) -> None:
    """Write it whole or not at all, in the format of the suffix; as a file of the run, if one is given.

    Where rows of the data are left out and the format keeps no row numbers, that is noted.
    """
    from stackae.tables import FORMATS

    from .console import Meter, note

    chosen = FORMATS[path.suffix.lower()]
    with Meter(f"writing {path.name}") as meter:
        content = chosen.pack(table, meter.update)
    write_content(path, content, run)
    if left_out and not chosen.named:
        note(
            f"note        {path.name} holds {len(table.values):,} rows, without the {left_out:,} left out and without "
            "row numbers; a .csv file keeps those"
        )


def write_content(path: Path, content: Content, run: Run | None) -> None:
    """Write it whole or not at all; as a file of the run, if one is given."""
    from stackae.runs import write_whole

    if run is None:
        write_whole(path, content)
    else:
        run.publish({path.name: content})


def made_of(x: Rows, function: Callable[[Tensor], Tensor], title: str) -> np.ndarray:
    """function(x) of all rows, a batch at a time, with its progress."""
    from stackae.stack import in_batches

    from .console import Meter

    done = 0
    with Meter(title) as meter:

        def counted(rows: Tensor) -> Tensor:
            nonlocal done
            done += len(rows)
            meter.update(done / max(1, len(x)))
            return function(rows)

        return in_batches(counted, x).cpu().numpy()
