"""Write files of workflows: into the run, or where the caller names one."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from stackae.data.fingerprint import fingerprint_of_rows
from stackae.data.formats import WRITTEN, WRITTEN_TABLES, listed
from stackae.data.formats.writing import BadRows, Cells, Finite, Piece, Table, bad_rows, suffix_of
from stackae.data.minibatches import in_order
from stackae.data.run_rows import RowsRead
from stackae.errors import ConfigError, argument
from stackae.models.stack import ROWS_AT_ONCE
from stackae.ranks import group, ready, shared
from stackae.ranks.turns import to_first
from stackae.runs import Run, write_whole
from stackae.runs.durable import Content, staged
from stackae.runs.staging import Staged
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.stacks import built, check_built, check_same

T = TypeVar("T")


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


class Made(NamedTuple):
    """What is made of some rows: values (m, k), what else stands beside each row, and what is to be said of them."""

    values: Tensor
    beside: Sequence[tuple[str, Cells]] = ()
    told: Any = None


class MadeOfRows(NamedTuple):
    """The pieces of a table that has a row per row of the data, n >= 1; ranks make them in turns.

    ``what`` the values are begins the error where they are no finite numbers; ``take`` is given, in the order of the
    rows and on rank 0, what is ``told`` of each piece.
    """

    rows: RowsRead
    what: str
    make: Callable[[Tensor], Made]
    take: Callable[[Any], object] = lambda told: None

    def each(self, work: Callable[[Piece], T]) -> Iterator[T]:
        """Yield work(piece) of each. Raises DataError after the last where values are no finite numbers."""
        beside, check = self.rows.beside, Finite(self.what, self.rows.numbers)

        @torch.no_grad()
        def one(part: slice) -> tuple[T, BadRows, Any]:
            made = self.make(self.rows.x[part])
            values = made.values.cpu().numpy()
            piece = Piece(values, [*((name, cells[part]) for name, cells in beside), *made.beside])
            return work(piece), bad_rows(values), made.told

        for content, found, told in to_first(list(in_order(len(self.rows.x), ROWS_AT_ONCE)), one):
            check.add(found)
            self.take(told)
            yield content
        check.end()


def write_made(
    path: Path, rows: RowsRead, table: Callable[[RowsRead], Table], run: Run | None, callbacks: Callbacks, step: str
) -> Table:
    """Write the table that a function of a module makes of rows, as ``write_table`` does, and return it.

    Of several ranks, each makes its turns of the rows, and rank 0 writes.
    """
    made = table(rows)
    with shared_rows([rows], partial(follow_table, table, path.suffix)):
        write_table(path, made, run, callbacks, rows.bad_rows, step=step)
    return made


def follow_table(table: Callable[[RowsRead], Table], suffix: str, rows: RowsRead) -> None:
    """Take part, as a rank that follows, in ``write_made``."""
    WRITTEN[suffix.lower()].write(table(rows), io.BytesIO(), lambda share: None)


def shared_rows(reads: Sequence[RowsRead], work: Callable[..., object]) -> AbstractContextManager[None]:
    """Share work on rows with the other ranks, which read them anew and call work(*reads), as ``shared`` does."""
    if not group().several:
        return nullcontext()
    again = [each.again for each in reads]
    return shared(partial(_follow_rows, again, [fingerprint_of_rows(each) for each in reads], work, built()))


def _follow_rows(
    again: Sequence[Callable[[], RowsRead] | None],
    digests: Sequence[str],
    work: Callable[..., object],
    leader: dict[str, str],
) -> None:
    """Take part, as a rank that follows, in work on rows.

    Raises:
        DataError: this process reads other data than rank 0. SetupError: it would compute other bits.
    """
    check_built(leader)
    reads = [read() for read in again if read is not None]
    for rows, digest in zip(reads, digests, strict=True):
        check_same(fingerprint_of_rows(rows), digest, rows.name)
    ready()
    work(*reads)
