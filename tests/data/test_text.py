"""Text files and the named sets: what is read is what was written, whatever the delimiter; every bad cell is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_files import (
    TEXT_FORMATS,
    laws,
    load_text,
    matrices,
    message,
    write,
)
from hypothesis import assume, given
from hypothesis import strategies as st

from stackae.config import DataConfig
from stackae.data import load_source
from stackae.data.formats import FORMATS
from stackae.data.source import checked
from stackae.errors import DataError

# ---- text: content is written here with commas

kinds = st.sampled_from(TEXT_FORMATS)
QUOTING = [each for each in TEXT_FORMATS if each[1] != " "]
"""Without spaces, between which an empty cell is none."""


def text(path: Path, content: str, delimiter: str) -> Path:
    return write(path, content.replace(",", delimiter))


@laws
@given(matrices, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.integers(0, 2), kinds)
def test_csv_round_trip(tmp_path: Path, x: np.ndarray, end: str, mark: bool, blank: int, kind: tuple[str, str]) -> None:
    suffix, delimiter = kind
    assume(x.shape[1] > 1 or FORMATS[suffix].delimiter == delimiter)
    names = [f"c{column}" for column in range(x.shape[1])]
    lines = [delimiter.join(names), *(delimiter.join(repr(float(cell)) for cell in row) for row in x)]
    content = (b"\xef\xbb\xbf" if mark else b"") + end.join(lines).encode() + end.encode() * blank
    source = checked(load_text(write(tmp_path / f"a{suffix}", content)))
    assert source.column_names == tuple(names) and source.y is None and source.classes == ()
    np.testing.assert_array_equal(source.x, x)


@pytest.mark.parametrize(("suffix", "delimiter"), QUOTING)
def test_csv_target(tmp_path: Path, suffix: str, delimiter: str) -> None:
    path = text(tmp_path / f"a{suffix}", 'age, "kind",w\n1,cat,2\n"3",,4\n5, dog,6\n7,cat,1e1\n', delimiter)
    with pytest.raises(DataError):
        load_text(path, "kind")  # a quote after a blank is no quote
    text(path, 'age,"kind",w\n1,cat,2\n"3",,4\n5, dog,6\n7,cät_1, 1e1\n', delimiter)
    source = checked(load_text(path, "kind"))
    assert source.classes == ("cat", "cät_1", "dog") and source.column_names == ("age", "w")
    assert source.y is not None and source.y.tolist() == [0, -1, 2, 1]
    np.testing.assert_array_equal(source.x, [[1, 2], [3, 4], [5, 6], [7, 10]])


def test_csv_numeric_target_is_sorted_by_value(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,y\n0,10\n0,9\n0,\n0,-1\n0,9.0\n0,1e3\n0,0.5\n")
    source = load_text(path, "y")
    assert source.classes == ("-1", "0.5", "9", "10", "1000")
    assert source.y is not None and source.y.tolist() == [3, 2, -1, 0, 2, 4, 1]
    assert load_text(write(path, "a,y\n0,10\n0,9\n0,x\n"), "y").classes == ("10", "9", "x")
    assert load_text(write(path, "a,y\n0,1\n0,nan\n"), "y").classes == ("1",)


REMEDY = (
    "take such cells for missing by missing_values='{}', the column for categories by categorical='{}', or leave it "
    "out by drop='{}'"
)
BAD_CELLS = {
    "abc": "'abc' is not a number",
    "1_000": "'1_000' is not a number",
    "\u0661": "'\u0661' is not a number",
    "0x10": "'0x10' is not a number",
    "": "the cell is missing",
    "nan": "the cell is missing",
    "-Inf": "the cell is missing",
    "1e300": "'1e300' is too large for a 32-bit number",
    "1e999": "the cell is missing",
    "z" * 50: f"'{'z' * 40}...' is not a number",
}


@pytest.mark.parametrize("cell", BAD_CELLS)
def test_csv_names_the_bad_cell(tmp_path: Path, cell: str) -> None:
    for suffix, delimiter in TEXT_FORMATS if cell else QUOTING:
        content = f'id,note,age\n1,x,2\n2,"two\nlines",3\n3,y,{cell}\n4,y,5\n'
        path = text(tmp_path / f"a{suffix}", content, delimiter)
        first, remedy = message(load_text, path, "note").splitlines()
        wanted = BAD_CELLS[cell].replace("1e300", "1e+300")
        assert first == f"{path}:5: column 'age' (3): {wanted}"
        if "missing" in wanted:
            assert remedy == "fill such cells by missing='mean', or drop columns by drop='age'"
        else:
            assert remedy == REMEDY.format("1e+300" if cell == "1e300" else cell, "age", "age")


@laws
@given(matrices, st.data())
def test_csv_finds_every_bad_cell(tmp_path: Path, x: np.ndarray, data: st.DataObject) -> None:
    x = np.concatenate([x, x + 1, x + 2])  # most cells of each column are numbers
    cells = [[repr(float(cell)) for cell in row] for row in x]
    places = st.tuples(st.integers(0, x.shape[0] // 3 - 1), st.integers(0, x.shape[1] - 1))
    bad = sorted(data.draw(st.sets(places, min_size=1)))
    for row, column in bad:
        cells[row][column] = "x"
    header = ",".join(f"c{column}" for column in range(x.shape[1]))
    path = write(tmp_path / "a.csv", "\n".join([header, *map(",".join, cells)]))
    expected = [f"{path}:{row + 2}: column 'c{column}' ({column + 1}): 'x' is not a number" for row, column in bad]
    if len(bad) > 10:
        expected = [*expected[:10], f"{len(bad)} problems in all, the first 10 are shown"]
    names = ",".join(f"c{column}" for column in sorted({column for _, column in bad}))
    assert message(load_text, path) == "\n".join([*expected, REMEDY.format("x", names, names)])


def test_rows_of_another_width_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b\n1,2\n1\n1,2,3\n")
    assert message(load_text, path) == (
        f"{path}:3: expected 2 cells as in the header, got 1\n{path}:4: expected 2 cells as in the header, got 3"
    )


# ---- digits


def test_digits() -> None:
    source = load_source(DataConfig(data="digits"))
    assert source.x.shape == (1797, 784) and source.x.dtype == np.uint8 and source.image_shape == (28, 28)
    assert source.x.min() == 0 and source.x.max() == 255 and source.x_test is None
    assert source.y is not None and np.bincount(source.y).sum() == 1797 and len(source.classes) == 10
    again = load_source(DataConfig(data="digits"))
    np.testing.assert_array_equal(source.x, again.x)


def test_dropped_columns_are_no_features_whatever_they_hold(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,a,when,b,y\nP1,1,noon,2,u\nP2,3,night,4,v\n")
    source = load_text(path, "y", drop="when, id")
    assert (source.column_names, source.ignored, source.x.tolist()) == (("a", "b"), ("id", "when"), [[1, 2], [3, 4]])
    sentence = message(load_text, path, "y", False, "wen")
    assert "expected a column named 'wen' to be left out" in sentence and "did you mean 'when'?" in sentence
    assert "expected a target that is not left out, got 'y'" in message(load_text, path, "y", False, "y")
    assert "expected a column for a feature besides the target" in message(load_text, path, "y", False, "id,a,when,b")
    sentence = message(load_text, path, "lable")
    assert "a column named 'lable' for the target, got columns id, a, when, b, y; name one of them" in sentence
