"""Windows in a run's outputs: each says the row that it begins with."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from shell import Shell


def column(path: Path, name: str) -> list[str]:
    with path.open() as file:
        return [row[name] for row in csv.DictReader(file)]


def test_a_signal_is_trained_on_and_its_windows_are_scored_encoded_and_predicted(tmp_path: Path) -> None:
    shell, draw = Shell(tmp_path), np.random.default_rng(0)
    signal = np.sin(np.arange(600) / 5) + 0.1 * draw.standard_normal(600)
    np.savez(tmp_path / "a.npz", x=signal, y=np.repeat([0, 1] * 30, 10))
    other = signal.copy()
    other[300:310] += 9
    np.save(tmp_path / "b.npy", other)
    told = shell("pretrain", "--data", "a.npz", "--layers", "auto,6,4", "--window", "20", "--stride", "10")
    assert told.code == 0 and "59 windows of 20 rows, one every 10 rows" in told.err
    assert "share rows with one of another part" in told.err
    shell.does("finetune", "--head", "classifier")
    shell.does("score", "--data", "b.npy", "--out", "scores.csv")
    assert column(tmp_path / "scores.csv", "start") == [str(10 * place) for place in range(59)]
    scores = np.array(column(tmp_path / "scores.csv", "score"), dtype=float)
    assert {int(place) for place in np.argsort(scores)[-2:]} == {29, 30}
    for command, name in (("predict", "p.csv"), ("encode", "h.csv"), ("reconstruct", "z.csv")):
        shell.does(command, "--data", "b.npy", "--out", name)
        assert column(tmp_path / name, "start")[:3] == ["0", "10", "20"]
    plan = shell.does("pretrain", "--data", "a.npz", "--layers", "auto,6", "--window", "20", "--dry-run")
    assert "20-6-20" in plan
    assert "one signal; cut it into windows by --window" in shell.refuses(
        3, "pretrain", "--data", "b.npy", "--layers", "auto,4"
    )


def machines(path: Path, numbers: range, rows: int = 120, named: bool = True) -> None:
    """A table of machines, a row of each in turn, with a time and a sensor that lacks a cell now and then."""
    draw = np.random.default_rng(numbers.start)
    lines = ["when,machine,load,heat" if named else "load,heat"]
    for step in range(rows):
        for number in numbers:
            load = np.sin(step / 4 + number) + 0.1 * draw.standard_normal()
            heat = "" if draw.random() < 0.1 else f"{20 + load:.3f}"
            when = f"2024-01-01 {step // 60:02}:{step % 60:02}:00,m{number}," if named else ""
            lines.append(f"{when}{load:.3f},{heat}")
    path.write_text("\n".join(lines) + "\n")


def test_a_table_of_machines_is_divided_by_them_and_its_windows_name_them(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    machines(tmp_path / "a.csv", range(10))
    machines(tmp_path / "b.csv", range(20, 22))
    machines(tmp_path / "c.csv", range(30, 31), named=False)
    options = ("--group", "machine", "--time", "when", "--window", "12", "--stride", "6", "--missing", "mask")
    told = shell("pretrain", "--data", "a.csv", *options, "--layers", "auto,6,4")
    assert told.code == 0 and "190 windows of 12 rows x 2 channels" in told.err
    assert "within each of 10 groups by machine" in told.err
    assert "133 training, 19 validation, 38 test rows of 24" in told.err
    shell.does("score", "--out", "own.csv")
    assert len(set(column(tmp_path / "own.csv", "machine"))) == 2
    shell.does("encode", "--data", "b.csv", "--out", "b-codes.csv")
    starts, names = (column(tmp_path / "b-codes.csv", name) for name in ("start", "machine"))
    assert names == ["m20"] * 19 + ["m21"] * 19 and starts[:3] == ["0", "12", "24"] and starts[19] == "1"
    told = shell("encode", "--data", "c.csv", "--out", "c-codes.csv")
    assert "has no column 'machine', the groups of the run's rows: its own are taken as those of one" in told.err
    assert "has no column 'when', the time of the run's rows: its own are taken as in their order" in told.err
    assert column(tmp_path / "c-codes.csv", "start")[:2] == ["0", "6"]
    refused = shell.refuses(3, "pretrain", "--data", "a.csv", "--group", "who", "--layers", "auto,4")
    assert "expected a column named 'who' for groups of rows" in refused


def test_rows_of_a_table_are_divided_by_groups_without_windows(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    machines(tmp_path / "a.csv", range(5), 30)
    told = shell("pretrain", "--data", "a.csv", "--group", "machine", "--time", "when", "--layers", "auto,2")
    assert told.code == 0 and "90 training, 30 validation, 30 test rows of 2" in told.err
    shell.does("score", "--out", "own.csv")
    assert len(set(column(tmp_path / "own.csv", "machine"))) == 1
