"""Columns of tables: what each is taken for, the features that it becomes, and the columns again."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from data_files import laws, message
from hypothesis import given
from hypothesis import strategies as st

from stackae.config import DataConfig
from stackae.data.source import BadRow, Source
from stackae.data.tables.cells import texts_of
from stackae.data.tables.columns import Encoding, Taken
from stackae.data.tables.encoding import decoded
from stackae.data.tables.fitting import fitted
from stackae.data.tables.frame import Column, Frame
from stackae.data.tables.overview import MOST_LINES, overview
from stackae.data.tables.sources import Encoded, encoded, source_of
from stackae.data.tables.times import iso, times_of
from stackae.data.tables.transposed import transposed
from stackae.errors import ConfigError


def numbers(name: str, values: list[float]) -> Column:
    return Column(name, "numbers", np.array(values, dtype=np.float64))


def texts(name: str, cells: list[str]) -> Column:
    """A column as a file of text has it, where "" is missing."""
    places: dict[str, int] = {}
    codes = [places.setdefault(cell, len(places)) if cell else -1 for cell in cells]
    return Column(name, "texts", np.array(codes, dtype=np.int32), tuple(places))


def frame(*columns: Column) -> Frame:
    count = len(columns[0].values)
    return Frame("t.csv", columns, np.arange(count), lines=lambda rows: [row + 2 for row in rows])


def config(**settings: object) -> DataConfig:
    return DataConfig(data="t.csv", **settings)


def kind_of(*cells: str, **settings: object) -> Taken:
    beside = numbers("beside", list(range(len(cells))))
    return fitted(frame(texts("c", list(cells)), beside), config(**settings)).columns[0]


def read(new: Frame, encoding: Encoding, **settings: object) -> Encoded:
    return encoded(new, encoding, (), config(**settings))


# ---- what a column is taken for


@pytest.mark.parametrize(
    ("cells", "kind", "why"),
    [
        (("tcp", "udp", "tcp", "udp"), "category", "2 different texts in 4 rows"),
        (("yes", "NO", "", "yes"), "boolean", "no or yes"),
        (("True", "False", "False"), "boolean", "false or true"),
        (("2024-01-31", "2024-02-29"), "time", "dates, ymd"),
        (("31.1.2024 10:00", "1.2.2024 9:00"), "time", "dates, dmy"),
        (("1/31/2024 2:05:10 PM", "2/1/2024 1:00:00 AM"), "time", "dates, mdy"),
        (("P1", "P2", "P3"), "left out", "a text of its own in each row: no category"),
        (("a", "b", "c", "c"), "left out", "3 different texts, too many for 4 rows: no category"),
        (("", "", ""), "left out", "every cell is missing"),
        (("2024-02-30", "2024-01-01"), "left out", "a text of its own in each row: no category"),
    ],
)
def test_texts_are_recognised_by_their_content(cells: tuple[str, ...], kind: str, why: str) -> None:
    taken = kind_of(*cells)
    assert (taken.kind, taken.why) == (kind, why)


def test_more_texts_than_the_limit_are_no_category_unless_asked_for() -> None:
    cells = [f"t{place % 101}" for place in range(404)]
    assert kind_of(*cells).why == "101 different texts, more than 100: no category"
    assert kind_of(*cells[:100] * 2).kind == "category"
    assert len(kind_of(*cells, categorical="c").categories) == 101
    source = source_of(frame(texts("c", cells), numbers("a", [0.0] * 404)), config())
    assert source.column_names == ("a",) and source.ignored == ("c",)
    assert "column 'c' is left out: 101 different texts" in source.notes[0]
    assert "categorical='c' keeps it, ids='c' shows it beside the rows" in source.notes[0]


def test_numbers_but_for_a_few_cells_are_refused_with_the_cells() -> None:
    table = frame(texts("a", ["1", "x", "2", "3", "y"]), numbers("b", [0, 0, 1e99, 0, 0]))
    assert message(fitted, table, config()).splitlines() == [
        "t.csv:3: column 'a' (1): 'x' is not a number",
        "t.csv:4: column 'b' (2): '1e+99' is too large for a 32-bit number",
        "t.csv:6: column 'a' (1): 'y' is not a number",
        "take such cells for missing by missing_values='x', the column for categories by categorical='a,b', or leave "
        "it out by drop='a,b'",
    ]
    nameless = table._replace(lines=None)
    assert message(fitted, nameless, config()).startswith("t.csv, row 1: column 'a' (1): 'x' is not a number")
    assert kind_of("1", "x", "2", "3", categorical="c").categories == ("1", "2", "3", "x")
    ragged = table._replace(bad=(BadRow(5, "line 7: expected 2 cells as in the header, got 3"),), bad_rows=1)
    assert message(source_of, ragged, config()) == "t.csv:7: expected 2 cells as in the header, got 3"


def test_what_is_asked_for_comes_first() -> None:
    table = frame(
        numbers("code", [1, 2, 1, 3]), texts("size", ["s", "l", "m", ""]), texts("who", ["p", "q", "r", "s"]),
        numbers("a", [1, 2, 3, 4]), texts("y", ["u", "v", "u", "v"]), numbers("z", [0, 0, 0, 0]),
    )  # fmt: skip
    asked = config(categorical="code", ordinal="size:s<m<l", ids="who", drop="z", target="y")
    source = source_of(table, asked)
    assert source.column_names == ("code=1", "code=2", "code=3", "size", "a")
    np.testing.assert_array_equal(source.x[:, :3], [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(source.x[:, 3], [0, 2, 1, np.nan])
    assert source.ids == (("who", ("p", "q", "r", "s")),) and source.classes == ("u", "v")
    assert source_of(table, config(columns="a,z", target="y")).column_names == ("a", "z")
    assert source_of(table, config(columns="z")).column_names == ("z",)


def test_what_is_asked_for_and_cannot_be() -> None:
    table = frame(numbers("a", [1, 2]), texts("b", ["x", "y"]))
    for setting, wanted in (
        ("drop", "a column named 'q' to be left out"),
        ("columns", "a column named 'q' for a feature"),
        ("ids", "a column named 'q' with ids"),
        ("categorical", "a column named 'q' with categories"),
        ("target", "a column named 'q' for the target"),
    ):
        assert wanted in message(fitted, table, config(**{setting: "q"}))
    for order in ("b", "b:x", "b:x<x", ":x<y<", "b:x<"):
        assert "expected COLUMN:LOW<MIDDLE<HIGH" in message(fitted, table, config(ordinal=order), error=ConfigError)
    lacks = message(fitted, table, config(ordinal="b:x<z"), error=ConfigError)
    assert "expected every text of column 'b' in its order (x<z), got none for 'y'" in lacks
    assert "expected a column for a feature besides the target, got none of a, b" in message(
        fitted, table, config(drop="a,b")
    )
    many = frame(texts("b", [f"t{place}" for place in range(1 << 15)]))
    assert "expected 1 to 16,384 categories in column 'b', got 32,768" in message(fitted, many, config(categorical="b"))


# ---- classes, and numbers to be learned


def test_a_class_is_the_shortest_text_of_its_number() -> None:
    for column in (numbers("y", [1, 0, 10, np.nan]), texts("y", ["1.0", "0", "10", ""])):
        source = source_of(frame(numbers("a", [1, 2, 3, 4]), column), config(target="y"))
        assert source.y is not None and source.y.tolist() == [1, 0, 2, -1] and len(source.classes) == 3
    assert texts_of(numbers("y", [1, 0.5, 1e20, np.inf])).texts == ("1", "0.5", "1e+20")
    truth = Column("y", "booleans", np.array([1.0, 0.0, np.nan]))
    assert texts_of(truth).cells() == ["True", "False", ""]


def test_targets_that_are_numbers_may_be_missing() -> None:
    table = frame(numbers("a", [1, 2, 3]), numbers("u", [1, np.nan, np.inf]), texts("v", ["1", "2", "x"]))
    source = source_of(table, config(target="u", target_kind="numbers", drop="v"))
    assert source.y is not None and source.targets == ("u",)
    np.testing.assert_array_equal(source.y, [[1], [np.nan], [np.nan]])
    refused = message(fitted, table, config(target="u,v", target_kind="numbers"))
    assert refused.startswith("t.csv:4: column 'v' (3): 'x' is not a number")


# ---- missing cells


def test_missing_cells_by_each_setting() -> None:
    table = frame(numbers("a", [1, np.nan, np.inf, 4]), texts("c", ["u", "v", "u", ""]), numbers("b", [1, 2, 3, 4]))
    asked = {"categorical": "c"}
    source = source_of(table, config(**asked))
    np.testing.assert_array_equal(source.x[:, 0], [1, np.nan, np.nan, 4])
    np.testing.assert_array_equal(source.x[:, 1:3], [[1, 0], [0, 1], [1, 0], [0, 0]])
    assert source.notes == (
        "t.csv: missing cells in 'a' (2) are filled by the mean of the training rows",
        "t.csv: missing cells in 'c' (1) are 0 in every category",
    )
    source = source_of(table, config(missing="indicator", **asked))
    assert source.column_names == ("a", "a missing", "c=u", "c=v", "c missing", "b")
    np.testing.assert_array_equal(source.x[:, [1, 4]], [[0, 0], [1, 0], [1, 0], [0, 1]])
    source = source_of(table, config(missing="drop", **asked))
    assert source.x.tolist() == [[1, 1, 0, 1]] and not source.gaps
    assert "missing cells in 'a' (2), 'c' (1) leave 3 rows out" in source.notes[0]
    lines = message(source_of, table, config(missing="refuse", **asked)).splitlines()
    assert lines[0] == "t.csv:3: column 'a' (1): the cell is missing" and len(lines) == 4
    assert lines[-1] == "fill such cells by missing='mean', or drop columns by drop='a,c'"
    assert read(table, fitted(table, config(**asked)), missing="drop").bad_rows == 3


# ---- new rows


OLD = frame(
    numbers("a", [1, 2, 3, 4]), texts("c", ["u", "v", "u", "v"]), texts("b", ["no", "yes", "no", "no"]),
    texts("t", ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]),
)  # fmt: skip


def test_unseen_categories_are_told_and_nothing_of_any() -> None:
    encoding = fitted(OLD, config())
    new = frame(
        numbers("a", [1, 2]), texts("c", ["w", "u"]), texts("b", ["maybe", "YES"]), texts("t", ["2024-01-01"] * 2)
    )
    found = read(new, encoding)
    assert found.source.column_names == ("a", "c=u", "c=v", "b", "t")
    np.testing.assert_array_equal(found.source.x[:, 1:4], [[0, 0, np.nan], [1, 0, 1]])
    assert (
        "t.csv: column 'c' has values that the run was not trained on, taken as 0 for every category: 'w' (1 rows)"
        in found.source.notes
    )
    assert any(
        "column 'b' has values that the run was not trained on, taken as missing: 'maybe'" in each
        for each in found.source.notes
    )


def test_what_new_columns_are_stored_as_does_not_matter() -> None:
    encoding = fitted(OLD, config())
    stored = frame(
        texts("a", ["1", "2.0", "", "x"]), texts("c", ["u", "v", "u", "v"]),
        Column("b", "booleans", np.array([0.0, 1.0, 0.0, 0.0])),
        Column("t", "times", 1_704_067_200.0 + 86_400 * np.arange(4)),
    )  # fmt: skip
    found = read(stored, encoding)
    wanted = source_of(OLD, config()).x[:3]
    wanted[2, 0] = np.nan
    np.testing.assert_array_equal(found.source.x, wanted)
    assert found.numbers.tolist() == [0, 1, 2] and found.bad_rows == 1
    assert found.bad == [BadRow(3, "line 5: column 'a' (1): 'x' is not a number")]
    codes = fitted(frame(texts("k", ["01", "x", "01", "x"])), config())
    assert read(frame(numbers("k", [1])), codes).source.x.tolist() == [[1, 0]]


def test_a_column_in_other_units_is_told_with_both_ranges() -> None:
    encoding = fitted(frame(numbers("p", list(range(100, 200)))), config())
    told = read(frame(numbers("p", [150_000, 160_000])), encoding).source.notes
    assert told == (
        "t.csv: column 'p' goes from 150000 to 160000, 1.04e+03 times as large as in training, where it went from 100 "
        "to 199; are its units the same?",
    )
    assert "times as small as in training" in read(frame(numbers("p", [0.15, 0.16])), encoding).source.notes[0]
    for usual in ([100, 200], [150], [0.0, 110], [1_500.0]):
        assert read(frame(numbers("p", usual)), encoding).source.notes == ()
    wide = fitted(frame(numbers("p", [10.0**power for power in range(-8, 9)])), config())
    assert read(frame(numbers("p", [1e-6])), wide).source.notes == ()


# ---- laws


names = st.sampled_from(["a", "b", "c", "d", "e"])
columns = st.one_of(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=8, max_size=8).map(lambda cells: numbers("", cells)),
    st.lists(st.sampled_from(["x", "y", "z z", "ä"]), min_size=8, max_size=8).map(lambda cells: texts("", cells)),
    st.lists(st.sampled_from(["no", "yes"]), min_size=8, max_size=8).map(lambda cells: texts("", cells)),
    st.lists(st.integers(0, 4_000_000_000), min_size=8, max_size=8).map(
        lambda cells: Column("", "times", np.array(cells, dtype=np.float64))
    ),
)
tables = st.dictionaries(names, columns, min_size=1).map(
    lambda found: frame(*(column._replace(name=name) for name, column in found.items()))
)


@laws
@given(tables)
def test_columns_come_back_from_their_features(table: Frame) -> None:
    source = source_of(table, config())
    assert source.encoding is not None and len(source.column_names) == source.x.shape[1]
    back = dict(decoded(source.encoding, source.x))
    for column in table.columns:
        if column.stored == "numbers":
            assert [float(cell) for cell in back[column.name]] == column.values.tolist()
        elif column.name in back:
            assert list(back[column.name]) == texts_of(column).cells()


@laws
@given(tables, st.randoms())
def test_the_order_of_columns_does_not_matter_to_new_rows(table: Frame, random: Random) -> None:
    source = source_of(table, config())
    assert source.encoding is not None
    shuffled = list(table.columns)
    random.shuffle(shuffled)
    moved = read(table._replace(columns=tuple(shuffled)), source.encoding).source
    np.testing.assert_array_equal(moved.x, source.x)
    assert moved.column_names == source.column_names


def test_largest_of_a_group_and_nearest_of_an_order() -> None:
    encoding = Encoding(
        (
            Taken("c", "category", "", ("u", "v")),
            Taken("o", "ordinal", "", ("low", "mid", "high")),
            Taken("b", "boolean", "", ("no", "yes"), indicator=True),
            Taken("i", "id", ""),
        )
    )
    assert encoding.names == ("c=u", "c=v", "o", "b", "b missing")
    found = decoded(encoding, np.array([[0.4, 0.6, 1.4, 0.6, 1], [2, -1, 9, -3, 0]]))
    assert found == [("c", ["v", "u"]), ("o", ["mid", "high"]), ("b", ["yes", "no"])]
    twice = Encoding((Taken("a=x", "number", ""), Taken("a", "category", "", ("x", "y"))))
    assert twice.names == ("a=x", "a=x.1", "a=y")


# ---- times


def test_times_and_back() -> None:
    seconds, order = times_of(["2024-01-31", "2024-01-31T10:00:00.5Z", "2024-01-31 10:00+02:00", "2024-02-30", "noon"])
    day = 1_706_659_200
    np.testing.assert_array_equal(seconds, [day, day + 36_000.5, day + 28_800, np.nan, np.nan])
    assert order == "ymd" and iso(seconds[:2]) == ["2024-01-31T00:00:00.000000", "2024-01-31T10:00:00.500000"]
    assert times_of(["28/12/2015 10:00:00 AM"]).order == "dmy" and times_of(["1/2/2024", "2/1/2024"]).order == "mdy"
    assert times_of(["1/2/2024", "1/1/2024"], "dmy").order == "dmy" and iso(np.array([np.nan, 0])) == [
        "",
        "1970-01-01T00:00:00",
    ]


# ---- rows and columns exchanged


def test_a_table_of_genes_in_rows() -> None:
    genes = frame(
        texts("gene", ["g1", "g2", "kind"]), texts("s1", ["1", "2.5", "ill"]), texts("s2", ["", "3", "well"]),
        texts("s3", ["4", "5", "ill"]), texts("s4", ["4", "5", "well"]),
    )  # fmt: skip
    turned = transposed(genes)
    assert turned.names == ("gene", "g1", "g2", "kind") and turned.lines is None
    source: Source = source_of(turned, config(transpose=True, target="kind"))
    np.testing.assert_array_equal(source.x, [[1, 2.5], [np.nan, 3], [4, 5], [4, 5]])
    assert source.ids == (("gene", ("s1", "s2", "s3", "s4")),) and source.classes == ("ill", "well")
    for wrong in (frame(texts("g", ["a", "b"])), frame(texts("g", ["a", "a"]), numbers("s", [1, 2]))):
        assert "expected a table whose first column names the features" in message(transposed, wrong)


# ---- in words


def test_columns_that_are_alike_are_one_line() -> None:
    many = [numbers(f"n{place}", [1, 2, 3, 4]) for place in range(5)]
    encoding = fitted(frame(*many, texts("c", ["u", "v", "u", "v"])), config())
    assert overview(encoding) == [
        ["n0 to n4 (5)", "number", "every cell is a number", "as it is"],
        ["c", "category", "2 different texts in 4 rows", "one-hot, 2 features"],
    ]
    wide = Encoding(tuple(Taken(f"c{place}", "category", "", ("u", "v")) for place in range(200)))
    assert len(overview(wide)) == MOST_LINES + 1 and overview(wide)[-1][0] == "and 170 more"
    taken = replace(encoding.columns[0], missing=2)
    assert overview(Encoding((taken,)))[0][-1] == "as it is; 2 missing"
