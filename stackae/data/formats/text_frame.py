"""A file of text as a Frame: columns of numbers and texts, whatever stands in their cells."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stackae.data.formats import format_of
from stackae.data.formats.bounded import opened
from stackae.data.memory import check_memory
from stackae.data.spool.parts import PartFile, part_file
from stackae.data.spool.spooled import Origin
from stackae.data.stored.array import stays_on_disk
from stackae.data.tables import cache
from stackae.data.tables.frame import Column, Dialect, Frame
from stackae.data.text.blocks import TextBlocks, encodings_of, line_ends
from stackae.data.text.columns import Columns, piece_of_rows
from stackae.data.text.dialects import Recognised, missing_words, recognise
from stackae.data.text.places import RowPlaces
from stackae.data.text.quick import FEW_BYTES, is_orderly, quickly
from stackae.data.text.rows import RowsOfLines
from stackae.errors import DataError, argument

CELLS_AT_ONCE = 1 << 18  # where rows are read one by one
CONTROL = re.compile(rb"[\0-\x08\x0e-\x1f\x7f]")
SHOWN_ROWS = 10
HELD_PER_BYTE = 4  # bytes of cells, and of the rows that become of them, for each of a file
FIRST_PASS = 0.9  # of the progress; another one reads a few columns, where it is needed

Tell = Callable[[float], None]


class _Table(NamedTuple):
    """What every row of a file is read by, and what is gathered of them."""

    path: Path
    known: Recognised
    missing: frozenset[str]
    columns: Columns


def read_frame(
    path: Path, dialect: Dialect | None = None, tell: Tell = lambda share: None, storage: str = "memory"
) -> Frame:
    """The columns of a file of text, numbers or texts, and its rows that have a cell for each of them.

    What ``dialect`` leaves open is recognised; ``tell`` is told the share that has been read, 0 to 1. Columns are maps
    where their ``storage`` is on disk. Raises DataError for what is no text or cannot be told (``recognise``), for more
    than the memory or the disk holds, and where no row is sound.
    """
    asked = dialect or Dialect()
    with opened(path) as file, contextlib.ExitStack() as stack:
        status = os.fstat(file.fileno())
        on_disk = stays_on_disk(storage, HELD_PER_BYTE * status.st_size)
        aside = stack.enter_context(part_file(str(path))) if on_disk else None
        entry = cache.entry_of(path, status, asked, on_disk)
        if entry is not None and (kept := cache.load(entry, path, file, on_disk)):
            return kept._replace(origin=_origin(path, asked) if on_disk else None)
        frame, digest = _parsed(path, file, asked, tell, aside)
        frame = frame._replace(origin=_origin(path, asked) if on_disk else None)
        if entry is not None:
            cache.store(entry, frame, digest)
        return frame


def _origin(path: Path, asked: Dialect) -> Origin:
    return Origin(str(path), (path,), asdict(asked))


def _parsed(
    path: Path, file: io.BufferedReader, asked: Dialect, tell: Tell, aside: PartFile | None = None
) -> tuple[Frame, str]:
    """The frame and the SHA-256 of its file."""
    wrong: UnicodeError | None = None
    otherwise = asked.otherwise.encoding if asked.otherwise else None
    tried = (asked.encoding,) if asked.encoding else encodings_of(path, file, otherwise)
    for encoding in tried:
        try:
            return _read(path, file, replace(asked, encoding=encoding), wrong, tell, aside)
        except UnicodeError as error:
            wrong = wrong or error
    assert wrong is not None
    raise _no_text(path, asked.encoding or ("UTF-16" if len(tried) == 1 else "UTF-8"), wrong)


def _no_text(path: Path, encoding: str, wrong: UnicodeError) -> DataError:
    got = f"byte 0x{wrong.object[wrong.start]:02x}" if isinstance(wrong, UnicodeDecodeError) else "no mark of it"
    return DataError(
        f"{path}: expected {encoding} text, got {got}; save it as UTF-8, or name what it is by {argument('encoding')}"
    )


def _read(
    path: Path, file: io.BufferedReader, asked: Dialect, wrong: UnicodeError | None, tell: Tell, aside: PartFile | None
) -> tuple[Frame, str]:
    assert asked.encoding is not None
    blocks = TextBlocks(path, file, asked.encoding)
    stream = iter(blocks)
    first = next(stream, b"")
    if wrong is not None and CONTROL.search(first):
        raise _no_text(path, "UTF-8", wrong)
    known = recognise(path, first.decode(), asked, _usual_delimiter(path))
    everything, missing = range(len(known.names)), missing_words(known.dialect)
    texts = _texts(known, everything, missing)
    table = _Table(path, known, missing, Columns(len(everything), texts, missing, aside))
    places = RowPlaces(len(everything))
    _gather(
        table, blocks, chain([first[known.skipped :]], stream), everything, places, lambda at: tell(FIRST_PASS * at)
    )
    if not len(places.numbers):
        shown = [f"{path}:{bad.reason.removeprefix('line ')}" for bad in places.bad[:SHOWN_ROWS]]
        raise DataError(
            *(shown or [f"{path}: expected rows below the header line, got none; give a file that holds data"])
        )
    if again := table.columns.restarted():
        _read_again(table, file, asked.encoding, again, blocks.digest.digest(), tell)
    columns, notes = _named(table)
    frame = Frame(
        str(path), columns, places.numbers, tuple(places.bad), places.bad_rows, places.lines, known.dialect, notes
    )
    return frame, blocks.digest.hexdigest()


def _read_again(
    table: _Table, file: io.BufferedReader, encoding: str, again: list[int], was: bytes, tell: Tell
) -> None:
    """Read those columns of texts which seemed to be numbers at first."""
    blocks = TextBlocks(table.path, file, encoding)
    stream = iter(blocks)
    rest = chain([next(stream, b"")[table.known.skipped :]], stream)
    places = RowPlaces(len(table.known.names))
    _gather(table, blocks, rest, again, places, lambda at: tell(FIRST_PASS + (1 - FIRST_PASS) * at))
    if blocks.digest.digest() != was:
        raise DataError(f"{table.path}: expected a file that stays as it is, got one that changes; wait for its end")


def _usual_delimiter(path: Path) -> str:
    found = format_of(path)
    return (found and found.delimiter) or ","


def _texts(known: Recognised, everything: Sequence[int], missing: frozenset[str]) -> set[int]:
    """The columns of texts, as far as the first rows show them."""
    if not known.rows:
        return set()
    piece = piece_of_rows(known.rows, known.dialect.decimal or ".", set(), everything, missing)
    return {place for place, column in enumerate(piece.columns) if not isinstance(column, np.ndarray)}


def _gather(
    table: _Table, blocks: TextBlocks, stream: Iterator[bytes], wanted: Sequence[int], places: RowPlaces, tell: Tell
) -> None:
    """Read all rows: by blocks where that is quick and sound, else one by one."""
    dialect, columns, line = table.known.dialect, table.columns, table.known.line
    delimiter, decimal, width = dialect.delimiter or ",", dialect.decimal or ".", len(table.known.names)
    for block in stream:
        piece, orderly = None, is_orderly(block, delimiter)
        if orderly and len(block) > FEW_BYTES:
            piece = quickly(block, width, delimiter, decimal, columns.texts, wanted, table.missing)
        if piece is not None:
            places.add_all(piece.rows, line)
            columns.add(wanted, piece)
            line += line_ends(block)
            _weigh(table, blocks, tell)
            continue
        blocks.whole_rows = orderly  # else no block may be taken for itself, and all rows that follow are read here
        lines = chain.from_iterable(map(_lines_of, [block] if orderly else chain([block], stream)))
        rows = RowsOfLines(table.path, lines, delimiter, line)
        while batch := list(islice(rows, max(1, CELLS_AT_ONCE // width))):
            if sound := places.add_sound(batch):
                columns.add(wanted, piece_of_rows(sound, decimal, columns.texts, wanted, table.missing))
            _weigh(table, blocks, tell)
        line = rows.line


def _lines_of(block: bytes) -> io.StringIO:
    return io.StringIO(block.decode(), newline="")


def _weigh(table: _Table, blocks: TextBlocks, tell: Tell) -> None:
    """DataError when the memory is too small for the whole file, by the share that has been read."""
    held, share = table.columns.held, max(blocks.share, 1e-9)
    check_memory(str(table.path), int(held / share) - held)
    tell(min(1.0, blocks.share))


def _named(table: _Table) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """The columns, without one that is nothing but delimiters at the ends of lines."""
    known, names = table.known, list(table.known.names)
    columns = [table.columns.column(place, name) for place, name in enumerate(names)]
    if not known.trailing:
        return tuple(columns), known.notes
    *others, last = columns
    if last.stored == "numbers" and np.isnan(last.values).all():
        note = f"{table.path}: the delimiter at the ends of lines makes no column: it has no name and no cell"
        return tuple(others), (*known.notes, note)
    return (*others, last._replace(name=f"x{len(others)}")), known.notes
