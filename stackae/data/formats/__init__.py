"""The table of formats: one row per kind of file that holds rows of numbers.

Whatever code, messages and help ask of a format is an attribute of its row; a new format is its own module and a row
here. A format's module is imported when a file is read or written, so that help names the formats at no cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import io

    import numpy as np

    from stackae.config import DataConfig
    from stackae.data.formats.text_header import Chosen
    from stackae.data.formats.writing import Table
    from stackae.data.source import BadRow, Source
    from stackae.data.tables.frame import Dialect, Frame

SETS = "digits, mnist, fashion-mnist, torchvision:NAME"
"""What data may be named by besides a path."""


@dataclass(frozen=True)
class Format:
    """How the files whose names end in ``suffix`` are read and written.

    Functions are named "module.function", within ``stackae.data.formats``:

    reader: reads a file whole, as a Source: reader(path), with ``labels`` reader(path, numbers), and with
        ``reader_by_name`` reader(path, target, numbers, ignore).
    reader_by_name: reads the columns that a function chooses from the header line, without bad rows; None where columns
        have no names.
    frame: reads a file whole, as a Frame: frame(path, dialect, tell); None where columns are no texts.
    pieces: reads a file that may be larger than the memory, in pieces of rows; None where it has to fit.
    writer: packs a ``Table`` as the content of a file; None where such files are not written.
    labels: whether a file may hold labels or targets beside the rows.
    delimiters: what may stand between the cells of a line of text; of several, the header line says which one does.
    """

    suffix: str
    reader: str
    reader_by_name: str | None = None
    frame: str | None = None
    pieces: str | None = None
    writer: str | None = None
    labels: bool = True
    delimiters: str = ""

    @property
    def named(self) -> bool:
        """Whether a header line names the columns: targets are chosen by name, and a run finds its own columns."""
        return self.reader_by_name is not None

    def read(self, path: Path, config: DataConfig) -> Source:
        """The unchecked rows of a file, with the targets that ``config`` names. Raises DataError as the reader does."""
        reader, numbers = _function(self.reader), config.target_kind == "numbers"
        if self.named:
            source: Source = reader(path, config.target, numbers, config.ignore)
        else:
            source = reader(path, numbers) if self.labels else reader(path)
        return source

    def read_frame(self, path: Path, dialect: Dialect, tell: Callable[[float], None] = lambda share: None) -> Frame:
        """The columns of a table as they stand in its file; ``tell`` is told the share that is read, 0 to 1."""
        frame: Frame = _function(self.frame)(path, dialect, tell)
        return frame

    def read_by_name(
        self, path: Path, choose: Callable[[list[str]], Chosen], numbers: bool
    ) -> tuple[Source, np.ndarray, list[BadRow], int]:
        """What ``stackae.data.formats.text.load_text_by_name`` returns; of a format that is ``named`` alone."""
        read: tuple[Source, np.ndarray, list[BadRow], int] = _function(self.reader_by_name)(path, choose, numbers)
        return read

    def open_pieces(self, path: Path, file: io.BufferedReader, *columns: str | None) -> Any:
        """The pieces of an open file; of a format that is ``named``, with the target and the columns to be ignored."""
        return _function(self.pieces)(path, file, *columns)

    def pack(self, table: Table, progress: Callable[[float], None] = lambda share: None) -> memoryview:
        """The content of a file that holds the table; ``progress`` is called with the share done so far, 0 to 1."""
        content: memoryview = _function(self.writer)(table, progress, *self.delimiters)
        return content


def _function(name: str | None) -> Callable[..., Any]:
    assert name is not None, "a row says what its format can do: ask for it first"
    module, function = name.rsplit(".", 1)
    found: Callable[..., Any] = getattr(import_module(f"stackae.data.formats.{module}"), function)
    return found


_COMMAS = Format(
    ".csv",
    "text.load_text",
    reader_by_name="text.load_text_by_name",
    frame="text_frame.read_frame",
    pieces="text_pieces.TextPieces",
    writer="writing.pack_text",
    delimiters=",",
)
FORMATS = {
    each.suffix: each
    for each in (
        Format(".npy", "npy.load_npy", pieces="npy.NpyPieces", writer="writing.pack_npy", labels=False),
        Format(".npz", "npz.load_npz"),
        _COMMAS,
        replace(_COMMAS, suffix=".tsv", delimiters="\t"),
        replace(_COMMAS, suffix=".txt", delimiters="\t;, ", writer=None),
    )
}
"""By suffix, in the order in which messages name them."""

WRITTEN = {suffix: each for suffix, each in FORMATS.items() if each.writer is not None}
TABLES = {suffix: each for suffix, each in FORMATS.items() if each.named}
WRITTEN_TABLES = {suffix: each for suffix, each in WRITTEN.items() if each.named}
"""The formats that are written, those whose columns have names, and those of them that are written."""


def format_of(path: Path | str) -> Format | None:
    """The format that the suffix of a path names, in letters of either case; None for any other path."""
    return FORMATS.get(Path(path).suffix.lower())


def is_named(path: Path | str) -> bool:
    """Whether the path is that of a file whose columns have names."""
    found = format_of(path)
    return found is not None and found.named


def listed(suffixes: Iterable[str]) -> str:
    """.npy, .npz or .csv."""
    *others, last = suffixes
    return f"{', '.join(others)} or {last}" if others else last
