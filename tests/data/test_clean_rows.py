"""Clean rows beside noisy ones in a file: what is to be made of them, scaled alike, in every part."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import message
from shell import Shell

from stackae.config import DataConfig
from stackae.data import load_data
from stackae.data.paired import PairedRows
from stackae.errors import DataError

draw = np.random.default_rng(0)
CLEAN = np.sin(np.linspace(0, 6, 120)[:, None] + np.arange(8) / 2)
NOISY = CLEAN + 0.3 * draw.standard_normal(CLEAN.shape)


def saved(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)
    return str(path)


def test_both_are_divided_and_scaled_alike(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", x=NOISY, x_clean=CLEAN, x_test=NOISY[:9], x_test_clean=CLEAN[:9])
    data = load_data(DataConfig(data=path, scale="standard"))
    plain = load_data(DataConfig(data=saved(tmp_path / "b.npz", x=NOISY, x_test=NOISY[:9]), scale="standard"))
    clean = load_data(DataConfig(data=saved(tmp_path / "c.npz", x=CLEAN, x_test=CLEAN[:9])), plain.scaling)
    assert torch.equal(data.scaling.offset, plain.scaling.offset)
    assert data.division is not None and plain.division is not None
    assert np.array_equal(data.division.parts, plain.division.parts)
    for name in ("train", "validation", "test"):
        pairs = getattr(data, name).x
        assert isinstance(pairs, PairedRows)
        assert torch.equal(pairs.inputs, getattr(plain, name).x) and torch.equal(pairs.targets, getattr(clean, name).x)


def test_windows_of_both_are_cut_alike(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", x=NOISY[:, 0], x_clean=CLEAN[:, 0])
    x = load_data(DataConfig(data=path, window=10, stride=5, scale="none")).train.x
    assert isinstance(x, PairedRows) and torch.equal(x.targets[1], torch.from_numpy(CLEAN[5:15, 0]).float())


def test_clean_rows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"

    def of(**arrays: np.ndarray) -> str:
        return message(load_data, DataConfig(data=saved(path, **arrays)))

    assert "expected clean rows x_clean of shape (120, 8), got (120, 7); save a clean row" in of(
        x=NOISY, x_clean=CLEAN[:, :7]
    )
    assert "expected clean rows x_test_clean of shape (9, 8), got none" in of(x=NOISY, x_clean=CLEAN, x_test=NOISY[:9])
    broken = CLEAN.copy()
    broken[3, 2] = np.inf
    assert "(clean rows): expected finite 32-bit numbers, got inf at row 3, column 2" in of(x=NOISY, x_clean=broken)
    with pytest.raises(DataError, match="expected as many clean rows"):
        PairedRows(torch.zeros(3, 2), torch.zeros(3, 3))


def test_a_run_is_trained_on_them_resumed_and_measured_against_the_clean_rows(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    saved(tmp_path / "a.npz", x=NOISY, x_clean=CLEAN)
    options = ("--data", "a.npz", "--layers", "auto,6,4", "--seed", "1")
    told = shell("pretrain", *options, "--run", "runs/a")
    assert told.code == 0 and "noisy rows, of which the clean ones are to be made" in told.err
    assert "step     fused on cpu" in told.err and "no noise" in told.err
    shell.does("pretrain", *options, "--run", "runs/b")
    names = ("layer1.safetensors", "layer2.safetensors", "scaling.safetensors", "config.toml")
    for name in names:
        assert (tmp_path / "runs/a" / name).read_bytes() == (tmp_path / "runs/b" / name).read_bytes()
    found = json.loads(shell.does("evaluate", "--run", "runs/a", "--json"))
    assert found["rows"] == 24 and found["reconstruction"][0]["explained"] > 0
    assert "nothing is left to do" in shell.does("pretrain", *options, "--run", "runs/a", "--resume")
    for command in ("score", "encode", "reconstruct"):
        shell.does(command, "--run", "runs/a")
