"""Files of text as columns of numbers and texts: what a cell says, what is missing, and which rows are left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from data_files import message, write

from stackae.data.formats.text_frame import read_frame
from stackae.data.tables.frame import Dialect


def test_columns_are_numbers_or_texts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,kind,b\n1, tcp ,2.5\n?,udp,Infinity\n-3e4,NA,1e300\n,tcp,\n")
    frame = read_frame(path)
    a, kind, b = frame.columns
    assert frame.names == ("a", "kind", "b") and (a.stored, kind.stored, b.stored) == ("numbers", "texts", "numbers")
    np.testing.assert_array_equal(a.values, [1, np.nan, -3e4, np.nan])
    np.testing.assert_array_equal(b.values, [2.5, np.inf, 1e300, np.nan])
    assert kind.texts == ("tcp", "udp") and kind.values.tolist() == [0, 1, -1, 0] and kind.values.dtype == np.int32
    assert frame.numbers.tolist() == [0, 1, 2, 3] and frame.bad_rows == 0


def test_words_that_mean_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b\n1,-999\n2,x\nnone,Null\nNONE,n/a\n")
    a, b = read_frame(path, Dialect(missing=("none", "-999"))).columns
    np.testing.assert_array_equal(a.values, [1, 2, np.nan, np.nan])
    assert (b.texts, b.values.tolist()) == (("x",), [-1, 0, -1, -1])


def test_doubtful_digits_are_texts(tmp_path: Path) -> None:
    for cell in ("1_000", "١", "0x10", "5.1 V", "1,000"):
        (column,) = read_frame(write(tmp_path / "a.csv", f'a\n1\n"{cell}"\n')).columns
        assert (column.stored, column.texts) == ("texts", ("1", cell))


def test_rows_with_too_few_or_too_many_cells_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'a,b\n1,"x\ny"\n1\n2,z\n1,2,3\n3,w\n')
    frame = read_frame(path)
    assert frame.columns[0].values.tolist() == [1, 2, 3] and frame.numbers.tolist() == [0, 2, 4]
    assert frame.bad == (
        (1, "line 4: expected 2 cells as in the header, got 1"),
        (3, "line 6: expected 2 cells as in the header, got 3"),
    )
    assert frame.bad_rows == 2 and frame.lines is not None and frame.lines([0, 1, 2]) == [2, 5, 7]
    assert "expected rows of numbers below the header line, got none" in message(read_frame, write(path, "a,b\n1\n"))
