"""`--missing mask`: missing cells are read as the fill, have no part in the loss, and are made in reconstructions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from shell import Shell

RANK, ROWS, WIDTH = 2, 300, 12
FILES = ("layer1.safetensors", "layer2.safetensors", "scaling.safetensors", "division.safetensors")


def matrix() -> np.ndarray:
    draw = np.random.default_rng(0)
    return draw.standard_normal((ROWS, RANK)) @ draw.standard_normal((RANK, WIDTH))


def table(path: Path, x: np.ndarray) -> None:
    lines = [",".join(f"c{column}" for column in range(x.shape[1]))]
    lines += [",".join("" if np.isnan(cell) else f"{cell:.4f}" for cell in row) for row in x]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    x = matrix()
    table(tmp_path / "whole.csv", x)
    x[np.random.default_rng(1).random(x.shape) < 0.4] = np.nan
    table(tmp_path / "gaps.csv", x)
    np.save(tmp_path / "gaps.npy", x)
    return Shell(tmp_path)


def pretrain(shell: Shell, data: str, missing: str, run: str, *more: str) -> str:
    options = ("--data", data, "--missing", missing, "--layers", "auto,6,4", "--run", f"runs/{run}", *more)
    told = shell("pretrain", *options)
    assert told.code == 0, told.err
    return told.err


def same(shell: Shell, first: str, second: str, *names: str) -> list[bool]:
    runs = [shell.folder / "runs" / run for run in (first, second)]
    return [(runs[0] / name).read_bytes() == (runs[1] / name).read_bytes() for name in names]


def test_without_missing_cells_the_run_is_that_of_the_mean(shell: Shell) -> None:
    for missing in ("mean", "mask"):
        pretrain(shell, "whole.csv", missing, missing)
    assert all(same(shell, "mean", "mask", *FILES))


def test_a_run_is_told_trained_alike_twice_and_complete(shell: Shell) -> None:
    told = pretrain(shell, "gaps.csv", "mask", "a")
    assert "% missing, without part in the loss" in told and "step     fused on cpu" in told
    pretrain(shell, "gaps.csv", "mask", "b")
    assert all(same(shell, "a", "b", *FILES, "config.toml"))
    pretrain(shell, "gaps.csv", "mean", "c")
    assert same(shell, "a", "c", *FILES) == [False, False, True, True]
    assert "nothing is left to do" in shell.does(
        "pretrain", "--data", "gaps.csv", "--missing", "mask", "--layers", "auto,6,4", "--run", "runs/a", "--resume"
    )


def test_reconstructions_are_nearer_to_what_was_hidden_than_by_filling(shell: Shell) -> None:
    hidden = np.isnan(np.load(shell.folder / "gaps.npy"))
    errors = {}
    for missing in ("mask", "mean"):
        pretrain(shell, "gaps.csv", missing, missing, "--scale", "standard", "--epochs", "60")
        shell.does("reconstruct", "--run", f"runs/{missing}", "--part", "all", "--out", f"{missing}.npy")
        errors[missing] = float(np.abs(np.load(shell.folder / f"{missing}.npy") - matrix())[hidden].mean())
    assert errors["mask"] < 0.8 * errors["mean"]


def test_evaluation_counts_known_cells_alone(shell: Shell) -> None:
    pretrain(shell, "gaps.csv", "mask", "a", "--scale", "standard")
    given = ("--run", "runs/a", "--part", "all")
    found = json.loads(shell.does("evaluate", *given, "--json"))["reconstruction"][0]
    shell.does("reconstruct", *given, "--layer", "1", "--out", "z.npy")
    x, z = np.load(shell.folder / "gaps.npy").round(4), np.load(shell.folder / "z.npy")
    scale = np.nanstd(x, axis=0)  # about that of the training rows
    wanted = float(np.nanmean(((z - x) / scale) ** 2))
    assert found["mean_squared_error"] == pytest.approx(wanted, rel=0.1)


def test_arrays_with_gaps_are_masked_where_that_is_asked_for(shell: Shell) -> None:
    told = pretrain(shell, "gaps.npy", "mask", "a")
    assert "% missing, without part in the loss" in told
    assert json.loads(shell.does("evaluate", "--run", "runs/a", "--part", "all", "--json"))["rows"] == ROWS
    shell.does("score", "--run", "runs/a")


def test_windows_with_gaps_are_masked_too(shell: Shell) -> None:
    told = pretrain(shell, "gaps.csv", "mask", "a", "--window", "10", "--stride", "5")
    assert "59 windows of 10 rows x 12 channels" in told and "% missing, without part in the loss" in told
    made = shell.does("reconstruct", "--run", "runs/a", "--data", "gaps.csv", "--out", "z.csv")
    header = (shell.folder / "z.csv").read_text().partition("\n")[0]
    assert made and header.startswith("row,start,c0[0],c0[1]")


def test_scores_of_rows_with_gaps_are_over_their_known_cells(shell: Shell) -> None:
    pretrain(shell, "gaps.csv", "mask", "a", "--scale", "standard", "--epochs", "20")
    x = matrix()[:60]
    x[:20, 3] += 40  # what is wrong with these rows
    table(shell.folder / "strange.csv", x)
    x[:, 7:] = np.nan
    x[40, :] = np.nan
    table(shell.folder / "strange-gaps.csv", x)
    scores = {}
    for name in ("strange", "strange-gaps"):
        told = shell("score", "--run", "runs/a", "--data", f"{name}.csv", "--out", f"{name}-scores.csv", "--layer", "2")
        assert told.code == 0 and ("60 rows with missing" in told.err) == (name != "strange")
        lines = (shell.folder / f"{name}-scores.csv").read_text().splitlines()[1:]
        scores[name] = np.array([float(line.split(",")[1]) for line in lines])
    given, (features, *cells) = (
        ("--run", "runs/a"),
        [line.split(",") for line in (shell.folder / "strange-gaps-scores-features.csv").read_text().splitlines()],
    )
    assert features[:2] == ["feature", "mean_error"] and all(set(line[1:]) == {""} for line in cells[7:])
    shell.does("reconstruct", *given, "--data", "strange-gaps.csv", "--layer", "2", "--out", "z.npy")
    scale = np.nanstd(np.load(shell.folder / "gaps.npy"), axis=0)  # about that of the training rows
    wanted = WIDTH * np.nanmean(((np.load(shell.folder / "z.npy") - x.round(4)) / scale)[:40] ** 2, axis=1)
    np.testing.assert_allclose(scores["strange-gaps"][:40], wanted, rtol=0.2)
    assert scores["strange-gaps"][40] == 0  # nothing is known of it
    for found in scores.values():
        assert found[:20].min() > found[20:].max()
    shell.does("score", *given, "--data", "strange-gaps.csv")  # all detectors


def test_a_detector_is_moved_with_the_gaps_of_its_rows(shell: Shell) -> None:
    pretrain(shell, "gaps.csv", "mask", "a", "--scale", "standard")
    (shell.folder / "new.csv").write_text((shell.folder / "gaps.csv").read_text())
    given = ("score", "--run", "runs/a", "--data", "new.csv", "--no-baselines", "--force")
    shell.does(*given, "--out", "here.csv")
    (shell.folder / "gaps.csv").unlink()
    shell.does(*given, "--out", "there.csv")
    assert (shell.folder / "here.csv").read_bytes() == (shell.folder / "there.csv").read_bytes()
    own = shell.does("score", "--run", "runs/a", "--data", "new.csv", "--json", "--false-alarm-rate", "0.1")
    assert json.loads(own)["methods"]["combined"]["flagged"] < ROWS / 3
