"""Laws of what commands write: the suffix says the format, numbers read back as they were, and JSON is JSON."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stackae.data.formats import WRITTEN, listed
from stackae.data.formats.writing import Table, check_finite, pack_npy, pack_text, suffix_of
from stackae.documents import to_json
from stackae.errors import ConfigError, DataError

INFINITE = float("inf")


def read(content: memoryview) -> list[list[str]]:
    return list(csv.reader(io.StringIO(bytes(content).decode())))


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
    lines = read(pack_text(Table([f"h{column}" for column in range(values.shape[1])], values)))
    assert lines[0] == [f"h{column}" for column in range(values.shape[1])]
    again = np.array(lines[1:], dtype=object).astype(values.dtype)
    assert again.tobytes() == values.tobytes()


def test_a_csv_file_has_the_columns_beside_first_whatever_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackae.data.formats.writing.CHUNK_CELLS", 4)  # two rows at once
    told: list[float] = []
    values = np.arange(6, dtype=np.float32).reshape(3, 2) / 10
    beside = [("row", range(7, 10)), ("class", ['a,"b"', "c\nd", "é\udcff"])]
    lines = read(pack_text(Table(["x", "x"], values, beside), told.append))
    assert lines == [
        ["row", "class", "x", "x"],
        ["7", 'a,"b"', "0.0", "0.1"],
        ["8", "c\nd", "0.2", "0.3"],
        ["9", "é\\udcff", "0.4", "0.5"],
    ]
    assert told == [pytest.approx(2 / 3), 1.0]
    assert read(pack_text(Table(["x"], np.empty((0, 1))))) == [["x"]]


def test_an_npy_file_has_the_values_alone() -> None:
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    found = np.load(io.BytesIO(pack_npy(Table("ab", values, [("row", range(3))]))), allow_pickle=False)
    assert found.dtype == np.float32 and found.tolist() == values.tolist()


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
    check_finite("codes", values)
    values[2:, 1] = np.nan
    with pytest.raises(
        DataError, match=r"^codes: expected finite numbers, got NaN or infinities for row 2, 3, 4, 5, 6"
    ):
        check_finite("codes", values)
    values[3:] = 0
    values[2, 0] = -INFINITE
    with pytest.raises(DataError, match=r"for row 12 \(counted from 0\); no remedy$"):
        check_finite("codes", values, range(10, 19), "no remedy")


def test_what_is_not_finite_is_null_in_json() -> None:
    document = {"a": INFINITE, "b": [1.5, float("nan"), {"c": (-INFINITE, "inf", None, True, 3)}]}
    assert json.loads(to_json(document)) == {"a": None, "b": [1.5, None, {"c": [None, "inf", None, True, 3]}]}
