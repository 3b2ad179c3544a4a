"""Tables in the dialects that spreadsheets and instruments write: the same cells are read from each, and it is said."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import message, write

from stackae.data.formats.text_frame import read_frame
from stackae.data.tables.frame import Dialect, Frame

draw = np.random.default_rng(0)
X, Y = draw.random((200, 4)).round(3), draw.integers(0, 2, 200)
NAMES = ["a", "b", "c", "d", "label"]


def table(
    sep: str,
    dec: str = ".",
    quote: str = "",
    end: str = "\n",
    names: list[str] = NAMES,
    first: Callable[[int], list[str]] = lambda row: [],
    trail: str = "",
) -> str:
    lines = [sep.join(quote + name + quote for name in names) + trail]
    for row, (values, label) in enumerate(zip(X.tolist(), Y, strict=True)):
        cells = [*first(row), *(f"{value:.3f}".replace(".", dec) for value in values)]
        lines.append(sep.join([*cells, quote + ("yes" if label else "no") + quote]) + trail)
    return end.join(lines) + end


COMMAS = table(",")
DIALECTS: dict[str, tuple[bytes, list[str]]] = {
    "semicolon.csv": (table(";").encode(), ["recognised semicolons between the cells"]),
    "semicolon_comma.csv": (table(";", ",").encode(), ["recognised semicolons between the cells and decimal commas"]),
    "tab.csv": (table("\t").encode(), ["recognised tabs between the cells"]),
    "bars.txt": (table("|").encode(), ["recognised bars between the cells"]),
    "tab.tsv": (table("\t").encode(), []),
    "comma.tsv": (COMMAS.encode(), ["recognised commas between the cells"]),
    "space.csv": (table(" ").encode(), ["recognised spaces between the cells"]),
    "spaces.dat": (("  " + table("  ", end=" \n  ")).encode(), ["recognised spaces between the cells"]),
    "space_comma.data": (table(" ", ",").encode(), ["recognised spaces between the cells and decimal commas"]),
    "bom.csv": (COMMAS.encode("utf-8-sig"), []),
    "crlf.csv": (table(",", end="\r\n").encode(), []),
    "cr.csv": (table(",", end="\r").encode(), []),
    "blank.csv": (("\n\n" + table(",", end="\n\n  \n")).encode(), []),
    "quoted.csv": (table(",", quote='"').encode(), []),
    "blanks.csv": (table(" , ").encode(), []),
    "utf16.csv": (table("\t").encode("utf-16"), ["recognised tabs between the cells and text in utf-16"]),
    "trailing.csv": (table(",", trail=",").encode(), ["the delimiter at the ends of lines makes no column"]),
    "comment.csv": (f"# logger 7\n\n% Hz 100\n{COMMAS}".encode(), ["2 lines of comment are above the table"]),
    "saved.txt": (b"# " + table(" ").encode(), ["recognised spaces", "the last comment above the table names"]),
    "plain.data": (COMMAS.encode(), []),
    "plain.csv.gz": (gzip.compress(COMMAS.encode()), []),
}


def said(frame: Frame, path: Path, *parts: str) -> None:
    assert len(frame.notes) == len(parts), frame.notes
    for note, part in zip(frame.notes, parts, strict=True):
        assert note.startswith(f"{path}: ") and part in note


def same(frame: Frame) -> None:
    assert frame.names == tuple(NAMES) and frame.bad_rows == 0 and len(frame.numbers) == len(X)
    np.testing.assert_array_equal(np.stack([column.values for column in frame.columns[:4]], axis=1), X)
    label = frame.columns[4]
    assert [label.texts[code] for code in label.values] == ["yes" if each else "no" for each in Y]


@pytest.mark.parametrize("quick", [True, False], ids=["quick", "by rows"])
@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, quick: bool) -> None:
    monkeypatch.setattr("stackae.data.formats.text_frame.FEW_BYTES", 0 if quick else 1 << 30)
    content, notes = DIALECTS[name]
    path = write(tmp_path / name, content)
    frame = read_frame(path)
    same(frame)
    said(frame, path, *notes)
    assert frame.dialect is not None and frame.dialect.header
    again = read_frame(path, frame.dialect)  # what was recognised may be given
    same(again)


def test_names_and_a_first_column(tmp_path: Path) -> None:
    degrees = write(tmp_path / "a.csv", table(",", names=["Temp °C", *NAMES[1:]]).encode("latin-1"))
    frame = read_frame(degrees)
    assert frame.names[0] == "Temp °C"
    said(frame, degrees, "recognised text in cp1252")
    index = read_frame(write(tmp_path / "b.csv", table(",", names=["", *NAMES], first=lambda row: [str(row)])))
    assert index.names == ("", *NAMES) and index.columns[0].values.tolist() == list(range(200)) and not index.notes
    of_r = read_frame(write(tmp_path / "c.txt", table(" ", quote='"', first=lambda row: [f'"{row}"'])))
    assert of_r.names == ("", *NAMES) and of_r.columns[0].values.tolist() == list(range(200))
    path = write(tmp_path / "d.csv", table(",", names=["a", " a", "a.1", "", "label "]))
    frame = read_frame(path)
    assert frame.names == ("a", "a.2", "a.1", "x3", "label")
    said(
        frame, path, "names that come twice are numbered: 'a.2'", "columns without a name (1) are named by their place"
    )


def test_a_late_byte_of_latin_1_turns_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackae.data.text.blocks.BLOCK_BYTES", 1000)
    content = "a,place\n" + "1,Lyon\n" * 1000
    path = write(tmp_path / "a.csv", content.encode() + "2,Rhône\n".encode("latin-1"))
    frame = read_frame(path)
    assert frame.columns[1].texts == ("Lyon", "Rhône") and len(frame.numbers) == 1001
    said(frame, path, "recognised text in cp1252")
    odd = write(tmp_path / "b.csv", b"a,b\n1,\x81\n")  # no character of Windows'
    assert read_frame(odd).dialect == Dialect(",", ".", "latin-1", True)
    text = message(read_frame, odd, Dialect(encoding="ascii"))
    assert text == f"{odd}: expected ascii text, got byte 0x81; save it as UTF-8, or name what it is by encoding"


def of(tmp_path: Path, content: str, name: str = "a.csv", **asked: Any) -> Frame:
    return read_frame(write(tmp_path / name, content), Dialect(**asked))


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("0.5,0,1,yes\n1,2,3,no\n", None),
        ("1,2.5\n3,4\n", None),
        ("1,tcp,SF\n2,udp,SF\n", None),
        ("p,x,s\ne,x,y\np,b,s\n", None),  # categories alone
        ("P1,0.5,0.25\nP2,0.7,0.1\n", None),
        ("5\n1\n2\nabc\n", None),
        ("1,2,3,4\n5,6,7,8\n", None),  # every line is a series
        ("0,1\n1,0\n0,1\n", None),
        ("?,1,2.5\nx,2,3.5\n", None),
        ("a\n1\n", ["a"]),
        ("a,b\nx,y\n", ["a", "b"]),
        ("a,b\n1,x\n", ["a", "b"]),
        ("country,1990,1991,1992\nFR,1.5,2.5,0.5\n", ["country", "1990", "1991", "1992"]),
        ("1990,1991\n0.5,0.25\n", ["1990", "1991"]),
        ("0,1\n0.5,0.25\n", ["0", "1"]),
        ("0,1,2,3\n9,4,7,7\n", ["0", "1", "2", "3"]),
        ("400.5,401,401.7,402,403,404,405,406.1\n1,2,3,2,1,2,3,1\n", None),
        ("id,0.5,label\n3,1.5,x\n", "ambiguous"),
        ("0,1\n7,3\n", "ambiguous"),
        ("1,2,3\n7,3,9\n", "ambiguous"),
    ],
)
def test_names_are_told_from_data(tmp_path: Path, content: str, names: list[str] | str | None) -> None:
    first = content.split("\n", 1)[0]
    if "400.5" in content:
        names = first.split(",")
    width = first.count(",") + 1
    if names == "ambiguous":
        path = write(tmp_path / "a.csv", content)
        assert message(read_frame, path) == (
            f"{path}: expected a first line of names or of data, got {first}, which may be either; say which by header "
            "or no_header"
        )
    else:
        frame = of(tmp_path, content)
        assert frame.names == tuple(names or [f"x{place}" for place in range(width)])
        assert len(frame.numbers) == content.count("\n") - (names is not None)
        if names is None:
            said(frame, tmp_path / "a.csv", f"the first line holds data ({first}), no names: columns are named x0 to")
    for header in (True, False):
        frame = of(tmp_path, content, header=header)
        assert frame.names == tuple(first.split(",") if header else [f"x{place}" for place in range(width)])
        assert len(frame.numbers) == content.count("\n") - header and not frame.notes


def test_commas_that_may_stand_between_thousands(tmp_path: Path) -> None:
    content = "a;b\n1,234;5\n12,345;6\n"
    assert message(of, tmp_path, content) == (
        f"{tmp_path / 'a.csv'}: expected numbers that say one thing, got 1,234, which may be 1.234 or 1234; say which "
        "by decimal=',' or decimal='.'"
    )
    assert of(tmp_path, content, decimal=",").columns[0].values.tolist() == [1.234, 12.345]
    assert of(tmp_path, content, decimal=".").columns[0].texts == ("1,234", "12,345")
    assert of(tmp_path, content + "0,123;7\n").columns[0].values.tolist() == [1.234, 12.345, 0.123]
    assert of(tmp_path, content + "x;0.5\n").columns[0].texts == ("1,234", "12,345", "x")
    assert of(tmp_path, 'a,b\n"1,234",5\n').columns[0].texts == ("1,234",)
    assert of(tmp_path, 'a,b\n"1,2",5\n').columns[0].values.tolist() == [1.2]
    assert of(tmp_path, "a;b\n1.234,5;2\n7,5;3\n").columns[0].texts == ("1.234,5", "7,5")


@pytest.mark.parametrize(
    ("content", "delimiter", "names"),
    [
        ("a, b\n1, 2\n", ",", ("a", "b")),
        ("a;b,c\n1;2\n", ";", ("a", "b,c")),
        ("when,v\n2024-01-01 00:00:00,0.5\n2024-01-01 00:01:00,0.7\n", ",", ("when", "v")),
        ("a\tb c\n1\t2\n3\t\n", "\t", ("a", "b c")),
        ("temp in degrees\n1\n2\n", ",", ("temp in degrees",)),
        ("a|b\n1|2\n", "|", ("a", "b")),
        ("name;a b\nx,y;1\nz,w;2\n", ";", ("name", "a b")),
        ("1,5;2,5\n3,5;4,5\n", ";", ("x0", "x1")),
        ('"a" b\n"1" 2\n', " ", ("a", "b")),
        ("#,name\n1,x\n2,y\n", ",", ("#", "name")),
        ("# a,b\n1,2\n", ",", ("a", "b")),
        ("# x\n1\n2\n", ",", ("x",)),
    ],
)
def test_what_stands_between_cells(tmp_path: Path, content: str, delimiter: str, names: tuple[str, ...]) -> None:
    for name in ("a.csv", "a.tsv", "a.txt", "a.data"):
        frame = of(tmp_path, content, name)
        assert frame.names == names and frame.bad_rows == 0 and frame.dialect is not None
        assert frame.dialect.delimiter == delimiter or len(names) == 1
    frame = of(tmp_path, content, delimiter=delimiter)
    assert frame.names == names


def test_what_stands_above_a_table_is_named(tmp_path: Path) -> None:
    text = message(of, tmp_path, "Logger 7\na,b,c\n1,2,3\n4,5,6\n7,8,9\n1,2,3\n")
    assert "a header line with a name for each of 3 columns, got 'Logger 7'; begin what stands above" in text
    assert "got 'a'; begin what" in message(of, tmp_path, "a\n1,5\n2,5\n")
    assert "names the columns, got an empty file; add one" in message(of, tmp_path, "")
    assert "names the columns, got an empty line; add one" in message(of, tmp_path, "\n \n")
    assert "names the columns, got an empty line; add one" in message(of, tmp_path, '"\n"')
    assert "names the columns, got nothing but comments; add one" in message(of, tmp_path, "# a\n")
    assert "expected rows below the header line, got none" in message(of, tmp_path, "a,b\n")


def test_what_the_content_leaves_open_is_as_it_was_before(tmp_path: Path) -> None:
    """And nothing else: a file that says how it is written is read so."""

    def read(content: str | bytes, **otherwise: Any) -> Frame:
        return read_frame(write(tmp_path / "a.csv", content), Dialect(otherwise=Dialect(**otherwise)))

    thousands = "a;b\n1,234;5\n"
    assert read(thousands, decimal=",").columns[0].values.tolist() == [1.234]
    assert read(thousands, decimal=".").columns[0].texts == ("1,234",)
    assert read("a;b\n1.5;5\n", decimal=",").columns[0].values.tolist() == [1.5]
    assert read("a;b\n1,5;5\n", decimal=".").columns[0].values.tolist() == [1.5]
    late = "a;b\n" + 1100 * "1;5\n" + "1,5;5\n"
    assert read(late, decimal=",").columns[0].values[-1] == 1.5 and read(late).columns[0].stored == "texts"

    either = "1,2,3\n7,3,9\n"
    assert read(either, header=True).names == ("1", "2", "3")
    assert read(either, header=False).names == ("x0", "x1", "x2")
    assert read("5,2,3\n7,3,9\n", header=True).names == ("5", "2", "3")
    assert read("u,v\nx,y\n", header=False).names == ("x0", "x1") and read("u,v\nx,y\n").names == ("u", "v")
    assert len(read("u,v\n", header=False).numbers) == 1
    for header in (True, False):
        assert read("u,v\n1,2\n", header=header).names == ("u", "v")

    assert read("a;b,c\nu;v,w\nx;y,z\n", delimiter=";").names == ("a", "b,c")
    assert read("a;b,c\nu;v,w\nx;y,z\n", delimiter=",").names == ("a;b", "c")
    assert read("a|b\n1|2\n", delimiter=";").names == ("a", "b")

    assert read("č;b\n1;2\n".encode("cp1250"), encoding="cp1250").names[0] == "č"
    assert read("č;b\n1;2\n".encode(), encoding="cp1250").names[0] == "č"
    assert read("č;b\n1;2\n".encode("utf-16"), encoding="cp1250").names[0] == "č"
