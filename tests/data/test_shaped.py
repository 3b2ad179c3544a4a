"""Flat rows that are images: the shape is a setting, and stays with the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from shell import Shell

from stackae.config import DataConfig
from stackae.data import load_data
from stackae.errors import ConfigError, DataError
from stackae.runs import Run


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    np.save(tmp_path / "flat.npy", np.random.default_rng(0).random((40, 48)).astype(np.float32))
    return tmp_path


def test_rows_have_the_shape_that_is_given(flat: Path) -> None:
    for text, shape in (("6x8", (6, 8)), ("4x4x3", (4, 4, 3)), (None, None)):
        assert load_data(DataConfig(data=str(flat / "flat.npy"), image_shape=text)).image_shape == shape


def test_a_shape_of_another_width_is_refused(flat: Path) -> None:
    expected = r"image_shape: expected an image of 48 numbers, as a row of .*flat.npy has, got 7x7, which has 49; leave"
    with pytest.raises(DataError, match=expected):
        load_data(DataConfig(data=str(flat / "flat.npy"), image_shape="7x7"))
    np.save(flat / "square.npy", np.ones((9, 49)))
    with pytest.raises(DataError, match=r"use image_shape.*7x7.*, or leave it out"):
        load_data(DataConfig(data=str(flat / "square.npy"), image_shape="6x8"))


@pytest.mark.parametrize("text", ["28", "28x", "0x5", "3x4x2", "axb", "28X28"])
def test_another_notation_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=f"image_shape: expected HEIGHTxWIDTH or .*, got '{text}'"):
        DataConfig(image_shape=text)


def test_later_commands_draw_by_the_shape_of_the_run(flat: Path) -> None:
    shell = Shell(flat)
    shell.does(
        "pretrain", "--layers", "48,6", "--data", "flat.npy", "--image-shape", "6x8", "--epochs", "1", "--run", "it"
    )
    assert Run.open(flat / "it").config.data.image_shape == "6x8"
    shell.draws = True
    shell.does("reconstruct", "--run", "it")
    assert shell.folder.joinpath("it", "reconstructions.png").exists()
