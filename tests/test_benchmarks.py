"""Every benchmark runs, by its smallest settings, and leaves rows; what they say is for a quiet machine."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from benchmarks import step
from benchmarks.cases import FIRST
from benchmarks.step_cuda import planned
from benchmarks.step_rows import Planned

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # where torch.compile is loaded


@pytest.fixture(autouse=True)
def as_before() -> Any:
    """Threads and random numbers are as they were."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        yield
    torch.set_num_threads(threads)


def run(name: str, *arguments: object) -> None:
    """As `python -m benchmarks.NAME` does, in this process; it must end well."""
    with patch.object(sys, "argv", [name, *map(str, arguments)]):
        importlib.import_module(f"benchmarks.{name}").main()


def rows_of(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    return rows


def test_ops(tmp_path):
    few = (
        "--rounds",
        1,
        "--no-compile",
        "--only",
        "dense_act 64x300->150",
        "sparsity_kl 64x150",
        "corrupt 64x784 masking",
    )
    run("ops", "--json", tmp_path / "ops.json", *few)
    rows = rows_of(tmp_path / "ops.json")
    assert len(rows) == 5 and all(row["fused_us"] > 0 and not row["failed"] for row in rows)
    run("report", tmp_path)
    assert "| dense_act 64x300->150 forward |" in (tmp_path / "results.md").read_text()


def test_step(tmp_path, capsys):
    file = ("--json", tmp_path / "step.json")
    run("step", *file, "--only", "64x784-64", "--rounds", 1, "--no-compile")
    first = rows_of(tmp_path / "step.json")
    assert [(row["part"], row["case"]) for row in first] == [
        ("cases", "64x784-64"),
        ("population", "64x784-64, at once"),
    ]
    assert all(row["fused_us_per_step"] > 0 and not row["failed"] for row in first)
    run("step", *file, "--only", "64x64-64", "--rounds", 1, "--append")
    assert rows_of(tmp_path / "step.json")[:2] == first and "3 rows measured" in capsys.readouterr().out
    run("report", tmp_path)
    assert "| 64x784-64 | bf16" not in (results := (tmp_path / "results.md").read_text()) and "| 64x784-64 |" in results


def test_step_says_that_no_row_was_asked_for():
    with pytest.raises(SystemExit, match="expected a row to measure, got none"):
        run("step", "--only", "no such row")


def test_step_loses_nothing_that_was_measured(tmp_path, monkeypatch):
    """Not by a row that breaks off, not by another part of the same case, not by a time that is out."""
    file = tmp_path / "step.json"
    known = {"part": "cases", "case": "one", "detail": {}, "failed": {"fused": "it broke"}}
    file.write_text(json.dumps({"machine": {}, "rows": [known]}))

    def breaks() -> Any:
        raise RuntimeError("CUDA error")

    rows = [Planned("cases", "one", breaks), Planned("compiled", "one", breaks)]
    monkeypatch.setattr(step, "planned", lambda asked: iter(rows))
    monkeypatch.setattr(sys, "argv", ["step", "--json", str(file), "--append"])
    with pytest.raises(SystemExit, match="expected every row measured, got failures in 2: one; one"):
        step.main()
    assert rows_of(file)[0] == known and rows_of(file)[1]["failed"] == {"the row": "RuntimeError: CUDA error"}
    monkeypatch.setattr(sys, "argv", ["step", "--json", str(file), "--append", "--patience", "-1"])
    with pytest.raises(SystemExit, match="got failures in 2"):
        step.main()
    assert len(rows_of(file)) == 2


def test_on_a_gpu_what_is_compiled_comes_last_in_rows_of_its_own():
    rows = [(row.part, row.name) for row in planned(torch.device("cuda"), 1, True)]
    assert rows[: len(FIRST)] == [("cases", each.name) for each in FIRST]
    parts = [part for part, _ in rows]
    assert parts == sorted(parts, key=["cases", "population", "ladder", "compiled"].index)
    assert len(set(rows)) == len(rows) and {name for part, name in rows if part == "compiled"} == {
        name for part, name in rows if part == "cases"
    }


def test_few_steps(capsys):
    run("few_steps", "--device", "cpu")
    lines = capsys.readouterr().out.splitlines()
    assert any("classifier, rows on the host: " in line for line in lines)
    assert all(" to " in line for line in lines) and len(lines) >= 16


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, and it would run")
@pytest.mark.parametrize("name", ["few_steps", "profile_step"])
def test_without_a_gpu_one_sentence_says_so(name):
    with pytest.raises(SystemExit, match="--device cuda: expected a GPU, got none that torch"):
        run(name)


def test_end_to_end(tmp_path):
    small = ("--rows", 300, "--layers", "784,10", "--epochs", 2, "--usual-epochs", 1, "--rounds", 1, "--threads", 1)
    run("end_to_end", *small, "--tolerance", 0.5, "--json", tmp_path / "end_to_end.json")
    document = json.loads((tmp_path / "end_to_end.json").read_text())
    rows = {row["name"]: row for row in document["rows"]}
    assert list(rows) == ["stackae", "usual script", "in memory", "stackae (again)"] and not document["failed"]
    assert all(0 < row["training_seconds"] < row["seconds"] for row in rows.values())
    assert rows["usual script"]["scaled"] and rows["usual script"]["training_ratio"] > 0
    run("report", tmp_path)
    assert "| usual script | " in (tmp_path / "results.md").read_text()


def test_variants(tmp_path):
    run(
        "variants", "--data", "digits", "--only", "KL", "--seeds", 1, "--epochs", 1, "--out", tmp_path / "variants.json"
    )
    assert [row["case"] for row in rows_of(tmp_path / "variants.json")] == ["kl:0.05:0.5", "kl:0.05:3"]


def test_closed_form(tmp_path):
    run("closed_form", "--layers", 1, "--rounds", 1, "--json", tmp_path / "closed.json")
    assert [row["case"] for row in rows_of(tmp_path / "closed.json")] == ["digits, 1 layers"]


def test_checkpoints(tmp_path):
    run("checkpoints", "--rounds", 1, "--only", "64-32", "--folder", tmp_path, "--json", tmp_path / "kept.json")
    (row,) = rows_of(tmp_path / "kept.json")
    assert row["case"] == "64-32-64" and set(row["seconds"]) == {"save", "read", "torch.save"}


def test_pretraining(tmp_path):
    few = ("--layers", "784,20", "--seeds", 1, "--set", "max_epochs=1", "--tune", "max_epochs=1")
    run("pretraining", *few, "--json", tmp_path / "accuracies.json")
    found = json.loads((tmp_path / "accuracies.json").read_text())
    assert all(0 < found["means"][name] <= 100 for name in ("pretrained", "random"))


def test_accuracy(tmp_path):
    options = ["--device", "cpu", "--epochs", "1", "--precisions", "default", "--data-root", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_accuracy", *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1].startswith("test accuracy on the embedded digits: default ")


def test_a_report_of_nothing_says_what_is_missing(tmp_path):
    with pytest.raises(SystemExit, match=r"expected at least one of step\.json, end_to_end\.json, ops\.json"):
        run("report", tmp_path)
