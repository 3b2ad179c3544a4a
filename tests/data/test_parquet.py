"""Parquet files: typed columns as they are, nested ones refused by name, and files that mean harm."""

from __future__ import annotations

import datetime as dt
import decimal
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from data_files import laws, message, mutated, write
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from stackae.data import memory
from stackae.data.formats.parquet import read_frame
from stackae.data.formats.text_frame import read_frame as read_text
from stackae.data.tables.frame import Dialect
from stackae.errors import DataError

NEW_YEAR = dt.datetime(2024, 1, 1)
SECONDS = 1_704_067_200.0
NAN = float("nan")
CLOCKS = [dt.time(1, 2), None, dt.time(0)]
TYPED: dict[str, tuple[pa.Array, str, list[float]]] = {
    "int64": (pa.array([1, 2**60, None]), "numbers", [1, 2.0**60, NAN]),
    "uint8": (pa.array([1, 2, 255], pa.uint8()), "numbers", [1, 2, 255]),
    "half": (pa.array(np.array([1, 2, 0.5], np.float16)), "numbers", [1, 2, 0.5]),
    "double": (pa.array([1.5, NAN, float("-inf")]), "numbers", [1.5, NAN, -np.inf]),
    "decimal": (pa.array([decimal.Decimal("1.25"), None, decimal.Decimal(0)]), "numbers", [1.25, NAN, 0]),
    "null": (pa.nulls(3), "numbers", [NAN] * 3),
    "bool": (pa.array([True, None, False]), "booleans", [1, NAN, 0]),
    "us": (pa.array([NEW_YEAR, None, dt.datetime(1969, 12, 31)], pa.timestamp("us")), "times", [SECONDS, NAN, -86_400]),
    "zone": (pa.array([NEW_YEAR] * 3, pa.timestamp("ns", tz="Europe/Paris")), "times", [SECONDS] * 3),
    "date": (pa.array([NEW_YEAR.date(), None, dt.date(1970, 1, 2)]), "times", [SECONDS, NAN, 86_400]),
    "date64": (pa.array([NEW_YEAR.date()] * 3, pa.date64()), "times", [SECONDS] * 3),
    "clock": (pa.array(CLOCKS), "numbers", [3720, NAN, 0]),
    "lasting": (pa.array([dt.timedelta(seconds=1.5)] * 3), "numbers", [1.5] * 3),
}
TEXTS = pa.array(["tcp ", None, "?"])


def save(path: Path, columns: dict[str, pa.Array] | pa.Table, **options: object) -> Path:
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    parquet.write_table(table, path, **{"write_page_checksum": True, **options})
    return path


def test_typed_columns(tmp_path: Path) -> None:
    columns = {name: array for name, (array, _, _) in TYPED.items()}
    path = save(tmp_path / "a.parquet", {**columns, "text": TEXTS, "coded": TEXTS.dictionary_encode()})
    frame = read_frame(path)
    assert frame.names == (*TYPED, "text", "coded") and frame.numbers.tolist() == [0, 1, 2] and frame.lines is None
    for column, (_, stored, values) in zip(frame.columns, TYPED.values(), strict=False):
        assert column.stored == stored and column.values.dtype == np.float64
        np.testing.assert_array_equal(column.values, values)
    for column in frame.columns[-2:]:
        assert (column.stored, column.texts, column.values.tolist()) == ("texts", ("tcp",), [0, -1, -1])
    assert frame.columns[0].values[1] == 2.0**60 and not frame.notes and frame.dialect is None


def test_the_same_rows_as_text(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(500, 3))
    kinds = ["a", "b", "c"] * 166 + ["", "a"]
    names = ["p", "q", "r", "kind"]
    columns = {name: pa.array(x[:, place]) for place, name in enumerate(names[:3])}
    path = save(tmp_path / "a.parquet", {**columns, "kind": pa.array(kinds)}, row_group_size=70)
    lines = [",".join([*map(repr, row), kind]) for row, kind in zip(x.tolist(), kinds, strict=True)]
    text = write(tmp_path / "a.csv", "\n".join([",".join(names), *lines]) + "\n")
    told = list[float]()
    for one, other in zip(read_frame(path, None, told.append).columns, read_text(text).columns, strict=True):
        assert one._replace(values=0) == other._replace(values=0)
        np.testing.assert_array_equal(one.values, other.values)
    assert told == sorted(told) and told[-1] == 1


def test_words_for_missing_texts_and_pandas_index(tmp_path: Path) -> None:
    path = save(tmp_path / "a.parquet", {"a": pa.array(["x", "none"]), "__index_level_0__": pa.array(["r1", "r2"])})
    frame = read_frame(path, Dialect(missing=("None",)))
    assert frame.names == ("a",) and frame.columns[0].values.tolist() == [0, -1]
    assert "the index of the DataFrame that was saved is left out" in frame.notes[0]


def test_columns_of_other_kinds_are_refused_by_name(tmp_path: Path) -> None:
    for kind, array in (("list<element: int64>", pa.array([[1], [2]])), ("binary", pa.array([b"a", b"b"]))):
        path = save(tmp_path / "a.parquet", {"a": pa.array([1, 2]), "odd\n": array})
        assert message(read_frame, path) == (
            f"{path}: expected columns of numbers, texts, booleans and times, got 'odd\\n' of {kind}; save the table "
            "without it"
        )
    empty = save(tmp_path / "b.parquet", {"a": pa.array([], pa.int64())})
    assert "expected rows and columns, got none" in message(read_frame, empty)


def test_what_a_file_declares_is_weighed_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.parquet", {"a": pa.array(np.zeros(20_000_000))})
    assert path.stat().st_size < 1 << 17  # one number, repeated
    monkeypatch.setattr(memory, "free_memory", lambda: 100 << 20)
    assert "expected data that fit in the memory, got" in message(read_frame, path)
    monkeypatch.undo()
    long = pa.DictionaryArray.from_arrays(np.zeros(5000, dtype=np.int32), ["x" * (1 << 20)])  # five GiB of text
    path = save(tmp_path / "b.parquet", {"a": long})
    assert read_frame(path).columns[0].values.tolist() == [0] * 5000


def test_a_changed_byte_of_a_page_is_found(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=4000)
    path = save(tmp_path / "a.parquet", {"a": pa.array(x)}, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    place = content.index(x[1000:1002].tobytes())
    content[place] ^= 1
    assert "expected a Parquet file, got damaged data" in message(read_frame, write(path, bytes(content)))
    assert "CRC checksum" in message(read_frame, path)


def files() -> list[bytes]:
    table = pa.table({name: array for name, (array, _, _) in TYPED.items()} | {"text": TEXTS})
    found = []
    for options in ({"compression": "none"}, {"compression": "zstd", "version": "1.0"}, {"use_dictionary": False}):
        buffer = io.BytesIO()
        parquet.write_table(table, buffer, **options)
        found.append(buffer.getvalue())
    return found


@settings(laws, max_examples=400)
@given(mutated(files()) | st.binary(max_size=300).map(lambda noise: b"PAR1" + noise + b"PAR1"))
def test_mutated_files(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "a.parquet", content)
    try:
        frame = read_frame(path)
    except DataError as error:
        assert str(path) in str(error) and len(str(error)) < 1000 and str(error).isprintable()
    else:
        assert all(len(column.values) == len(frame.numbers) for column in frame.columns)
