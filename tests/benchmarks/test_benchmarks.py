"""Every benchmark runs, by its smallest settings, and leaves rows; what they say is for a quiet machine."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from cli_cases import PNG
from shell import LAYERS, SIGNALS, Shell, write_data

from benchmarks import profile_step, sparse, step, study
from benchmarks.cases import FIRST
from benchmarks.machine import as_lines
from benchmarks.profile_step import Kernel
from benchmarks.step_cuda import planned
from benchmarks.step_rows import Planned

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # where torch.compile is loaded


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python programs that a benchmark starts run in this process: theirs would load torch each time."""

    def in_process(command: list[str], cwd: Path | None = None, **given: Any) -> subprocess.CompletedProcess[str]:
        if command[1] == "-c":
            return subprocess.CompletedProcess(command, *Shell(cwd or Path.cwd())(*command[3:]))
        with patch.object(sys, "argv", command[1:]), contextlib.redirect_stdout(io.StringIO()) as out:
            runpy.run_path(command[1], run_name="__main__")
        return subprocess.CompletedProcess(command, 0, out.getvalue(), "")

    monkeypatch.setattr(subprocess, "run", in_process)


def run(name: str, *arguments: object) -> None:
    """As `python -m benchmarks.NAME` does, in this process; it must end well."""
    with patch.object(sys, "argv", [name, *map(str, arguments)]):
        importlib.import_module(f"benchmarks.{name}").main()


def rows_of(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    return rows


def test_ops(tmp_path):
    few = ("dense_act 64x300->150", "sparsity_kl 64x150", "corrupt 64x784 masking")
    run("ops", "--json", tmp_path / "ops.json", "--rounds", 1, "--no-compile", "--only", *few)
    rows = rows_of(tmp_path / "ops.json")
    assert len(rows) == 5 and all(row["fused_us"] > 0 and not row["failed"] for row in rows)
    run("report", tmp_path)
    assert "| dense_act 64x300->150 forward |" in (tmp_path / "results.md").read_text()


def test_matmuls(tmp_path):
    run("matmuls", "--json", tmp_path / "matmuls.json", "--rounds", 1, "--only", "64x784-64")
    rows = rows_of(tmp_path / "matmuls.json")
    assert len(rows) == 5 and all(row["gflops"] > 0 and row["MKL"]["ratio"] > 0 for row in rows)


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


def test_step_settings(tmp_path, capsys):
    run("step_settings", "--json", tmp_path / "settings.json", "--rounds", 1, "--only", "max-norm")
    rows = rows_of(tmp_path / "settings.json")
    assert [row["case"] for row in rows] == ["max-norm", "classifier, max-norm"]
    assert all(row["fused_us"] > 0 and row["ratio"] > 0 for row in rows) and "extra" in capsys.readouterr().out


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


def test_sparse(tmp_path, monkeypatch, capsys):
    small = sparse.SparseCase(8, 6, 40, 3)
    few = small._replace(over_batch=True), small._replace(auxiliary=5), small._replace(keeps=0, share=0.1)
    monkeypatch.setattr(sparse, "MEASURED", (small, small._replace(tied=True), *few))
    options = ("--json", tmp_path / "sparse.json", "--rounds", 1, "--leave-out", "dense")
    run("sparse", *options, "--only", "8x6-40, top-k:3")
    run("sparse", *options, "--append")
    found = rows_of(tmp_path / "sparse.json")
    names = ["top-k:3", "top-k:3, tied", "top-k:3, auxiliary:5", "batch-top-k:3", "lifetime:0.1"]
    assert [row["case"] for row in found] == [f"8x6-40, {name}" for name in names]
    assert all(row["ratios"].keys() == {"eager", "eager, fused Adam", "product"} for row in found)
    assert all(row["bytes"] > 0 and row["dense_code"] == 4 * 8 * 40 for row in found)
    assert "5 rows measured" in capsys.readouterr().out


def test_neighbour(tmp_path):
    small = ("--threads", 2, "--rounds", 1, "--seconds", 0, "--only", "64x784-64")
    run("neighbour", *small, "--json", tmp_path / "neighbour.json")
    found = rows_of(tmp_path / "neighbour.json")
    assert [row["cores"] for row in found] == ["free", "beside a neighbour"] and all(row["ratio"] > 0 for row in found)


def test_start(tmp_path, here, monkeypatch, capsys):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    write_data(tmp_path)
    small = ("--data", tmp_path / "labelled.npz", "--layers", LAYERS, "--rounds", 1, "--threads", 1)
    try:
        run("start", *small, "--json", tmp_path / "start.json")
        with pytest.raises(SystemExit):
            run("start", *small, "--layers", "9,1")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    rows = {row["case"]: row for row in rows_of(tmp_path / "start.json")}
    counted = sum(row["seconds"] for name, row in rows.items() if name not in ("beyond", "whole"))
    assert {"import torch", "training", "pictures", "the rest"} < rows.keys()
    assert rows["whole"]["seconds"] == pytest.approx(counted) and 0 < rows["beyond"]["seconds"] < counted
    assert rows["whole"]["peak"] >= rows["whole"]["peak_of_torch"] > 1 << 20
    assert "memory peaks at" in capsys.readouterr().out


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


def test_profile_step():
    """Two steps of 10 us: a product, a gap of 1 us, an update that begins before another product has ended."""
    step_of = [("product", 0, 4), ("product", 5, 8), ("update", 7, 10)]
    kernels = [Kernel(name, 10.0 * turn + start, 10.0 * turn + end) for turn in (0, 1) for name, start, end in step_of]
    text = profile_step.report(kernels, 2)
    assert "2 steps, 3.00 kernels and copies a step" in text
    assert "10.00 us a step from the first start to the last end, 1.00 us of them with nothing running" in text
    shares = [line.split()[-1:] + line.split()[:5] for line in text.splitlines()[4:6]]
    assert shares == [["product", "2.00", "3.50", "7.00", "70", "%"], ["update", "1.00", "3.00", "3.00", "30", "%"]]


def test_end_to_end(tmp_path, here):
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
    file = ("--out", tmp_path / "variants.json")
    run("variants", "--data", "digits", "--only", "KL", "denoising", "linear", "--seeds", 1, "--epochs", 1, *file)
    cases = [row["case"] for row in rows_of(tmp_path / "variants.json")]
    assert cases == ["kl:0.05:0.5", "kl:0.05:3", "none", "gaussian:0.4", "tied", "untied"]


def test_closed_form(tmp_path):
    run("closed_form", "--layers", 1, "--rounds", 1, "--json", tmp_path / "closed.json")
    assert [row["case"] for row in rows_of(tmp_path / "closed.json")] == ["digits, 1 layers"]


def test_tables(tmp_path, monkeypatch):
    monkeypatch.setattr("stackae.data.tables.cache.WORTH_BYTES", 1)
    run("tables", "--rows", 50, "--columns", 3, "--rounds", 1, "--folder", tmp_path, "--json", tmp_path / "tables.json")
    (row,) = rows_of(tmp_path / "tables.json")
    assert row["case"] == "50 x 3" and set(row) > {"pyarrow", "parsed", "parsed and kept", "from the cache"}


def test_checkpoints(tmp_path):
    run("checkpoints", "--rounds", 1, "--only", "64-32", "--folder", tmp_path, "--json", tmp_path / "kept.json")
    (row,) = rows_of(tmp_path / "kept.json")
    assert row["case"] == "64-32-64" and set(row["seconds"]) == {"save", "read", "torch.save"}


def test_pretraining(tmp_path):
    few = ("--layers", "784,20", "--seeds", 1, "--set", "max_epochs=1", "--tune", "max_epochs=1")
    run("pretraining", *few, "--json", tmp_path / "accuracies.json")
    found = json.loads((tmp_path / "accuracies.json").read_text())
    assert all(0 < found["means"][name] <= 100 for name in ("pretrained", "random"))


def test_few_labels(tmp_path):
    few = ("--layers", "784,20", "--labels", 100, "--draws", 2, "--set", "max_epochs=1", "--tune", "max_epochs=1")
    run("few_labels", *few, "--json", tmp_path / "errors.json")
    found = json.loads((tmp_path / "errors.json").read_text())
    assert len(found["errors"]) == len(found["seconds"]) == 2
    assert found["mean"] == pytest.approx(sum(found["errors"]) / 2) and 0 < found["mean"] < 100


def test_detection(tmp_path):
    quick = ("--tables", "wine", "--divisions", 1, "--set", "max_epochs=1")
    run("detection", *quick, "--json", tmp_path / "auroc.json")
    found = rows_of(tmp_path / "auroc.json")
    assert [row["left_out"] for row in found] == ["class_0", "class_1", "class_2"]
    for row in found:
        assert all(0 <= row[name] <= 1 and row["divisions"][name] == [row[name]] for name in ("combined", "lof"))
        best = max(row[name] for name in ("mahalanobis", "isolation_forest", "lof"))
        assert row["below"] == (row["combined"] < best - 0.01)


def test_study(tmp_path, capsys, monkeypatch):
    """Two comparisons, then one more draw of one; the outputs show both."""
    monkeypatch.setattr(study, "OF_NUMBERS", "pretrained,ridge")
    for name, labels, contenders in (("wine", "6,all", "pretrained,random"), ("diabetes", "20", study.OF_NUMBERS)):
        few = study.STUDIES[name]._replace(labels=labels, seeds=1, contenders=contenders)
        monkeypatch.setitem(study.STUDIES, name, few)
    outputs = ("--json", tmp_path / "study.json", "--picture", tmp_path / "study.png")
    run("study", "--folder", tmp_path, "--only", "wine", "diabetes", *outputs)
    assert (tmp_path / "study.png").read_bytes().startswith(PNG)
    run("study", "--folder", tmp_path, "--only", "wine", "--seeds", 2, *outputs)
    found = json.loads((tmp_path / "study.json").read_text())
    rows = {(row["data"], row["contender"], row["labels"]): len(row["errors"]) for row in found["rows"]}
    wine = {("wine", name, labels): 2 for name in ("pretrained", "random") for labels in (6, 142)}
    assert rows == wine | {("diabetes", "pretrained", 20): 1, ("diabetes", "ridge", 20): 1}
    printed = capsys.readouterr().out
    assert (
        "| wine | all 142 | " in printed and "| diabetes | 20 | " in printed and "pretrained less random |" in printed
    )


def test_gpu_accuracy(tmp_path, capsys, here):
    run("gpu_accuracy", "--device", "cpu", "--epochs", 1, "--precisions", "default", "--data-root", tmp_path)
    assert capsys.readouterr().out.splitlines()[-1].startswith("test accuracy on the embedded digits: default ")


def test_ranks(tmp_path, monkeypatch):
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")
    threads = torch.get_num_threads()
    try:
        run("ranks", "--json", tmp_path / "ranks.json", "--rounds", 1, "--only", "256x784-300")
    finally:
        torch.set_num_threads(threads)
    (row,) = rows_of(tmp_path / "ranks.json")
    assert row["ratio"] > 0 and row["bytes"] == 4 * (784 * 300 + 784 + 300) + 8 * 601


def test_scale(tmp_path, capsys):
    few = ("--rows", "400,900", "--columns", 64, "--layers", "auto,8", "--ways", "memory", "recompute")
    run("scale", *few, "--folder", tmp_path, "--json", tmp_path / "scale.json")
    found = rows_of(tmp_path / "scale.json")
    assert [(row["rows"], row["way"]) for row in found] == [(n, way) for n in (400, 900) for way in few[-2:]]
    assert all(row["peak"] > row["anonymous"] > 0 < row["training_per_row"] for row in found)
    assert (tmp_path / "400x64.npy").stat().st_size == 128 + 400 * 64 and capsys.readouterr().out.count("memory") == 2


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "results").rglob("*.json")), ids=lambda path: path.stem)
def test_results_have_a_line_per_row(path):
    text = path.read_text()
    assert text == as_lines(json.loads(text)) and len(text.splitlines()) <= 60 + len(json.loads(text).get("rows", []))


def test_every_benchmark_has_a_test_of_its_name():
    """But for those that test_gpu_scripts and test_peers run, and the scripts that end_to_end and start do."""
    programs = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "def main()" in path.read_text()}
    elsewhere = {"gpu_check", "gpu_measure", "gpu_numbers", "gpu_setup", "peers", "start_watched", "usual_script"}
    assert elsewhere < programs and {f"test_{name}" for name in programs - elsewhere} <= set(globals())


def test_report(tmp_path):
    with pytest.raises(SystemExit, match=r"expected at least one of step\.json, end_to_end\.json, ops\.json"):
        run("report", tmp_path)
