"""Commands that read other data than a run's own, or its own after they changed: columns by name, rows as they were."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from shell import Shell

from stackae.data import load_data
from stackae.data.fingerprint import fingerprint
from stackae.data.run_rows import read_rows
from stackae.errors import DataError
from stackae.runs import Run, latest
from stackae.runs.kept_data import known_of
from stackae.runs.manifest import Manifest
from stackae.workflows.resume import Moved, same_data

NAMES = ["temp", "press", "flow", "rpm", "level"]
ORDERS = {"same": [0, 1, 2, 3, 4], "swapped": [0, 1, 3, 2, 4], "sorted": [2, 4, 1, 3, 0]}
KEPT = ("data.json", "division.safetensors", "finetune-data.json", "finetune-division.safetensors")
generator = np.random.default_rng(0)


def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Five measurements of two causes, and the sign of the first."""
    z = generator.standard_normal((count, 2))
    columns = [20 + z[:, 0], 1000 + 50 * z[:, 0], 0.5 + 0.1 * z[:, 1], 300 + 30 * z[:, 1], 7 + z[:, 0] - z[:, 1]]
    return np.stack(columns, axis=1).round(5), (z[:, 0] > 0).astype(int)


def write(path: Path, x: np.ndarray, y: np.ndarray | None, order: list[int] = ORDERS["same"]) -> None:
    lines = [",".join([NAMES[column] for column in order] + ["state"] * (y is not None))]
    for at, row in enumerate(x.tolist()):
        lines.append(",".join([repr(row[column]) for column in order] + ([] if y is None else [["off", "on"][y[at]]])))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def sensors(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A run that was pretrained and fine-tuned on sensors.csv, and new rows in several orders of columns."""
    shell = Shell(tmp_path_factory.mktemp("sensors"))
    x, y = rows(600)
    write(shell.folder / "sensors.csv", x, y)
    shell.does("pretrain", "--layers", "5,4,2", "--data", "sensors.csv", "--target", "state", STACKAE_EPOCHS="4")
    tuned(shell, shell.run)
    x, y = rows(400)
    for name, order in ORDERS.items():
        write(shell.folder / f"{name}.csv", x, y, order)
    write(shell.folder / "unlabelled.csv", x, None)
    return shell


@pytest.fixture
def own(sensors: Shell) -> Path:
    """sensors.csv, which is put back afterwards."""
    path = sensors.folder / "sensors.csv"
    content = path.read_text()
    yield path
    path.write_text(content)


def tuned(shell: Shell, run: Path) -> None:
    shell.does("finetune", "--data", "sensors.csv", "--run", run, "--learning-rate", "0.05", STACKAE_EPOCHS="20")


def document(shell: Shell, *arguments: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(shell.does(*arguments, "--json"))
    return found


def test_no_command_minds_the_order_of_columns(sensors: Shell) -> None:
    evaluated, scored, codes, restored = [], [], [], []
    for name in ORDERS:
        found = document(sensors, "evaluate", "--data", f"{name}.csv")
        evaluated.append([found[key] for key in ("accuracy", "rows", "reconstruction", "confusion")])
        found = document(sensors, "score", "--data", f"{name}.csv", "--false-alarm-rate", "0.1")
        scored.append([found["methods"], found["most_suspicious"][0]["score"]])
        sensors.does("encode", "--data", f"{name}.csv", "--out", "codes.npy", "--force")
        codes.append((sensors.folder / "codes.npy").read_bytes())
        sensors.does("reconstruct", "--data", f"{name}.csv", "--out", "restored.csv", "--force")
        restored.append((sensors.folder / "restored.csv").read_text())
    for found in (evaluated, scored, codes, restored):
        assert found[0] == found[1] == found[2]
    assert evaluated[0][0] > 0.8 and evaluated[0][1] == 400
    assert restored[0].splitlines()[0] == "row," + ",".join(NAMES)


@pytest.mark.parametrize("name", ["swapped", "sorted"])
def test_finetuning_on_other_columns_is_that_on_the_same(sensors: Shell, name: str) -> None:
    kept = {file: (sensors.run / file).read_bytes() for file in ("classifier.safetensors", "config.toml")}
    found = []
    for file in ("same", name):
        found.append(document(sensors, "finetune", "--data", f"{file}.csv"))
        found[-1]["weights"] = (sensors.run / "classifier.safetensors").read_bytes()
    assert found[0]["weights"] == found[1]["weights"] != kept["classifier.safetensors"]
    tuned(sensors, sensors.run)


def test_other_data_are_evaluated_whole_and_their_target_is_the_runs(sensors: Shell) -> None:
    found = document(sensors, "evaluate", "--data", "same.csv")
    path = sensors.folder / "same.csv"
    assert (found["part"], found["rows"], found["which"]) == ("all", 400, f"all 400 rows of {path}")
    assert document(sensors, "evaluate")["which"] == f"120 test rows of {sensors.folder / 'sensors.csv'}"
    told = sensors("evaluate", "--data", "unlabelled.csv")
    assert "has no column state, the target of the run: its rows are taken as unlabelled" in told.err
    assert "Reconstruction of all 400 rows of" in told.out and "accuracy" not in told.out


def test_rows_that_cannot_be_read_cost_the_others_nothing(sensors: Shell) -> None:
    lines = (sensors.folder / "same.csv").read_text().splitlines()
    cells = lines[8].split(",")
    (sensors.folder / "gap.csv").write_text("\n".join([*lines[:8], ",".join([cells[0], "x", *cells[2:]]), *lines[9:]]))
    result = sensors("score", "--data", "gap.csv", "--out", "gap-scores.csv", "--json")
    assert json.loads(result.out)["rows"] == 399
    assert "1 of 400 rows left out" in result.err and "row 7, line 9: column 'press' (2): 'x'" in result.err
    table = np.loadtxt(sensors.folder / "gap-scores.csv", delimiter=",", skiprows=1)
    whole = document(sensors, "score", "--data", "same.csv", "--out", "same-scores.csv")
    assert whole["rows"] == 400
    expected = np.loadtxt(sensors.folder / "same-scores.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(table, np.delete(expected, 7, axis=0), rtol=1e-9)  # distances round by their batch
    assert table[7, 0] == 8


def test_after_ten_rows_are_taken_away_no_test_row_was_trained_on(sensors: Shell, own: Path) -> None:
    run = Run.open(sensors.run)
    before = load_data(run.config.data, run.load_scaling())
    lines = own.read_text().splitlines()
    own.write_text("\n".join([lines[0], *lines[11:]]) + "\n")
    result = sensors("evaluate", "--json")
    assert "changed since the run was trained: 10 of 600 rows are gone, 0 are new" in result.err
    read = read_rows(run.config.data, known_of(run), run.load_scaling())
    trained_on = {tuple(row) for part in (before.train, before.validation) for row in part.x[:].tolist()}
    tested = [tuple(row) for row in read.x[:].tolist()]
    assert json.loads(result.out)["rows"] == len(tested) > 100
    assert sum(row in trained_on for row in tested) == 0
    assert {*tested} <= {tuple(row) for row in before.test.x[:].tolist()}
    anew = load_data(run.config.data, run.load_scaling()).test.x[:].tolist()  # as every command divided them before
    assert sum(tuple(row) in trained_on for row in anew) > 50
    for command in ("score", "encode", "reconstruct", "predict", "finetune"):
        assert "changed since the run was trained" in sensors(command).err
    own.write_text("\n".join(lines) + "\n")
    tuned(sensors, sensors.run)


def test_a_run_without_these_files_is_read_as_before(sensors: Shell, tmp_path: Path) -> None:
    whole = document(sensors, "evaluate")
    older = tmp_path / "older"
    shutil.copytree(sensors.run, older)
    manifest = Run.open(older).manifest
    files = {name: entries for name, entries in manifest.files.items() if name not in KEPT}
    assert len(files) == len(manifest.files) - len(KEPT)
    (older / "manifest.json").write_bytes(Manifest(files, manifest.made_from).pack())
    result = sensors("evaluate", "--run", older, "--json")
    found = json.loads(result.out)
    assert (found["accuracy"], found["which"]) == (whole["accuracy"], whole["which"])
    assert "keeps no names of its columns" in result.err and "keeps no record of its rows" in result.err


def test_an_index_is_told_and_left_out_where_it_is_asked_for(fresh: Shell) -> None:
    x, y = rows(40)
    write(fresh.folder / "plain.csv", x, y)
    lines = (fresh.folder / "plain.csv").read_text().splitlines()
    for name, cell in (("counted", lambda at: str(at)), ("text", lambda at: f"P{at:04d}")):
        numbered = [f"id,{lines[0]}", *(f"{cell(at)},{line}" for at, line in enumerate(lines[1:]))]
        (fresh.folder / f"{name}.csv").write_text("\n".join(numbered))
    (fresh.folder / "unnamed.csv").write_text((fresh.folder / "counted.csv").read_text().removeprefix("id"))
    arguments = ("pretrain", "--target", "state", "--layers")
    told = fresh(*arguments, "6,2", "--data", "counted.csv")
    assert "column 'id' counts the rows, 0 to 39, as an index does" in told.err and "--drop id" in told.err
    told = fresh(*arguments, "5,2", "--data", "text.csv", "--dry-run")
    assert "column 'id' is left out: a text of its own in each row: no category; --categorical id keeps it" in told.err
    weights = []
    for name, more in (("plain", ()), ("counted", ("--drop", "id")), ("text", ()), ("unnamed", ())):
        fresh.does(*arguments, "5,2", "--data", f"{name}.csv", *more, "--run", f"runs/{name}")
        weights.append((fresh.folder / "runs" / name / "layer1.safetensors").read_bytes())
    assert len({*weights}) == 1
    told = fresh("score", "--run", "runs/text", "--data", "counted.csv")
    assert told.code == 0 and "left out" not in told.err
    checked = fresh("data", "check", "unnamed.csv", "--target", "state").out
    assert "the first column has no name: it is left out, as an index; name it to keep it" in checked


def test_a_finetuning_that_is_resumed_keeps_the_division_and_refuses_other_data(
    sensors: Shell, own: Path, tmp_path: Path
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(sensors.run, run)
    lines = own.read_text().splitlines()
    own.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    assert document(sensors, "finetune", "--run", run)["test_rows"] == 120
    left = latest(run, "finetune", lambda error: None)
    assert left is not None
    same = same_data(left.state.work, Moved(), Run.open(run))  # as resume reads them, to refuse others
    assert fingerprint(same) == left.state.work.data and len(same.test.x) == 120
    own.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="expected the rows and labels that this run began with, got others"):
        same_data(left.state.work, Moved(), Run.open(run))


@pytest.mark.parametrize(("name", "word"), [("it's $HOME; b", "don't"), ('a "b"', "`x` *"), ("a", "1,000")])
def test_options_that_a_refusal_names_are_quoted_for_a_shell(fresh: Shell, name: str, word: str) -> None:
    lines = [f'{at},"{word if at == 3 else at % 7}"' for at in range(20)]
    (fresh.folder / "odd.csv").write_text("\n".join(['b,"{}"'.format(name.replace('"', '""')), *lines]))
    command = ("pretrain", "--data", "odd.csv", "--layers", "auto,2", "--dry-run")
    remedy = fresh.refuses(3, *command).splitlines()[-1]
    said = [each.rstrip(",") for each in shlex.split(remedy)]
    offered = [said[place : place + 2] for place, each in enumerate(said) if each.startswith("--")]
    expected = {"--missing-values": word, "--categorical": name, "--drop": name}
    assert dict(offered) == {option: value for option, value in expected.items() if "," not in value}
    for option in offered:
        fresh.does(*command, *option)
