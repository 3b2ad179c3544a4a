"""What tests of `stackae score` share: new rows, a score of them, and a run that was moved."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shell import Shell

from stackae.data import load_data
from stackae.data.division import TEST
from stackae.errors import DataError
from stackae.runs import Run
from stackae.runs.manifest import Manifest
from stackae.runs.run import CALIBRATION

SUFFIXES = (".csv", "-features.csv", ".png")


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def column(table: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in table])


def parts(shell: Shell) -> Any:
    run = Run.open(shell.run)
    return run.load_stack(), load_data(run.config.data, run.load_scaling())


def held_out(data: Any) -> np.ndarray:
    """The numbers of the test rows in their file."""
    return np.flatnonzero(data.division.parts == TEST)


def scored(shell: Shell, *options: object) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The document and the files of a score in its own place."""
    document = json.loads(shell.does("score", *options, "--out", "found.csv", "--force", "--json"))
    return document, {suffix: (shell.folder / f"found{suffix}").read_bytes() for suffix in SUFFIXES}


def suspects(document: dict[str, Any]) -> list[tuple[int, float]]:
    return [(each["row"], each["score"]) for each in document["most_suspicious"]]


def moved(shell: Shell, to: Path) -> Shell:
    """The run folder and new rows elsewhere, and the training file gone."""
    shutil.copytree(shell.run, to / "detector")
    shutil.copy(shell.folder / "new.csv", to)
    (shell.folder / "labelled.npz").unlink()
    return Shell(to)


def write_new_rows(folder: Path, count: int = 40, width: int = 8) -> None:
    x = np.random.default_rng(5).random((count, width))
    lines = [",".join(f"f{number}" for number in range(width)), *(",".join(map(str, row)) for row in x.tolist())]
    (folder / "new.csv").write_text("\n".join(lines) + "\n")


def make_older(run: Path) -> None:
    """As it was before runs kept their calibration."""
    manifest = Run.open(run).manifest
    files = {name: entries for name, entries in manifest.files.items() if name != CALIBRATION}
    (run / "manifest.json").write_bytes(Manifest(files, manifest.made_from).pack())
    (run / CALIBRATION).unlink()


def forget_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is left for moments."""

    def full(name: str, needed: int, remedy: str) -> None:
        raise DataError(f"{name}: expected data that fit in the memory, got {needed:,} bytes to be held; {remedy}")

    monkeypatch.setattr("stackae.autoencoders.statistics.check_memory", full)
