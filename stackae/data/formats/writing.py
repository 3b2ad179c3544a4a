"""Tables that are written to files: a row per row of the data, in the format that the suffix of the file names."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stackae.data.formats import listed
from stackae.errors import ConfigError, DataError, legible

CHUNK_CELLS = 1 << 18
OUTSIDE = "values far outside those that the run was trained on overflow: correct or remove them"
Progress = Callable[[float], None]


class Table(NamedTuple):
    """values (n, k) with k names; ``beside`` are named columns of n, before them where a format has names.

    There, ``columns`` are what is written of the values, where they stand for names and times too.
    """

    names: Sequence[str]
    values: np.ndarray
    beside: Sequence[tuple[str, Sequence[object]]] = ()
    columns: Sequence[tuple[str, Sequence[object]]] | None = None


def pack_text(table: Table, progress: Progress = lambda share: None, delimiter: str = ",") -> memoryview:
    """A header line, then a line per row, in UTF-8: each number in the fewest digits that read as the same number.

    ``progress`` is called with the share done so far, 0 to 1.
    """
    content, text = io.BytesIO(), io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    beside = [*table.beside, *(table.columns or ())]
    values = table.values if table.columns is None else table.values[:, :0]
    writer.writerow([*(name for name, _ in beside), *(table.names if table.columns is None else ())])
    rows = len(table.values)
    step = max(1, CHUNK_CELLS // max(1, table.values.shape[1]))
    for start in range(0, rows, step):
        piece = slice(start, start + step)
        lines = values[piece].astype("U").tolist()
        if beside:
            before = zip(*(column[piece] for _, column in beside), strict=True)
            lines = [[*cells, *line] for cells, line in zip(before, lines, strict=True)]
        writer.writerows(lines)
        content.write(text.getvalue().encode(errors="backslashreplace"))
        text.seek(0)
        text.truncate()
        progress(min(1.0, (start + step) / rows))
    content.write(text.getvalue().encode(errors="backslashreplace"))
    return content.getbuffer()


def pack_npy(table: Table, progress: Progress = lambda share: None) -> memoryview:
    """The values alone, (n, k) in their type."""
    content = io.BytesIO()
    np.save(content, table.values, allow_pickle=False)
    return content.getbuffer()


def suffix_of(option: str, path: Path, suffixes: Collection[str]) -> str:
    """The suffix of the file that an option names, in lower case, which says what is written.

    Raises:
        ConfigError: it is none of these.
    """
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        raise ConfigError(
            f"{option}: expected a name that ends in {listed(suffixes)}, got {legible(path.name, 100)}; the "
            "suffix is the format of the file: change it"
        )
    return suffix


def check_finite(what: str, values: np.ndarray, rows: Sequence[int] | None = None, why: str = OUTSIDE) -> None:
    """DataError where values (n, k) hold what is no finite number; ``rows`` are the numbers of the rows, else 0 to n-1.

    ``what`` they are begins the sentence, and ``why`` with the remedy ends it.
    """
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        first = [int(index) if rows is None else rows[int(index)] for index in bad[:5]]
        more = f" and {len(bad) - len(first):,} more" if len(bad) > len(first) else ""
        raise DataError(
            f"{what}: expected finite numbers, got NaN or infinities for row {', '.join(map(str, first))}{more} "
            f"(counted from 0); {why}"
        )
