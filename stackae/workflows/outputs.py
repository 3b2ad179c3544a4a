"""Write files of workflows: into the run, or where the caller names one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stackae.data import Rows
from stackae.data.formats import WRITTEN, WRITTEN_TABLES, listed
from stackae.data.formats.writing import Piece, Table, suffix_of
from stackae.data.minibatches import in_order
from stackae.data.run_rows import RowsRead
from stackae.errors import ConfigError, argument
from stackae.models.stack import ROWS_AT_ONCE
from stackae.runs import Run, write_whole
from stackae.runs.durable import Content, staged
from stackae.runs.staging import Staged
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


def write_table(
    path: Path, table: Table, run: Run | None, callbacks: Callbacks, left_out: int = 0, *, step: str = ""
) -> None:
    """Write a table atomically and piece by piece, in the format of the suffix; with ``run``, as a file of that run.

    ``step`` names what makes the pieces. Add a note if rows of the data are left out and the format keeps no row
    numbers.
    """
    with _written(path, table, callbacks, step) as content:
        write_content(path, content, run)
    if left_out and not WRITTEN[path.suffix.lower()].named:
        callbacks.note(
            f"note        {path.name} holds {table.rows:,} rows, without the {left_out:,} left out and without "
            f"row numbers; a {listed(WRITTEN_TABLES)} file keeps those"
        )


@contextmanager
def _written(path: Path, table: Table, callbacks: Callbacks, step: str = "") -> Iterator[Staged]:
    """Have the table written, to be put at ``path``."""
    chosen = WRITTEN[path.suffix.lower()]
    with ExitStack() as stack:
        with callbacks.progress(step or f"writing {path.name}") as report:
            content = stack.enter_context(staged(path, lambda file: chosen.write(table, file, report)))
        yield content


@contextmanager
def tables_written(tables: Mapping[Path, Table], callbacks: Callbacks) -> Iterator[dict[str, Content]]:
    """Have several tables of a folder written; yield their contents by name."""
    with ExitStack() as stack:
        yield {path.name: stack.enter_context(_written(path, table, callbacks)) for path, table in tables.items()}


def write_content(path: Path, content: Content, run: Run | None) -> None:
    """Write a file atomically; with ``run``, as a file of that run."""
    if run is None:
        write_whole(path, content)
    else:
        run.publish({path.name: content})


@torch.no_grad()
def made_of(x: Rows, function: Callable[[Tensor], Tensor]) -> Iterator[np.ndarray]:
    """Yield function(x) of all rows, n >= 1, in pieces of ROWS_AT_ONCE."""
    for part in in_order(len(x), ROWS_AT_ONCE):
        yield function(x[part]).cpu().numpy()


def pieces_beside(rows: RowsRead, values: Iterable[np.ndarray]) -> Iterator[Piece]:
    """Yield the values (m, k) of all rows, piece by piece, with what stands beside each row."""
    beside, start = rows.beside, 0
    for each in values:
        part = slice(start, start + len(each))
        yield Piece(each, [(name, cells[part]) for name, cells in beside])
        start += len(each)
