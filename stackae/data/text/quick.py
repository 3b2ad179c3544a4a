"""Blocks of lines by pyarrow's reader: quick, and given up wherever it may understand a cell in another way than we."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from stackae.data.text.blocks import line_ends

LONGEST_CELL = 131_072  # characters, as Python's reader has it
FEW_BYTES = 1 << 16  # that are not worth an import of pyarrow
MOST_COLUMNS = 1 << 13  # pyarrow takes 34 KB of memory for each, however few rows there are


class Coded(NamedTuple):
    """A column of texts: (n,) int32 places in ``texts``, which are as they stand in the file."""

    places: np.ndarray
    texts: list[str]


class Piece(NamedTuple):
    """Some rows: the wanted columns, (n,) float64 or ``Coded``, and how many rows there are."""

    columns: list[np.ndarray | Coded]
    rows: int


def quickly(
    block: bytes,
    width: int,
    delimiter: str,
    decimal: str,
    texts: Collection[int],
    wanted: Sequence[int],
    missing: frozenset[str],
) -> Piece | None:
    """The rows of a block of whole lines, each on one line; None where something in it needs a closer look, and for
    more than MOST_COLUMNS columns.

    Columns are those of ``wanted``, in order; those of ``texts`` are not taken for numbers.
    """
    if width > MOST_COLUMNS or b"\0" in block:
        return None
    import pyarrow as pa
    from pyarrow import csv

    block = block.rstrip(b"\r\n")
    if delimiter == " ":
        if b'"' in block:
            return None
        block = _single_spaced(block)
    names = [str(place) for place in range(width)]
    numbers, coded = pa.float64(), pa.dictionary(pa.int32(), pa.string())
    try:
        table = csv.read_csv(
            pa.BufferReader(block),
            csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
            csv.ParseOptions(delimiter=delimiter),
            csv.ConvertOptions(
                column_types={names[place]: coded if place in texts else numbers for place in wanted},
                include_columns=[names[place] for place in wanted],
                null_values=_spellings(missing),
                strings_can_be_null=False,
                decimal_point=decimal,
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != line_ends(block) + 1:
        return None  # blank lines, or cells of several
    read = [_column(table.column(place), width) for place in range(len(wanted))]
    columns = [column for column in read if column is not None]
    return Piece(columns, table.num_rows) if len(columns) == len(read) else None


def is_orderly(block: bytes, delimiter: str) -> bool:
    """Whether every quote of a block opens a cell, closes one, or stands doubled in one."""
    quotes = block.count(b'"')
    if not quotes:
        return True
    cells: list[bytes] = _quoted(delimiter).findall(block)
    return quotes == sum(cell.count(b'"') for cell in cells)


def _column(column: Any, width: int) -> np.ndarray | Coded | None:
    if column.num_chunks != 1:
        return None
    chunk = column.chunk(0)
    if hasattr(chunk, "indices"):
        texts = chunk.dictionary.to_pylist()
        if any(len(text) > LONGEST_CELL for text in texts) or (width == 1 and any(map(str.isspace, texts))):
            return None
        return Coded(chunk.indices.to_numpy(), texts)
    values: np.ndarray = chunk.to_numpy(zero_copy_only=False)
    return None if np.count_nonzero(np.isnan(values)) != chunk.null_count else values  # such as nan(ind)


def _single_spaced(block: bytes) -> bytes:
    block = re.sub(rb"[ \t]+", b" ", block)
    for wide, narrow in ((b"\n ", b"\n"), (b" \n", b"\n"), (b" \r", b"\r"), (b"\r ", b"\r")):
        block = block.replace(wide, narrow)
    return block.strip(b" ")


@cache
def _quoted(delimiter: str) -> re.Pattern[bytes]:
    between = re.escape(delimiter.encode()) + (rb"\t" if delimiter == " " else b"")
    return re.compile(
        rb"(?:(?<=[" + between + rb'\r\n])|(?<![\s\S]))"[^"]*+(?:""[^"]*+)*+"(?=[' + between + rb"\r\n]|\Z)"
    )


@cache
def _spellings(words: frozenset[str]) -> list[str]:
    """The words as most people write them, short ones in letters of either case; alone and after a blank."""
    found = set[str]()
    for word in words:
        letters = product(*({letter, letter.upper()} for letter in word)) if len(word) <= 5 else ()
        found.update(map("".join, letters), (word, word.upper(), word.capitalize()))
    return sorted({*found, *(f" {each}" for each in found)})
