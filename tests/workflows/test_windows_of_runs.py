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
