"""A text file in pieces of rows: what lets a file larger than the memory be looked at."""

from __future__ import annotations

import io
import os
import struct
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stackae.data.formats.bounded import PIECE_BYTES
from stackae.data.formats.text_header import chosen_columns, number_of, picked, read_names
from stackae.data.formats.text_rows import TextRows
from stackae.data.labels import MOST_CLASSES

QUIET_NAN, MOST_PAYLOAD = 0x7FF8 << 48, (1 << 51) - 1


class TextPieces:
    """The rows of an open CSV file: iterating yields (r, d) float64 arrays, NaN where a cell is no number: another
    for each text, so that only equal texts look equal (``duplicates.with_one_nan``).

    Rows with too few or too many cells are skipped and counted in ``ragged``, cells that are no number in
    ``not_numbers``; ``labels`` counts the label cells by their text, up to MOST_CLASSES of them, and "" for none;
    ``notes`` say which columns are left out unasked. ``doubtful`` is True when load_text might refuse the file. Raises
    DataError where not even that can be read.
    """

    def __init__(self, path: Path, file: io.BufferedReader, target: str | None, ignore: str | None = None) -> None:
        self._reader = TextRows(path, file)
        self._size = os.fstat(file.fileno()).st_size
        header = read_names(self._reader)
        chosen = chosen_columns(path, header, target, False, ignore)
        self._target = chosen.targets[0] if chosen.targets else None
        self._width = len(header)
        self._features = picked(chosen.features, self._width)
        self.column_names = tuple(header[column] for column in chosen.features)
        self.columns = len(self.column_names)
        self.notes = chosen.notes
        self.labels: Counter[str] = Counter()
        self.ragged = self.not_numbers = 0
        self._excess = False

    @property
    def doubtful(self) -> bool:
        return bool(self.ragged or self.not_numbers or self._excess or not self._reader.plain)

    @property
    def share(self) -> float:
        """How much of the file has been read, from 0 to 1."""
        return self._reader.position() / max(1, self._size)

    def check_memory(self, rows: int) -> None:
        """DataError when the memory is too small for a file that so far holds so many rows."""
        self._reader.check_memory(8 * rows * self.columns, 0)

    def __iter__(self) -> Iterator[np.ndarray]:
        values = array("d")
        for _, cells in self._reader:
            if len(cells) != self._width:
                self.ragged += 1
                continue
            if self._target is not None:
                self._count(cells[self._target].strip())
            features = self._features(cells)
            try:
                values.extend([float(cell) for cell in features])
            except ValueError:
                values.extend(map(self._number, features))
            if len(values) * 8 >= PIECE_BYTES:
                yield np.frombuffer(values).reshape(-1, self.columns)
                values = array("d")
        if values:
            yield np.frombuffer(values).reshape(-1, self.columns)

    def _number(self, cell: str) -> float:
        value = number_of(cell)
        self.not_numbers += value is None
        return _nan_of(cell) if value is None else value

    def _count(self, label: str) -> None:
        if label in self.labels or len(self.labels) <= MOST_CLASSES + 1:
            self.labels[label] += 1
        else:
            self._excess = True


def _nan_of(text: str) -> float:
    """A NaN that holds 51 bits of a digest of the text, which are not 0."""
    (nan,) = struct.unpack("<d", struct.pack("<Q", QUIET_NAN | hash(text) & MOST_PAYLOAD | 1))
    return float(nan)
