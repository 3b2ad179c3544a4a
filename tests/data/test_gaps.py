"""Missing cells of arrays: treated as those of the table of the same numbers, when trained on and in new rows."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_files import message
from shell import Shell

from stackae.config import DataConfig
from stackae.data import load_data
from stackae.data.inspect.check import check_data

ROWS, WIDTH = 80, 4
KINDS = ("mean", "indicator", "mask", "drop")


def holed() -> np.ndarray:
    """Numbers with gaps in two columns: a NaN or an infinity in every fifth row."""
    x = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).round(3)
    x[::5, 1], x[3::10, 3] = np.nan, -np.inf
    return x


def as_table(path: Path, x: np.ndarray) -> str:
    with path.open("w", newline="") as file:
        lines = [["x0", "x1", "x2", "x3"], *([repr(float(cell)) for cell in row] for row in x)]
        csv.writer(file).writerows(lines)
    return str(path)


def as_array(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)
    return str(path)


def loaded(path: str, **settings: Any) -> Any:
    return load_data(DataConfig(data=path, **settings))


@pytest.mark.parametrize("missing", KINDS)
@pytest.mark.parametrize("window", [None, 4])
def test_an_array_is_taken_as_the_table_of_the_same_numbers(tmp_path: Path, missing: Any, window: int | None) -> None:
    x = holed()
    table, array = as_table(tmp_path / "a.csv", x), as_array(tmp_path / "a.npz", x=x)
    asked: dict[str, Any] = {"missing": missing, "scale": "standard", "window": window}
    one, other = loaded(table, **asked), loaded(array, **asked)
    for part in ("train", "validation", "test"):
        mine, theirs = getattr(one, part).x, getattr(other, part).x
        assert torch.equal(mine[:], theirs[:]) and (missing == "mask") == hasattr(theirs, "targets")
    if missing != "drop":
        assert torch.equal(one.scaling.fill, other.scaling.fill)
    assert np.array_equal(one.division.sums, other.division.sums)
    if missing == "indicator":
        assert one.column_names == other.column_names and (window or "x1 missing" in one.column_names)
    told = {"drop": "leave 24 rows out", "mask": ""}.get(missing, "are filled by the mean of the training rows")
    assert told in " ".join(other.notes) and (missing == "mask" or "'x1' (16), 'x3' (8)" in " ".join(other.notes))


def test_the_filling_is_that_of_training_rows_alone(tmp_path: Path) -> None:
    x = holed()
    found = loaded(as_array(tmp_path / "a.npz", x=x, x_test=x + 100), missing="mean")
    train = np.where(np.isinf(x), np.nan, x)[found.division.parts[:ROWS] == 0]
    assert found.scaling.fill.numpy() == pytest.approx(np.nanmean(train, axis=0), rel=1e-6)


def test_columns_of_the_test_part_alone_are_indicated_too_and_images_are_none_any_more(tmp_path: Path) -> None:
    x = holed()
    whole = np.where(np.isfinite(x), x, 0)
    path = as_array(tmp_path / "a.npz", x=whole.reshape(ROWS, 2, 2), x_test=x.reshape(ROWS, 2, 2))
    found = loaded(path, missing="indicator")
    assert found.column_names == ("x0", "x1", "x1 missing", "x2", "x3", "x3 missing") and found.image_shape is None
    assert found.train.x[:][:, [2, 5]].max() == 0 and found.test.x[:][:, 2].sum() == 16
    assert loaded(path).image_shape == (2, 2)


def test_clean_rows_beside_noisy_ones_with_gaps(tmp_path: Path) -> None:
    x, clean = holed(), np.random.default_rng(1).normal(size=(ROWS, WIDTH))
    path = as_array(tmp_path / "a.npz", x=x, x_clean=clean, x_test=x[:7], x_test_clean=clean[:7])
    for missing, width in (("mean", 4), ("indicator", 6)):
        pairs = loaded(path, missing=missing).train.x
        assert pairs.shape[1] == width and bool(pairs.inputs.isfinite().all()) and pairs.missing == 0
    dropped = loaded(path, missing="drop")
    assert len(dropped.train.x) + len(dropped.validation.x) == 56 and len(dropped.test.x) == 4


def test_what_cannot_be_filled_is_refused(tmp_path: Path) -> None:
    x = holed()
    path = as_array(tmp_path / "a.npz", x=x)
    assert "expected finite 32-bit numbers, got nan at row 0, column 1 (counted from 0), 24 such cells" in message(
        load_data, DataConfig(data=path, missing="refuse")
    )
    for missing in ("mean", "mask", "indicator"):
        x[7, 2] = 1e99
        config = DataConfig(data=as_array(tmp_path / "b.npz", x=x), missing=missing)
        assert "got 1e+99 at row 7, column" in message(load_data, config)
    nothing = as_array(tmp_path / "c.npz", x=np.full((3, 2), np.nan))
    assert message(load_data, DataConfig(data=nothing)) == (
        f"{nothing}: expected cells that are numbers, got none but missing ones; give rows that hold some"
    )
    x[:, 0] = np.nan
    gone = as_array(tmp_path / "d.npz", x=x)
    assert message(load_data, DataConfig(data=gone, missing="drop")) == (
        f"{gone}: expected rows without missing cells, got none; use missing='mean'"
    )


@pytest.mark.parametrize("missing", [*KINDS, "refuse"])
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_data_check_agrees(tmp_path: Path, missing: Any, name: str) -> None:
    x = holed()
    for far in (False, True):
        x[1, 2] = 1e99 if far else 1
        np.save(tmp_path / "a.npy", x)
        config = DataConfig(data=as_array(tmp_path / name, x=x) if name == "a.npz" else str(tmp_path / name))
        config = config.model_copy(update={"missing": missing})
        report = check_data(config)
        assert bool(report.refusal) == (far or missing == "refuse")
        if report.refusal:
            assert report.refusal == message(load_data, config)


@pytest.mark.parametrize("missing", KINDS)
def test_new_rows_of_a_run_are_read_as_its_own(tmp_path: Path, missing: str) -> None:
    shell, x = Shell(tmp_path), holed()
    np.save(tmp_path / "a.npy", x)
    as_table(tmp_path / "a.csv", x)
    options = ("--missing", missing, "--layers", "auto,3", "--scale", "standard", "--epochs", "1")
    shell.does("pretrain", "--data", "a.npy", *options, "--run", "runs/array")
    shell.does("pretrain", "--data", "a.csv", *options, "--run", "runs/table")
    weights = [(tmp_path / "runs" / run / "layer1.safetensors").read_bytes() for run in ("array", "table")]
    assert weights[0] == weights[1]
    rows = np.flatnonzero(np.isfinite(x).all(axis=1)) if missing == "drop" else np.arange(ROWS)
    codes = []
    for run in ("array", "table"):
        for data in ("a.npy", "a.csv"):
            shell.does("encode", "--run", f"runs/{run}", "--data", data, "--out", f"{run}-{data}.csv")
            with (tmp_path / f"{run}-{data}.csv").open() as file:
                found = list(csv.DictReader(file))
            assert [int(row["row"]) for row in found] == rows.tolist()
            codes.append([float(row["h1"]) for row in found])
    assert all(each == codes[0] for each in codes)
    assert json.loads(shell.does("evaluate", "--run", "runs/array", "--part", "all", "--json"))["rows"] == len(rows)
    made = shell.does("reconstruct", "--run", "runs/array", "--part", "all", "--out", "made.csv")
    assert made and (tmp_path / "made.csv").read_text().splitlines()[0] == "row,x0,x1,x2,x3"
    shell.does("score", "--run", "runs/array", "--data", "a.npy")
