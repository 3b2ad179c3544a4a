"""Laws of a first column that is an index: it is told, and how to leave it out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_files import table

from stackae.config import DataConfig
from stackae.data import load_data
from stackae.data.inspect.advice import warnings_of
from stackae.data.inspect.check import check_data
from stackae.data.inspect.index_column import Counting


@pytest.mark.parametrize(
    ("name", "column", "told"),
    [
        ("n", np.arange(40), "counts the rows, 0 to 39,"),
        ("n", np.arange(1, 41), "counts the rows, 1 to 40,"),
        ("id", np.arange(40) * 3 + 7, "counts the rows, 7 to 124,"),
        ("Unnamed: 0", np.delete(np.arange(41), 5), "counts the rows, 0 to 40,"),
        ("n", np.arange(40) * 3 + 7, ""),
        ("n", np.arange(2, 42), ""),
        ("id", np.arange(40)[::-1], ""),
        ("id", np.arange(40) / 2, ""),
        ("n", np.arange(5), ""),
    ],
)
def test_a_column_that_counts_the_rows_is_told(tmp_path: Path, name: str, column: np.ndarray, told: str) -> None:
    x = np.column_stack([column, np.random.default_rng(0).standard_normal(len(column))])
    config = DataConfig(data=table(tmp_path / "a.csv", x, names=(name, "b")))
    notes = [each for each in load_data(config).notes if each.startswith("column")]
    assert len(notes) == bool(told) and all(f"column '{name}' {told}" in each for each in notes)
    assert all(f"leave it out by drop='{name}'" in each for each in notes)
    assert [each for each in warnings_of(check_data(config)) if each in notes] == notes
    np.save(tmp_path / "a.npy", x)
    nameless = load_data(DataConfig(data=str(tmp_path / "a.npy"))).notes
    assert len(nameless) == ("counts" in told and name == "n") and all("column 0 " in each for each in nameless)


def test_pieces_of_a_column_count_on() -> None:
    counting = Counting()
    for piece in np.split(np.arange(1.0, 31.0), [7, 8, 20]):
        counting.add(piece)
    assert "counts the rows, 1 to 30," in counting.note(["n"])[0]
    counting.add(np.array([40.0]))
    assert counting.note(["n"]) == () and "1 to 40" in counting.note(["ID"])[0]
