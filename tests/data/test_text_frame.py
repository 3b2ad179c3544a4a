"""Files of text as columns of numbers and texts: what a cell says, what is missing, and which rows are left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from data_files import laws, message, same_frames, write
from hypothesis import given
from hypothesis import strategies as st

from stackae.data.formats.text_frame import read_frame
from stackae.data.tables.frame import Dialect, Frame
from stackae.data.text.dialects import Recognised, recognise
from stackae.errors import DataError


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
    assert message(read_frame, write(path, "a,b\n1\n")) == f"{path}:2: expected 2 cells as in the header, got 1"
    assert "expected rows below the header line, got none" in message(read_frame, write(path, "a,b\n"))


CELLS = [
    "1",
    "-2.5",
    "+1",
    ".5",
    "1.",
    "1e5",
    "1e400",
    "00012",
    " 7 ",
    "nan",
    "NaN",
    " nan",
    "-nan",
    "nan(ind)",
    "Infinity",
]
CELLS += ["-inf", "?", "N/A", "", " ", "null", "x", " x", "1_0", "0x10", "\u0661", "ä", '"1"', '"a"', '"a,b"', '"a\nb"']
CELLS += [
    '"a""b"',
    '"1"2',
    '5"',
    '"',
    '""',
    "1,5",
    "-999",
    "-999.0",
    "1d5",
    "1;2",
    "\u00a01",
    "\x0c",
    "a\x0bb",
    "infinit",
]
rows_of_cells = st.lists(st.lists(st.sampled_from(CELLS), min_size=3, max_size=3), min_size=1, max_size=12)
odd_lines = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from(["", "  ", "1,2", "1,2,3,4", ",,", "\t", '"', "#"])), max_size=2
)


def read(path: Path, block: int, few: int, **asked: Any) -> Frame | str:
    """A file as it is read in blocks of so many bytes, by pyarrow from so few on.

    Its first lines are looked at in the whole text, as in a file: blocks are larger there than what is looked at.
    """

    def recognised(path: Path, first: str, *more: Any) -> Recognised:
        return recognise(path, path.read_bytes().decode(), *more)

    blocks = mock.patch("stackae.data.text.blocks.BLOCK_BYTES", block)
    looks = mock.patch("stackae.data.formats.text_frame.recognise", recognised)
    with blocks, looks, mock.patch("stackae.data.formats.text_frame.FEW_BYTES", few):
        try:
            return read_frame(path, Dialect(**asked))
        except DataError as error:
            return str(error)


def same(one: Frame | str, other: Frame | str) -> None:
    if isinstance(one, str) or isinstance(other, str):
        assert one == other
        return
    same_frames(one, other)


@laws
@given(
    rows_of_cells,
    odd_lines,
    st.sampled_from([",", ";", "\t", "|", " "]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([40, 200, 1 << 20]),
    st.sampled_from([".", ","]),
)
def test_quick_reading_says_what_reading_by_rows_says(
    tmp_path: Path, rows: list[list[str]], odd: list[tuple[int, str]], sep: str, end: str, block: int, decimal: str
) -> None:
    lines = [sep.join(cells) for cells in rows]
    for place, line in odd:
        lines.insert(place, line.replace(",", sep))
    path = write(tmp_path / "a.csv", end.join([sep.join("abc"), *lines]) + end)
    asked = {"delimiter": sep, "decimal": decimal, "header": True, "encoding": "utf-8", "missing": ("-999", "x")}
    by_rows = read(path, 1 << 20, 1 << 30, **asked)
    same(read(path, block, 0, **asked), by_rows)
    same(read(path, block, 0, delimiter=sep), read(path, 1 << 20, 1 << 30, delimiter=sep))
