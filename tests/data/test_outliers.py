"""Outliers and lost values are named by column, row and value: in data check, by load_data, and in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_files import laws, write
from hypothesis import given
from hypothesis import strategies as st

from stackae.config import DataConfig
from stackae.data import load_data
from stackae.data.inspect.advice import notes_of, warnings_of
from stackae.data.inspect.check import check_data
from stackae.data.inspect.sentences import about_outliers, span
from stackae.data.outliers import Outlier, Sample, flattened, merged, outliers, sampled

RNG = np.random.default_rng(0)


def table(path: Path, x: np.ndarray, names: str) -> Path:
    return write(path, "\n".join([names, *(",".join(map(repr, row)) for row in x.tolist())]))


def with_outlier() -> np.ndarray:
    x = RNG.normal(5, 2, (2000, 3)).round(3)
    x[1234, 1] = 1e6
    return x


@pytest.mark.parametrize("suffix", ["csv", "npy"])
def test_one_cell_in_2000_is_named(tmp_path: Path, suffix: str) -> None:
    path, x = tmp_path / f"a.{suffix}", with_outlier()
    if suffix == "csv":
        table(path, x, "u,v,w")
    else:
        np.save(path, x)
    name = "'v'" if suffix == "csv" else "1"
    ordered = np.sort(x[:, 1])
    wanted = (
        f"1 column is flattened by outliers, with more than 100 times the range of nearly all rows: {name} "
        f"(98 % of the rows from "
        f"{span(ordered[20], ordered[-21])}, row 1,234 is 1000000); correct them, or use scale='robust'"
    )
    config = DataConfig(data=str(path), validation_fraction=0, test_fraction=0)
    assert wanted in warnings_of(check_data(config))
    assert notes_of(load_data(config)) == [wanted]
    for kind, told in (("standard", [wanted]), ("robust", [])):
        assert notes_of(load_data(config.model_copy(update={"scale": kind}))) == told


def test_sound_columns_are_not_named() -> None:
    n = 5000
    x = np.stack(
        [
            RNG.normal(size=n), RNG.random(n), RNG.exponential(size=n), np.arange(n) % 200 == 0, np.full(n, 3.0),
            1.7e9 + np.arange(n), RNG.standard_t(3, n), np.where(np.arange(n) % 300 == 0, RNG.random(n), 0),
        ],
        axis=1,
    )  # fmt: skip
    assert outliers(x, np.arange(n)) == ()
    assert outliers(x[:, :2].astype(np.uint8), np.arange(n)) == () and outliers(x[:10], np.arange(10)) == ()
    sparse = np.where(np.arange(n) % 300 == 0, 1 + RNG.random(n), 0)[:, None]
    sparse[600] = -1e4
    assert outliers(sparse, np.arange(n)) == (Outlier(0, 600, -1e4, 0, 0),)
    assert "0 (most rows are 0, row 600 is -10000)" in about_outliers(outliers(sparse, np.arange(n)), ())[0]


def test_rows_are_those_of_the_file() -> None:
    x = with_outlier()
    rows = np.flatnonzero(np.arange(2000) % 3 == 1)  # 1234 is one of them
    assert [(each.column, each.row, each.value) for each in outliers(x, rows)] == [(1, 1234, 1e6)]
    assert outliers(x, rows[rows != 1234]) == ()


@laws
@given(st.integers(1, 60), st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 5))
def test_a_sample_is_evenly_spaced(most: int, lengths: list[int], columns: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stackae.data.outliers.MOST_ROWS", most)
        sample, count = Sample(columns), 0
        for length in lengths:
            sample.add(np.arange(count, count + length)[:, None].repeat(columns, axis=1))
            count += length
        found = sample.rows()[:, 0]
        stride = 1 if len(found) < 2 else found[1] - found[0]
        assert 1 <= len(found) <= most and found.tolist() == list(range(0, count, stride))[: len(found)]
        assert len(found) == -(-count // stride) or len(found) == 1
        assert stride == 1 or 2 * len(found) > most - 1
        assert len(sampled(np.zeros((count, columns)), np.arange(count))) <= most


def test_values_that_32_bits_make_one(tmp_path: Path) -> None:
    steps = np.arange(4000) % 301
    x = np.stack([4492557 + steps / 100, steps / 301, 1.7e9 + steps % 60], axis=1)
    assert [tuple(each) for each in merged(x)] == [(0, 301, 7), (2, 60, 1)]
    assert merged(x.astype(np.float32)) == [] and merged(RNG.random((16384, 2))) == []
    path = table(tmp_path / "a.csv", x, "north,part,time")
    config = DataConfig(data=str(path), validation_fraction=0, test_fraction=0)
    wanted = "'north' (7 of 301 values are left), 'time' (1 of 60 values are left); use scale='minmax' or 'standard'"
    assert wanted in notes_of(load_data(config.model_copy(update={"scale": "none"})))[0]
    assert (
        "lose values to 32 bits under scale='unit'"
        in notes_of(load_data(config.model_copy(update={"scale": "unit"})))[0]
    )
    assert notes_of(load_data(config)) == []
    np.save(tmp_path / "close.npy", 0.5 + steps[:, None] / 1e9)  # within [0, 1]: scale auto leaves it as it is
    close = DataConfig(data=str(tmp_path / "close.npy"))
    assert "1 column loses values to 32 bits under scale='none'" in notes_of(load_data(close))[0]
    assert any("loses values to 32 bits under scale='none'" in line for line in warnings_of(check_data(close)))
    assert not any("32 bits" in line for line in warnings_of(check_data(config)))


def test_ranges_in_words() -> None:
    assert span(4492557.16, 4492560.15) == "4492557.16 to 4492560.15"
    assert span(1.7e9, 1.7e9 + 59) == "1700000000 to 1700000059"
    assert span(-1.23456789, 2) == "-1.23457 to 2" and span(0, 5) == "0 to 5" and span(3, 3) == "3 to 3"


def test_what_is_flat_is_told_by_quantiles() -> None:
    x = np.arange(1000.0)[:, None]
    low, high = x.min(axis=0), x.max(axis=0)
    assert flattened(x, low, high * 97) == [] and flattened(x, low, high * 99)[0][:3] == (0, 10, 989)
    x[5] = np.nan
    assert flattened(x, low, high * 97) == [] and flattened(x, low, high * 99)[0].column == 0  # a missing cell is none
