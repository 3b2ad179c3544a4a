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
from stackae.data.formats.delimiters import DELIMITERS
from stackae.data.source import checked
from stackae.errors import DataError, legible

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
    assume(x.shape[1] > 1 or len(FORMATS[suffix].delimiters) == 1)
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
    path = write(tmp_path / "a.csv", "a,y\n0,10\n0,9\n0,\n0,-1\n0,9.0\n0,9007199254740993\n0,9007199254740992\n")
    source = load_text(path, "y")
    assert source.classes == ("-1", "9", "10", "9007199254740992", "9007199254740993")
    assert source.y is not None and source.y.tolist() == [2, 1, -1, 0, 1, 4, 3]
    assert load_text(write(path, "a,y\n0,10\n0,9\n0,x\n"), "y").classes == ("10", "9", "x")
    assert load_text(write(path, "a,y\n0,1\n0,nan\n"), "y").classes == ("1", "nan")


BAD_CELLS = {
    "abc": "'abc' is not a number",
    "": "'' is not a number",
    "1_000": "'1_000' is not a number",
    "\u0661": "'\u0661' is not a number",
    "0x10": "'0x10' is not a number",
    "nan": "'nan' is not a finite number",
    "-Inf": "'-Inf' is not a finite number",
    "1e300": "'1e300' is too large for a 32-bit number",
    "1e999": "'1e999' is too large for a 32-bit number",
    "z" * 50: f"'{'z' * 40}...' is not a number",
}


@pytest.mark.parametrize("cell", BAD_CELLS)
def test_csv_names_the_bad_cell(tmp_path: Path, cell: str) -> None:
    for suffix, delimiter in TEXT_FORMATS if cell else QUOTING:
        content = f'id,note,age\n1,x,2\n2,"two\nlines",3\n3,y,{cell}\n4,y,5\n'
        path = text(tmp_path / f"a{suffix}", content, delimiter)
        assert message(load_text, path, "note") == f"{path}:5: column 'age' (3): {BAD_CELLS[cell]}"


@laws
@given(matrices, st.data(), kinds)
def test_csv_finds_every_bad_cell(tmp_path: Path, x: np.ndarray, data: st.DataObject, kind: tuple[str, str]) -> None:
    suffix, delimiter = kind
    assume(x.shape[1] > 1 or len(FORMATS[suffix].delimiters) == 1)
    cells = [[repr(float(cell)) for cell in row] for row in x]
    places = st.tuples(st.integers(0, x.shape[0] - 1), st.integers(0, x.shape[1] - 1))
    bad = sorted(data.draw(st.sets(places, min_size=1)))
    for row, column in bad:
        cells[row][column] = "?"
    header = delimiter.join(f"c{column}" for column in range(x.shape[1]))
    path = write(tmp_path / f"a{suffix}", "\n".join([header, *map(delimiter.join, cells)]))
    expected = [f"{path}:{row + 2}: column 'c{column}' ({column + 1}): '?' is not a number" for row, column in bad]
    if len(bad) > 10:
        expected = [*expected[:10], f"{len(bad)} problems in all, the first 10 are shown"]
    texts = [f"c{n}" for n in range(x.shape[1]) if sum(column == n for _, column in bad) == len(x)]
    if texts:
        what = f"column '{texts[0]}' holds" if len(texts) == 1 else f"columns {', '.join(texts)} hold"
        names = ",".join(texts)
        expected.append(f"{what} no number in any row: leave such columns out by ignore {names}")
    assert message(load_text, path) == "\n".join(expected)


@pytest.mark.parametrize(("suffix", "delimiter"), QUOTING)
def test_csv_sentences(tmp_path: Path, suffix: str, delimiter: str) -> None:
    path = tmp_path / f"a{suffix}"

    def of(content: bytes | str, target: str | None = None) -> str:
        if isinstance(content, str):
            content = content.replace(",", delimiter)
        return message(load_text, write(path, content), target)

    assert of("a,b\n1,2\n1\n1,2,3\n") == (
        f"{path}:3: expected 2 cells as in the header, got 1\n{path}:4: expected 2 cells as in the header, got 3"
    )
    assert of("a,b\n1,2\n\n3,4\n") == f"{path}:3: expected 2 cells as in the header, got 0"
    assert "header line that names the columns, got an empty file" in of("")
    assert "header line that names the columns, got an empty line" in of("\n1,2\n")
    assert "header line that names the columns, got numbers (1, 2.5)" in of("1,2.5\n3,4\n")
    assert "got cells of data (0.5, 0, 0, yes): the file has none; put a line of 4 names" in of(
        "0.5,0,0,yes\n1,2,3,no\n"
    )
    assert "got 'a' twice; rename one" in of("a,a\n1,2\n")
    assert "expected rows of numbers below the header line, got none" in of("a,b\n")
    assert "expected a name of its own for each column, got 'a' twice" in of("a,b, a\n1,2,3\n")
    assert "besides the target 'a', got none" in of("a\n1\n", "a") or suffix == ".txt"
    missing = of("age,label\n1,2\n", "lable")
    assert "a column named 'lable' for the target, got columns age, label; did you mean 'label'?" in missing
    wide = ",".join(f"c{column}" for column in range(30))
    assert "c19 and 10 more; name one of them" in of(wide + "\n", "zzz")
    assert "expected UTF-8 text, got byte 0xff; save it as UTF-8" in of(
        "a,b\n1,2\n\xff,1\n".replace(",", delimiter).encode("latin-1")
    )
    separated = f"{DELIMITERS[delimiter][:-1]}-separated cells, got"
    assert f"{path}:3: expected {separated}" in of('a,b\n1,2\n"3,4\n')
    assert f"{separated} {legible(repr(delimiter))} expected after" in of('a,b\n"1"2,3\n')


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("a b\n1 2\n", None),
        ("  a   b  \n 1\t\t2  \n", None),
        ('"a" b\n"1" 2\n\n \n', None),
        ("a, b\n1, 2\n", None),
        ("a;b,c\n1;2\n", "got semicolons and commas (a;b,c); quote names that hold one"),
        ("a\n1\n", "got none (a); save a table of one column as .csv"),
        ('"a b"\n1\n', 'got none ("a b"); save a table of one column as .csv'),
        ("# a b\n1 2\n", "got a comment (# a b); take the lines that begin with # out of the file"),
        ("1 2\n3 4\n", "header line that names the columns, got numbers (1, 2)"),
        ("a b\n1 2 3\n", ":2: expected 2 cells as in the header, got 3"),
    ],
)
def test_the_delimiter_of_a_txt_file_is_that_of_its_header(tmp_path: Path, content: str, wanted: str | None) -> None:
    path = write(tmp_path / "a.txt", content)
    if wanted is None:
        source = load_text(path)
        assert source.column_names == ("a", "b") and source.x.tolist() == [[1, 2]]
    else:
        assert wanted in message(load_text, path)


# ---- digits


def test_digits() -> None:
    source = load_source(DataConfig(data="digits"))
    assert source.x.shape == (1797, 784) and source.x.dtype == np.uint8 and source.image_shape == (28, 28)
    assert source.x.min() == 0 and source.x.max() == 255 and source.x_test is None
    assert source.y is not None and np.bincount(source.y).sum() == 1797 and len(source.classes) == 10
    again = load_source(DataConfig(data="digits"))
    np.testing.assert_array_equal(source.x, again.x)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("a;b;label\n1.5;2;yes\n", "got semicolons (a;b;label); save it with commas"),
        ("a;b;label\n1,5;2,0;yes\n", "got semicolons (a;b;label); save it with commas and points in numbers"),
        ("a\tb\n1\t2\n", "got tabs (a\\tb); save it with commas, or name it .tsv"),
        ("a|b\n1|2\n", "got bars (a|b); save it with commas"),
        ("a b c\n1 2 3\n", "got spaces (a b c); save it with commas, or name it .txt"),
        ("# logger 7\na,b\n1,2\n", "got a comment (# logger 7); take the lines that begin with # out of the file"),
    ],
)
def test_another_delimiter_is_named_as_the_fault(tmp_path: Path, content: str, wanted: str) -> None:
    for target in (None, "label"):
        assert wanted in message(load_text, write(tmp_path / "a.csv", content), target)


def test_one_column_may_have_any_name(tmp_path: Path) -> None:
    for name in ("a;b", "temp in degrees", "# x", "a|b"):
        source = load_text(write(tmp_path / "a.csv", f"{name}\n1\n2\n3\n"))
        assert source.column_names == (name,) and source.x.tolist() == [[1], [2], [3]]


def test_ignored_columns_are_no_features_whatever_they_hold(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,a,when,b,y\nP1,1,noon,2,u\nP2,3,night,4,v\n")
    source = load_text(path, "y", ignore="when, id")
    assert (source.column_names, source.ignored, source.x.tolist()) == (("a", "b"), ("id", "when"), [[1, 2], [3, 4]])
    assert "expected a column named 'wen' to be left out" in message(load_text, path, "y", False, "wen")
    assert "did you mean 'when'?" in message(load_text, path, "y", False, "wen")
    assert "expected a target that is not left out, got 'y'" in message(load_text, path, "y", False, "y")
    assert "expected a column of numbers besides the target" in message(load_text, path, "y", False, "id,a,when,b")


def test_columns_of_text_are_refused_with_the_option_that_leaves_them_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,a,day name\nP1,1,Mo\nP2,?,Tu\n")
    assert message(load_text, path).splitlines()[-1] == (
        "columns id, day name hold no number in any row: leave such columns out by ignore 'id,day name'"
    )
