"""What processes make of rows together, in turns: the bytes of one process, whatever the format, or nothing."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_cases import replaced
from process_cases import wait_for
from rank_processes import end_ranks, log_of, on_processes, process_of, start_ranks, start_script, start_torchrun
from shell import Shell

from stackae.models.files import opened, pack

ROWS = 9_500  # turns of both processes, and a last one that is no whole piece
PRETRAIN = ("pretrain", "--layers", "8,6,4", "--epochs", "1", "--batch-size", "500", "--loss", "mse")
TABLES = {
    "encode": ("codes.npy", "codes.csv", "codes.parquet"),
    "encode --weights finetuned": ("tuned.npy",),
    "encode --layer 1 --storage disk": ("first.npy",),
    "reconstruct --part all": ("restored.npy", "restored.tsv"),
    "reconstruct --weights finetuned": ("deep.parquet",),
    "predict --part all": ("answers.csv", "answers.npy"),
    "predict --head regressor --data numbers.csv --target y0,y1": ("values.parquet",),
    "score --part all": ("scores.csv", "scored.parquet"),
    "score --against strange.npy --count 3": ("against.csv",),
}


def write_rows(folder: Path) -> None:
    random = np.random.default_rng(0)
    x = random.random((ROWS, 8))
    y = np.where(x[:, :4].sum(axis=1) > 2, "over", "under")
    y[::7] = ""
    header = ",".join([f"x{column}" for column in range(8)])
    cells = [",".join(map(repr, row)) for row in x.round(6).tolist()]
    lines = [f"{header},y", *(f"{line},{label}" for line, label in zip(cells, y, strict=True))]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    targets = [f"{row[0]:.6f},{row[1:3].sum():.6f}" for row in x]
    lines = [f"{header},y0,y1", *(f"{line},{two}" for line, two in zip(cells, targets, strict=True))]
    (folder / "numbers.csv").write_text("\n".join(lines) + "\n")
    np.save(folder / "strange.npy", 3 * random.random((2_000, 8)))
    np.save(folder / "few.npy", x[:2])


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A run with every head, on more rows than processes make in one turn; nothing is written into its folder."""
    shell = Shell(tmp_path_factory.mktemp("heads"))
    write_rows(shell.folder)
    shell.does(*PRETRAIN, "--data", "rows.csv", "--target", "y", "--run", "runs/it")
    shell.does("finetune", "--epochs", "1", "--train", "head")
    shell.does("finetune", "--head", "reconstruction", "--epochs", "1")
    shell.does("finetune", "--head", "regressor", "--data", "numbers.csv", "--target", "y0,y1", "--train", "head")
    return shell


def documents(text: str) -> list[Any]:
    """JSON documents that follow one another."""
    found = []
    while text := text.lstrip():
        document, end = json.JSONDecoder().raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def commands(count: str) -> list[str]:
    return [
        f"{command} --run runs/it --out {name.replace('.', f'-{count}.')} --json"
        for command, names in TABLES.items()
        for name in names
    ]


def test_every_table_of_two_processes_has_the_bytes_of_one(heads: Shell) -> None:
    for line in commands("one"):
        heads.does(*line.split())
    (heads.folder / "commands").write_text("\n".join(commands("two")))
    (code, out, err), other = end_ranks(start_script("rank_commands", heads.folder, 2, "commands"))
    assert (code, other) == (0, (0, "", "")), err
    assert len(documents(out)) == len(commands("two"))  # of rank 0 alone
    written = sorted(heads.folder.glob("*-one*"))
    assert len(written) == sum(map(len, TABLES.values())) + 2 * 3  # scores have files of features, and pictures
    for each in written:
        assert each.read_bytes() == each.with_name(each.name.replace("-one", "-two")).read_bytes(), each.name


def test_three_processes_measure_what_one_does(heads: Shell) -> None:
    lines = [
        "evaluate --run runs/it --data rows.csv --target y --target-kind classes --json",
        "evaluate --run runs/it --data numbers.csv --target y0,y1 --json",
    ]
    alone = [json.loads(heads.does(*line.split())) for line in lines]
    (heads.folder / "commands").write_text("\n".join(lines))
    (code, out, err), *others = end_ranks(start_script("rank_commands", heads.folder, 3, "commands"))
    assert (code, others) == (0, [(0, "", "")] * 2), err
    found = documents(out)
    assert found == alone
    assert {"accuracy", "finetuned_reconstruction"} <= found[0].keys() and "targets" in json.dumps(found[1])


def test_there_may_be_fewer_rows_than_processes(heads: Shell) -> None:
    words = ("encode", "--run", "runs/it", "--data", "few.npy", "--out")
    heads.does(*words, "few-one.csv")
    on_processes(heads, 3, *words, "few-three.csv")
    found = (heads.folder / "few-three.csv").read_bytes()
    assert found == (heads.folder / "few-one.csv").read_bytes() and found.count(b"\n") == 3


def test_values_that_are_not_finite_are_refused_as_by_one_process(fresh: Shell) -> None:
    linear = ("--activation", "linear", "--output-activation", "linear", "--corruption", "none")
    fresh.does("pretrain", "--layers", "8,4", "--data", "unlabelled.npy", *linear, "--weights", "untied")
    path = fresh.run / "layer1.safetensors"
    with opened(path, path.read_bytes()) as (tensors, described):
        replaced(fresh.run, path.name, pack({name: 1e3 * each for name, each in tensors.items()}, **described))
    x = np.random.default_rng(1).random((ROWS, 8))
    x[5_000] = 3e38  # of a turn of rank 1
    np.save(fresh.folder / "far.npy", x)
    words = ("encode", "--data", "far.npy", "--out", "codes.csv")
    alone = fresh(*words)
    (code, _, err), other = end_ranks(start_ranks(fresh, 2, *words))
    assert other == (0, "", "") and (code, err) == (alone.code, alone.err)
    assert code == 3 and "row 5000 " in err and not (fresh.folder / "codes.csv").exists()


@pytest.fixture(scope="module")
def many(heads: Shell) -> tuple[str, ...]:
    """A command that takes seconds."""
    np.save(heads.folder / "many.npy", np.random.default_rng(2).random((600_000, 8), dtype=np.float32))
    return ("reconstruct", "--run", "runs/it", "--data", "many.npy", "--out", "many.csv")


def test_a_signal_ends_all_with_one_message(heads: Shell, many: tuple[str, ...], tmp_path: Path) -> None:
    with start_torchrun(heads, tmp_path, 2, *many) as launcher:
        wait_for("reconstructing", log_of(tmp_path, 0), launcher)
        for rank in (0, 1):
            os.kill(process_of(launcher.pid, rank), signal.SIGINT)
        launcher.communicate(timeout=60)
    said = [log_of(tmp_path, rank).read_text().splitlines() for rank in (0, 1)]
    assert said[0][-1] == "error: interrupted" and said[1] == []
    assert not (heads.folder / "many.csv").exists()


@pytest.mark.parametrize("killed", [0, 1])
def test_where_a_process_is_killed_all_end_and_nothing_is_written(
    heads: Shell, many: tuple[str, ...], killed: int, tmp_path: Path
) -> None:
    with start_torchrun(heads, tmp_path, 2, *many) as launcher:
        wait_for("reconstructing", log_of(tmp_path, 0), launcher)
        os.kill(process_of(launcher.pid, killed), signal.SIGKILL)
        launcher.communicate(timeout=60)
    said = log_of(tmp_path, 1 - killed).read_text()
    assert launcher.returncode == 1 and said.count("error: ") == 1 and "Traceback" not in said
    assert f"error: rank {killed} (process" in said and "got its end: it was killed" in said
    assert not (heads.folder / "many.csv").exists()
