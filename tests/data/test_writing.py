"""Laws of what commands write: the suffix says the format, numbers read back as they were, and JSON is JSON."""

from __future__ import annotations

import csv
import gc
import io
import json
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pyarrow import parquet

from stackae.data.formats import WRITTEN, listed
from stackae.data.formats.writing import (
    Finite,
    Here,
    Piece,
    Table,
    bad_rows,
    suffix_of,
    write_npy,
    write_parquet,
    write_text,
)
from stackae.documents import to_json
from stackae.errors import ConfigError, DataError

INFINITE = float("inf")
KNOWN = np.array([1, -1, 0])


def table(names: Sequence[str], values: np.ndarray, beside: Any = (), rows_at_once: int = 2) -> Table:
    """In pieces of two rows."""
    parts = [slice(start, start + rows_at_once) for start in range(0, max(1, len(values)), rows_at_once)]
    pieces = (Piece(values[part], [(name, cells[part]) for name, cells in beside]) for part in parts)
    return Table(names, len(values), Here(pieces))


def content(write: Any, *arguments: Any) -> bytes:
    file = io.BytesIO()
    write(arguments[0], file, *arguments[1:])
    return file.getvalue()


def read(text: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.decode())))


@given(
    st.sampled_from([np.float32, np.float64]).flatmap(
        lambda dtype: arrays.arrays(
            dtype,
            arrays.array_shapes(min_dims=2, max_dims=2, max_side=6),
            elements=arrays.from_dtype(np.dtype(dtype), allow_nan=False, allow_infinity=False),
        )
    )
)
def test_numbers_of_a_csv_file_read_back_to_the_bit(values: np.ndarray) -> None:
    lines = read(content(write_text, table([f"h{column}" for column in range(values.shape[1])], values)))
    assert lines[0] == [f"h{column}" for column in range(values.shape[1])]
    again = np.array(lines[1:], dtype=object).astype(values.dtype)
    assert again.tobytes() == values.tobytes()


def test_a_csv_file_has_the_columns_beside_first_whatever_they_hold() -> None:
    told: list[float] = []
    values = np.arange(6, dtype=np.float32).reshape(3, 2) / 10
    beside = [
        ("row", np.arange(7, 10)),
        ("class", ['a,"b"', "c\nd", "é\udcff"]),
        ("known", np.ma.masked_less(KNOWN, 0)),
    ]
    lines = read(content(write_text, table(["x", "x"], values, beside), told.append))
    assert lines == [
        ["row", "class", "known", "x", "x"],
        ["7", 'a,"b"', "1", "0.0", "0.1"],
        ["8", "c\nd", "", "0.2", "0.3"],
        ["9", "é\\udcff", "0", "0.4", "0.5"],
    ]
    assert told == [pytest.approx(2 / 3), 1.0]
    assert read(content(write_text, table(["x"], np.empty((0, 1))))) == [["x"]]


def test_an_npy_file_is_what_numpy_writes_of_the_values_alone() -> None:
    values, saved = np.arange(6, dtype=np.float32).reshape(3, 2), io.BytesIO()
    np.save(saved, values)
    assert content(write_npy, table("ab", values, [("row", np.arange(3))])) == saved.getvalue()


def test_a_parquet_file_has_columns_in_their_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackae.data.formats.writing.GROUP_CELLS", 15)  # a group has two pieces
    told: list[float] = []
    values = np.arange(14, dtype=np.float32).reshape(7, 2) / 10
    beside = [
        ("row", np.arange(7)),
        ("class", [*"abcdef", "é\udcff"]),
        ("known", np.ma.masked_less(np.tile(KNOWN, 3)[:7], 0)),
    ]
    file = io.BytesIO(content(write_parquet, table("xy", values, beside), told.append))
    opened = parquet.ParquetFile(file, page_checksum_verification=True)
    found = opened.read()
    assert [(field.name, str(field.type)) for field in found.schema] == [
        ("row", "int64"), ("class", "string"), ("known", "int64"), ("x", "float"), ("y", "float"),
    ]  # fmt: skip
    assert opened.metadata.num_row_groups == 2 and told[-1] == 1.0 and len(told) == 4
    assert found["known"].to_pylist() == [1, None, 0, 1, None, 0, 1] and found["class"][6].as_py() == "é\\udcff"
    assert np.stack([found[name].to_numpy() for name in "xy"], axis=1).tobytes() == values.tobytes()
    nothing = parquet.read_table(io.BytesIO(content(write_parquet, table(["x"], np.empty((0, 1))))))
    assert nothing.column_names == ["x"] and len(nothing) == 0


def test_columns_of_one_name_are_refused_for_a_parquet_file() -> None:
    with pytest.raises(DataError, match=r"^columns: expected names that differ, got 'x' twice; write a text"):
        content(write_parquet, table(["x", "x"], np.zeros((3, 2))))


@pytest.mark.parametrize("suffix", WRITTEN)
def test_a_piece_is_gone_before_the_next_one_is_made(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that memory does not grow with the rows: in Parquet, with a group of them."""
    monkeypatch.setattr("stackae.data.formats.writing.GROUP_CELLS", 1)
    made = list[weakref.ref[np.ndarray]]()

    def pieces() -> Iterator[Piece]:
        for number in range(5):
            gc.collect()
            assert sum(each() is not None for each in made) <= 1  # the one that the loop's variable still names
            values = np.full((3, 2), number, dtype=np.float32)
            made.append(weakref.ref(values))
            yield Piece(values)
            del values

    WRITTEN[suffix].write(Table(["x", "y"], 15, Here(pieces())), io.BytesIO())
    assert len(made) == 5


def test_a_suffix_that_is_no_format_is_refused() -> None:
    assert suffix_of("--out", Path("runs/Codes.CSV"), WRITTEN) == ".csv"
    for name in ("codes", "codes.txt", ".csv", "csv", "codes.csv.gz"):
        with pytest.raises(ConfigError) as caught:
            suffix_of("--out", Path("runs") / name, WRITTEN)
        assert str(caught.value) == (
            f"--out: expected a name that ends in {listed(WRITTEN)}, got {name}; the suffix is the format of the "
            "file: change it"
        )


def test_rows_that_are_not_finite_are_named() -> None:
    values = np.zeros((9, 2))

    def seen(*given: Any) -> None:
        check = Finite("codes", *given)
        for part in (values[:4], values[4:]):
            check.add(bad_rows(part))
        check.end()

    seen()
    values[2:, 1] = np.nan
    wanted = (
        r"^codes: expected finite numbers, got NaN or infinities for row 2, 3, 4, 5, 6 and 2 more \(counted from 0\)"
    )
    with pytest.raises(DataError, match=wanted):
        seen()
    values[3:] = 0
    values[2, 0] = -INFINITE
    with pytest.raises(DataError, match=r"for row 12 \(counted from 0\); no remedy$"):
        seen(np.arange(10, 19), "no remedy")


def test_what_is_not_finite_is_null_in_json() -> None:
    document = {"a": INFINITE, "b": [1.5, float("nan"), {"c": (-INFINITE, "inf", None, True, 3)}]}
    assert json.loads(to_json(document)) == {"a": None, "b": [1.5, None, {"c": [None, "inf", None, True, 3]}]}
