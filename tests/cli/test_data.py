"""Laws of `stackae data check`: what it shows, its exit code, and that pretraining agrees with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from shell import LAYERS, Shell

from stackae.cli.progress import Meter


def spoilt(folder: Path) -> None:
    x = np.load(folder / "unlabelled.npy").astype(np.float64)
    x[3, 2], x[4, 4] = np.nan, 1e39
    np.save(folder / "large.npy", x)
    x[4, 4] = 0
    np.save(folder / "gap.npy", x)
    (folder / "word.csv").write_text("a,b\n1,2\n3,x\n5,6\n")


@pytest.mark.parametrize("data", ["unlabelled.npy", "labelled.npz", "labelled.csv --target kind", "digits"])
def test_data_that_pretraining_takes(fresh: Shell, data: str) -> None:
    lines = fresh.does("data", "check", *data.split()).strip().splitlines()
    assert lines[-2] == "verdict     pretraining takes the data"
    width = "784,392,196" if data == "digits" else "8,4,2"
    name, *target = data.split()
    assert lines[-1] == f"next        stackae pretrain --layers {width} --data {' '.join([name, *target])}"
    assert fresh.does(*lines[-1].split()[2:], "--dry-run")
    assert "rows x columns" in "\n".join(lines) and ("Rows per class" in "\n".join(lines)) == (data != "unlabelled.npy")


@pytest.mark.parametrize("data", ["large.npy", "gap.npy --missing refuse", "word.csv", "absent.npy", "digts"])
def test_data_that_pretraining_refuses(fresh: Shell, data: str) -> None:
    spoilt(fresh.folder)
    sentence = fresh.refuses(3, "pretrain", "--layers", LAYERS, "--data", *data.split())
    found = fresh("data", "check", *data.split())
    assert found.code == 3 and found.out.strip().splitlines()[-1] == "verdict     pretraining refuses the data"
    said = found.err[found.err.index("error: ") :].strip()
    assert said == sentence.replace(f"{fresh.folder}/", "")
    document = json.loads(fresh("data", "check", *data.split(), "--json").out)
    assert f"error: {document['refusal']}" == said and document["accepted"] is False and document["next"] is None


def test_the_document(fresh: Shell) -> None:
    document = json.loads(fresh.does("data", "check", "labelled.csv", "--target", "kind", "--json"))
    assert document["accepted"] and document["refusal"] is None and document["test"] is None
    assert document["next"] == "stackae pretrain --layers 8,4,2 --data labelled.csv --target kind"
    part = document["training"]
    assert (part["rows"], part["columns"], part["dtype"]) == (60, 8, "table") and 0 <= part["low"] < part["high"] <= 1
    assert part["labels"] == {"classes": {"a": 20, "b": 20, "c": 20}, "unlabelled_rows": 0}
    assert part["nan"] == part["infinite"] == part["too_large"] == part["duplicate_rows"] == 0
    far = np.tile(np.arange(50.0), (2, 1)).T
    far[7, 1] = 1e6
    np.save(fresh.folder / "far.npy", far)
    found = json.loads(fresh.does("data", "check", "far.npy", "--json"))["training"]
    assert found["outliers"] == [{"column": 1, "row": 7, "value": 1e6, "low": 1, "high": 49}]
    assert found["merged_in_32_bits"] == [] and part["outliers"] == []
    planned = fresh("pretrain", "--layers", "2,1", "--data", "far.npy", "--test-fraction", "0", "--dry-run")
    assert planned.code == 0 and "note     1 column is flattened by outliers" in planned.err
    assert "row 7 is 1000000); correct them, or use --scale robust" in planned.err
    np.save(fresh.folder / "nothing.npy", np.full((3, 2), np.nan))
    nothing = json.loads(fresh("data", "check", "nothing.npy", "--json").out)["training"]
    assert nothing["low"] is None and nothing["first_bad"][0] == {"row": 0, "column": 0, "value": "nan"}


def test_settings_that_cannot_work(fresh: Shell) -> None:
    sentence = fresh.refuses(2, "data", "check", "digits", "--target", "kind")
    assert "target: expected none for digits, got 'kind'" in sentence
    assert "check" in fresh.refuses(2, "data", "chekc", "digits")
    fresh.refuses(2, "data", "check")


def test_names_are_quoted_for_the_shell_and_escaped_for_the_terminal(fresh: Shell) -> None:
    path = fresh.folder / "my data\x1b.csv"
    path.write_text("a,k\x1b\n1,x\x1b[31m\n0,y\n")
    out = fresh.does("data", "check", path.name, "--target", "k\x1b")
    assert "\x1b" not in out and "--data 'my data\\x1b.csv' --target 'k\\x1b'" in out and "x\\x1b[31m" in out
    path.rename(fresh.folder / "bad\x1b.csv")
    (fresh.folder / "bad\x1b.csv").write_text("a\nx\n")
    assert "\x1b" not in fresh.refuses(3, "pretrain", "--layers", LAYERS, "--data", "bad\x1b.csv")


def test_help(fresh: Shell) -> None:
    assert "stackae data check sensors.csv --target label" in fresh.does("data", "check", "--help")
    assert "check" in fresh.does("data", "--help") and "data" in fresh.does("--help")
    script = "import sys; from stackae.cli.main import main; sys.argv = ['stackae', 'data', 'check', '--help']; "
    script += "\ntry: main()\nexcept SystemExit: assert not {'torch', 'numpy'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_reading_that_takes_long_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with Meter("reading a.csv") as meter:
        for share in (0.1, 0.2, 0.5, 0.9):
            meter.update(share)
            now[0] += 1.5
    assert capsys.readouterr().err.splitlines() == ["reading a.csv  50 %  3 s left"]
    monkeypatch.setattr("stackae.cli.console.stderr._force_terminal", True)
    with Meter("reading [b]") as meter:
        now[0] += 3
        meter.update(0.25)
        meter.update(0.75)
        now[0] += 900
        meter.update(0.8)
    told = capsys.readouterr().err
    assert "reading [b]" in told and "4 min left" in told


def test_a_file_larger_than_the_memory_is_checked(tmp_path: Path) -> None:
    """In a process that may have 150 MiB more than it has at the start, a file of 200 MB."""
    path = tmp_path / "large.npy"
    shape = (50_000, 1000)
    head = np.lib.format.header_data_from_array_1_0(np.zeros((1, 1), np.float32)) | {"shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, head)
        file.truncate(file.tell() + 4 * shape[0] * shape[1])
    script = f"""
import resource
from pathlib import Path
from stackae.config import DataConfig
from stackae.data.inspect.check import check_data
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (150 << 20),) * 2)
report = check_data(DataConfig(data={str(path)!r}))
assert "got 200,000,000 bytes to be held" in report.refusal, report.refusal
assert report.training.findings.rows == {shape[0]} and len(report.training.findings.constant_columns) == {shape[1]}
"""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def machines(folder: Path, rows: int = 240) -> None:
    draw = np.random.default_rng(0)
    lines = [f"m{row // 40},{row},{draw.random():.4f},{draw.random():.4f}" for row in range(rows)]
    (folder / "machines.csv").write_text("\n".join(["machine,second,a,b", *lines]) + "\n")
    np.save(folder / "signal.npy", draw.random((rows, 2)))


@pytest.mark.parametrize(
    "options",
    [
        ("machines.csv", "--group", "machine", "--time", "second", "--window", "10", "--stride", "5"),
        ("machines.csv", "--group", "machine", "--drop", "second"),
        ("machines.csv", "--drop", "machine,second", "--window", "8", "--stride", "3", "--test-fraction", "0.3"),
        ("machines.csv", "--drop", "machine", "--split", "time", "--validation-fraction", "0.25"),
        ("signal.npy", "--window", "10", "--stride", "5"),
        ("signal.npy", "--validation-rows", "last:20"),
        ("labelled.csv", "--target", "kind", "--leave-out", "a"),
        ("labelled.npz",),
    ],
    ids=" ".join,
)
def test_parts_are_those_of_pretraining(fresh: Shell, options: tuple[str, ...]) -> None:
    machines(fresh.folder)
    document = json.loads(fresh.does("data", "check", *options, "--json"))
    data = fresh.does("data", "check", *options)
    assert "Parts" in data and document["next"].startswith(f"stackae pretrain --layers {document['parts']['width']},")
    fresh.does(*document["next"].split()[1:], "--epochs", "1")
    parts = load_file(fresh.run / "division.safetensors")["parts"]
    counts = [int((parts == part).sum()) for part in range(3)]
    assert list(document["parts"]["samples"].values()) == [*counts, len(parts) - sum(counts)]
    if "--group" in options:
        assert sum(document["parts"]["groups"].values()) == 6


def test_what_cannot_be_divided_is_refused_as_by_pretraining(fresh: Shell) -> None:
    machines(fresh.folder)
    for code, options in (
        (3, ("machines.csv", "--drop", "machine", "--window", "900")),
        (2, ("machines.csv", "--drop", "machine", "--window", "10", "--stride", "5", "--split", "random")),
        (2, ("signal.npy", "--group", "machine")),
    ):
        checked = fresh("data", "check", *options)
        trained = fresh("pretrain", "--layers", "auto,2", "--data", *options)
        assert checked.code == trained.code == code
        assert checked.err.splitlines()[-1] == trained.err.splitlines()[-1].replace(f"{fresh.folder}/", "")
