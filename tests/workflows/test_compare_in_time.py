"""Comparisons on windows and groups are divided as pretraining divides them: no window of two parts shares a row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from shell import Shell

from stackae.analysis.comparison.planning import task_of
from stackae.analysis.comparison.task import Cell, Task
from stackae.config import DataConfig, PretrainConfig
from stackae.data import load_data, load_pool

WINDOW = 6


def signal(folder: Path) -> str:
    """Rows that say which they are, of six machines and in time, with a class that changes every 20 rows."""
    path, rows = folder / "signal.csv", np.arange(600)
    lines = ["moment,machine,kind", *(f"{row},m{row // 100},{'ab'[row // 20 % 2]}" for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def task(config: DataConfig) -> Task:
    dataset, held = load_pool(config)
    width = dataset.train.x.shape[1]
    layers = PretrainConfig.from_options(f"{width},3", device="cpu")
    return task_of(dataset, layers, {}, config.validation_fraction, "epochs", held)


@pytest.mark.parametrize(
    "options",
    [
        {"window": WINDOW, "stride": 2, "drop": "machine"},
        {"window": WINDOW, "stride": 2, "group": "machine"},
        {"window": WINDOW, "stride": 2, "group": "machine", "split": "time"},
        {"group": "machine"},
        {"split": "time", "drop": "machine"},
    ],
)
def test_rows_are_divided_as_pretraining_divides_them(tmp_path: Path, options: dict[str, object]) -> None:
    config = DataConfig.model_validate({"data": signal(tmp_path), "target": "kind", "scale": "none", **options})
    compared, trained = task(config), load_data(config)
    parts = [*compared.parts, compared.test.x]
    for found, own in zip(parts, (trained.train, trained.validation, trained.test), strict=True):
        assert len(own.x) and np.array_equal(found[:].numpy(), own.x[:].numpy())
    rows = compared.rows_of(Cell("pretrained", len(compared.y), 0))
    kept, held = compared.divided(rows, 0)
    assert len(kept) and len(held) and sorted([*kept, *held]) == sorted(rows)
    moments = [set(part[:].long().flatten().tolist()) for part in (compared.train.x[kept], compared.train.x[held])]
    assert not moments[0] & moments[1]


def test_rows_without_an_order_are_drawn_as_before(tmp_path: Path) -> None:
    config = DataConfig.model_validate({"data": signal(tmp_path), "target": "kind", "drop": "machine"})
    compared = task(config)
    assert compared.held is None and [len(part) for part in compared.parts] == [432, 48]


def test_the_command_compares_windows(fresh: Shell) -> None:
    signal(fresh.folder)
    options = ("--data", "signal.csv", "--target", "kind", "--drop", "machine", "--window", "6", "--stride", "2")
    told = ("--contenders", "pretrained,logistic", "--labels", "all", "--seeds", "1")
    assert "pretrained" in fresh.does("compare", *options, *told)
