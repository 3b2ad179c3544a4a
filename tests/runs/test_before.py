"""Run folders written by an earlier revision: they are read, verified and continued."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from shell import Shell

BEFORE = Path(__file__).with_name("before")


@pytest.fixture
def earlier(fresh: Shell) -> Shell:
    """A folder with data and two runs, written before the packages of the library were laid out anew.

    ``finished`` was pretrained (8,6,4) and fine-tuned on labelled.npz; ``stopped`` was interrupted in the second
    layer of 784,4,3 on the embedded digits.
    """
    shutil.copytree(BEFORE, fresh.folder, dirs_exist_ok=True)
    return fresh


@pytest.mark.parametrize("run", ["finished", "stopped"])
def test_every_file_is_as_it_was_written(earlier: Shell, run: str) -> None:
    assert "every file is as it was written" in earlier.does("runs", "verify", run)


def test_a_finished_run_is_evaluated_to_what_its_writer_reached(earlier: Shell) -> None:
    """The error of the first layer on its validation rows is the loss that was recorded for its best epoch."""
    data = ("--run", "finished", "--data", "labelled.npz")
    document = json.loads(earlier.does("evaluate", *data, "--part", "validation", "--json"))
    lines = [json.loads(line) for line in (BEFORE / "finished" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["validation_loss"] for line in lines if line.get("stage") == "layer1" and line["best"]]
    assert document["reconstruction"][0]["squared_error"] == pytest.approx(losses[-1], rel=1e-6)
    wrong = [line["validation_error"] for line in lines if line.get("stage") == "classifier" and line["best"]]
    assert document["accuracy"] == pytest.approx(1 - wrong[-1])
    for command in ("predict", "encode", "score"):
        assert json.loads(earlier.does(command, *data, "--json"))


def test_a_stopped_run_is_continued_to_its_end(earlier: Shell) -> None:
    record = json.loads(earlier.does("resume", "stopped", "--json"))
    assert [layer["epochs"] for layer in record["layers"]] == [2, 600]
    assert "every file is as it was written" in earlier.does("runs", "verify", "stopped")
