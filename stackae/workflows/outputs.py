"""Write files of workflows: into the run, or where the caller names one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
from torch import Tensor

from stackae.data import Rows
from stackae.data.formats import WRITTEN, WRITTEN_TABLES, listed
from stackae.data.formats.writing import Table, suffix_of
from stackae.errors import ConfigError, argument
from stackae.models.stack import in_batches
from stackae.runs import Run, write_whole
from stackae.runs.durable import Content
from stackae.workflows.callbacks import Callbacks


def check_out(path: Path, suffixes: Collection[str], *, must_be_new: bool) -> str:
    """Return the suffix of an output file. Raises ConfigError unless it is one of ``suffixes``, and can be written."""
    if path.is_dir():
        raise ConfigError(f"{argument('out')}: expected a file, got {path}, which is a folder; add a file name")
    suffix = suffix_of(argument("out"), path, suffixes)
    if not path.parent.is_dir():
        raise ConfigError(f"{argument('out')}: expected a folder that exists, got {path.parent}; make it first")
    if must_be_new and (path.exists() or path.is_symlink()):
        raise ConfigError(
            f"{argument('out')}: expected a new file, got {path}, which exists; choose another name, or add "
            f"{argument('force')}"
        )
    return suffix


def write_table(path: Path, table: Table, run: Run | None, callbacks: Callbacks, left_out: int = 0) -> None:
    """Write a table atomically, in the format of the suffix; with ``run``, as a file of that run.

    Add a note if rows of the data are left out and the format keeps no row numbers.
    """
    chosen = WRITTEN[path.suffix.lower()]
    with callbacks.progress(f"writing {path.name}") as report:
        content = chosen.pack(table, report)
    write_content(path, content, run)
    if left_out and not chosen.named:
        callbacks.note(
            f"note        {path.name} holds {len(table.values):,} rows, without the {left_out:,} left out and without "
            f"row numbers; a {listed(WRITTEN_TABLES)} file keeps those"
        )


def write_content(path: Path, content: Content, run: Run | None) -> None:
    """Write a file atomically; with ``run``, as a file of that run."""
    if run is None:
        write_whole(path, content)
    else:
        run.publish({path.name: content})


def made_of(x: Rows, function: Callable[[Tensor], Tensor], step: str, callbacks: Callbacks) -> np.ndarray:
    """Return function(x) of all rows, computed in batches, and report the progress."""
    done = 0
    with callbacks.progress(step) as report:

        def counted(rows: Tensor) -> Tensor:
            nonlocal done
            done += len(rows)
            report(done / max(1, len(x)))
            return function(rows)

        return in_batches(counted, x).cpu().numpy()
