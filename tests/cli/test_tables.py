"""Tables as they were downloaded, from pretraining to predictions and scores, back in their columns and units."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from shell import Shell

SHAPES = ("intrusions", "plant", "ratings", "genes")
OPTIONS = {
    "intrusions": ("--target", "label", "--drop", "difficulty"),
    "plant": ("--target", "Normal/Attack", "--drop", "Timestamp"),
    "ratings": ("--target", "liked", "--categorical", "genre", "--ids", "user"),
    "genes": ("--target", "kind", "--transpose"),
}


def lines_of(shape: str, rows: int, seed: int) -> list[str]:
    """A small table in the shape of a public one."""
    draw = np.random.default_rng(seed)
    kinds = draw.integers(0, 2, rows)
    if shape == "intrusions":  # NSL-KDD: categories beside numbers
        names = ["duration", "protocol_type", "flag", "src_bytes", "label", "difficulty"]
        cells = [[draw.integers(9), ("tcp", "udp")[draw.integers(2)], ("SF", "S0")[k], 100 * k + draw.integers(9),
                  ("normal", "neptune")[k], 20] for k in kinds]  # fmt: skip
    elif shape == "plant":  # SWaT: semicolons, blanks around names, a time, decimal commas
        names = [" Timestamp", "FIT101", "LIT101", " MV101", "Normal/Attack"]
        cells = [[f" 28/12/2015 10:{row // 60:02d}:{row % 60:02d} AM", f"{2 + k + draw.random():.4f}".replace(".", ","),
                  f"{500 + draw.random():.3f}".replace(".", ","), 1 + k, ("Normal", "Attack")[k]]
                 for row, k in enumerate(kinds)]  # fmt: skip
        return [";".join(map(str, row)) for row in (names, *cells)]
    elif shape == "ratings":  # MovieLens, a row per user: most cells are empty
        names = ["user", "m1", "m2", "m3", "genre", "liked"]
        cells = [[f"u{row}", *(1 + 3 * k + draw.integers(2) if draw.random() < 0.6 else "" for _ in range(3)),
                  draw.integers(2), ("no", "yes")[k]] for row, k in enumerate(kinds)]  # fmt: skip
    else:  # genes in rows, samples in columns
        names = ["gene", *(f"s{row}" for row in range(rows))]
        cells = [[f"g{gene}", *(f"{k * (gene % 3) + draw.random():.5f}" for k in kinds)] for gene in range(7)]
        cells.append(["kind", *(("healthy", "ill")[k] for k in kinds)])
    return [",".join(map(str, row)) for row in (names, *cells)]


def write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n")


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_table_as_it_was_downloaded_needs_no_script(fresh: Shell, shape: str) -> None:
    write(fresh.folder / "train.csv", lines_of(shape, 120, 0))
    write(fresh.folder / "new.csv", lines_of(shape, 30, 1))
    options = OPTIONS[shape]
    checked = json.loads(fresh.does("data", "check", "train.csv", *options, "--json"))
    assert checked["accepted"] and {each["kind"] for each in checked["columns"]} >= {"target"}
    fresh.does("pretrain", "--data", "train.csv", *options, "--layers", "auto,3", "--epochs", "5")
    fresh.does("finetune", "--epochs", "40", "--learning-rate", "0.05")
    assert json.loads(fresh.does("evaluate", "--data", "new.csv", "--json"))["accuracy"] > 0.8
    fresh.does("predict", "--data", "new.csv", "--out", "answers.csv")
    fresh.does("score", "--data", "new.csv", "--out", "scores.csv", "--no-baselines")
    fresh.does("reconstruct", "--data", "new.csv", "--out", "restored.csv")
    answers, scores, restored = (rows_of(fresh.folder / f"{name}.csv") for name in ("answers", "scores", "restored"))
    assert len(answers) == len(scores) == len(restored) == 30
    if shape == "intrusions":
        assert list(restored[0]) == ["row", "duration", "protocol_type", "flag", "src_bytes"]
        assert {each["flag"] for each in restored} == {"SF", "S0"}
    if shape == "ratings":
        assert [each["user"] for each in answers] == [f"u{row}" for row in range(30)] == [e["user"] for e in scores]
    if shape == "genes":
        assert [each["gene"] for each in restored] == [f"s{row}" for row in range(30)] and "g6" in restored[0]


def test_new_rows_are_told_apart_by_name(fresh: Shell) -> None:
    write(fresh.folder / "train.csv", lines_of("intrusions", 120, 0))
    fresh.does("pretrain", "--data", "train.csv", *OPTIONS["intrusions"], "--layers", "auto,3", "--epochs", "2")
    names, *rows = (line.split(",") for line in lines_of("intrusions", 30, 1))
    rows = [
        [row[0], "icmp" if at < 2 else row[1], row[2], str(1000 * (1 + int(row[3])))] for at, row in enumerate(rows)
    ]
    write(fresh.folder / "new.csv", [",".join(line) for line in (names[:4], *rows)])
    told = fresh("score", "--data", "new.csv", "--no-baselines", "--out", "scores.csv")
    assert told.code == 0 and "column 'protocol_type' has values that the run was not trained on" in told.err
    assert "'icmp' (2 rows)" in told.err and "column 'src_bytes' goes from" in told.err
    assert "are its units the same?" in told.err
    lacking = [",".join([line[0], *line[2:4]]) for line in (names, *rows)]
    write(fresh.folder / "lacking.csv", lacking)
    assert "got none named protocol_type" in fresh.refuses(3, "score", "--data", "lacking.csv")


def test_former_names_of_settings_are_read(fresh: Shell) -> None:
    write(fresh.folder / "train.csv", lines_of("intrusions", 120, 0))
    fresh.does("pretrain", "--data", "train.csv", *OPTIONS["intrusions"], "--layers", "auto,3", "--epochs", "1")
    config = (fresh.run / "config.toml").read_text()
    assert 'drop = "difficulty"' in config
    (fresh.folder / "old.toml").write_text(config.replace('drop = "difficulty"', 'ignore = "difficulty"'))
    fresh.does("pretrain", "--config", "old.toml", "--run", "runs/again")
    weights = [(run / "layer1.safetensors").read_bytes() for run in (fresh.run, fresh.folder / "runs" / "again")]
    assert weights[0] == weights[1]


def test_the_same_rows_in_any_format_train_the_same_weights(fresh: Shell) -> None:
    draw = np.random.default_rng(0)
    kinds = {
        "pixels": draw.integers(0, 256, (60, 64)),
        "whole": draw.integers(-9, 300, (60, 5)),
        "tenths": draw.integers(0, 99, (60, 5)) / 10,
    }
    for kind, x in kinds.items():
        width, weights = x.shape[1], []
        np.save(fresh.folder / "a.npy", x)
        np.savez(fresh.folder / "a.npz", x=x.astype(np.float64))
        lines = [",".join(f"c{column}" for column in range(width)), *(",".join(map(str, row)) for row in x.tolist())]
        write(fresh.folder / "a.csv", lines)
        write(fresh.folder / "a.tsv", [line.replace(",", "\t") for line in lines])
        columns = {f"c{column}": x[:, column] for column in range(width)}
        parquet.write_table(pyarrow.table(columns), fresh.folder / "a.parquet")
        for suffix in ("npy", "npz", "csv", "tsv", "parquet"):
            run = f"runs/{kind}-{suffix}"
            fresh.does("pretrain", "--data", f"a.{suffix}", "--layers", "auto,3", "--epochs", "2", "--run", run)
            weights.append((fresh.folder / run / "layer1.safetensors").read_bytes())
        assert len({*weights}) == 1, kind
