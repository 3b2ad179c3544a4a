"""`stackae export` and ``stackae.export``: what is written, what a table's columns become, and what is refused."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_cases import says
from face_cases import NAMES, QUICK, X, Y, trained_stack
from shell import Shell

import stackae
from stackae.errors import ConfigError, SetupError, VerificationError
from stackae.exporting import formats, graphs
from stackae.exporting.formats import FORMATS

PEOPLE = ["age", "income", "job", "size", "member", "since"]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A table of every kind of column, cells missing, with a stack and a classifier on it."""
    folder = tmp_path_factory.mktemp("people")
    draw = np.random.default_rng(0)
    jobs, sizes, truths = ["clerk", "nürse", "smith, iron", ""], ["small", "medium", "large", ""], ["yes", "NO", ""]
    with (folder / "people.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*PEOPLE, "kind"])
        for row in range(90):
            age = round(draw.normal(40, 10), 1)
            cells = [
                age if row % 9 else "",
                1000 * row,
                *(each[draw.integers(len(each))] for each in (jobs, sizes, truths)),
            ]
            writer.writerow([*cells, f"20{row % 15 + 10:02d}-03-{row % 28 + 1:02d}", "ab"[age > 40]])
    shell = Shell(folder)
    shell.does(
        "pretrain", "--layers", "auto,6,4", "--data", "people.csv", "--target", "kind", "--missing", "indicator",
        "--ordinal", "size:small<medium<large",
    )  # fmt: skip
    shell.does("finetune", "--epochs", "5")
    return shell


def cells_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_columns_of_a_table_are_inputs_by_name(people: Shell) -> None:
    """What `stackae predict` says of cells as they are in the file, unseen texts among them, the graph says too."""
    import onnxruntime

    rows = cells_of(people.folder / "people.csv")
    rows[0] |= {"job": "astronaut", "member": "Yes", "age": ""}
    with (people.folder / "new.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, PEOPLE, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    out = people.does("export", "head", "--out", "head.onnx", "--force")
    assert out.splitlines()[-1].startswith("next        stackae report runs/")
    says(out, "inputs      age, income, job, size, member, since", "outputs     label, probabilities", "verified ")
    people.does("predict", "--data", "new.csv", "--out", "found.csv", "--force")
    session = onnxruntime.InferenceSession(people.folder / "head.onnx", providers=["CPUExecutionProvider"])
    kinds = {each.name: each.type for each in session.get_inputs()}
    assert kinds == {
        name: "tensor(string)" if name in ("job", "size", "member") else "tensor(double)" for name in PEOPLE
    }
    given: dict[str, Any] = {name: np.array([[row[name]] for row in rows], dtype=object) for name in PEOPLE}
    for name in ("age", "income"):
        given[name] = np.array([[float(cell or "nan")] for [cell] in given[name]])
    given["since"] = given["since"].astype("datetime64[s]").astype(np.float64)
    label, probabilities = session.run(None, given)
    found = cells_of(people.folder / "found.csv")
    assert label.tolist() == [row["class"] for row in found]
    wanted = np.array([[float(row["p(a)"]), float(row["p(b)"])] for row in found])
    np.testing.assert_allclose(probabilities, wanted, atol=1e-5)
    said = json.loads(session.get_modelmeta().custom_metadata_map["stackae"])
    assert [each["name"] for each in said["inputs"]] == PEOPLE and said["outputs"][0]["names"] == ["a", "b"]
    assert said["inputs"][3]["categories"] == ["small", "medium", "large"]


def test_the_page_beside_the_file_runs_it(people: Shell) -> None:
    for name in ("scorer.onnx", "encoder.pt2", "head.npz", "encoder.safetensors"):
        people.does("export", name.partition(".")[0], "--out", name, "--force")
        page = (people.folder / f"{name}.md").read_text()
        says(page, f"# {name}", "real rows, in batches of 1, 7, 256", "1e-05 is allowed")
        [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        last = re.findall(r"^([\w, ]+?),? = ", code, re.MULTILINE)[-1].split(", ")
        each = "len({})" if name.endswith(("z", "s")) else "{}.shape"
        shown = f"{code}\nprint({', '.join(each.format(what) for what in last)})"
        done = subprocess.run(
            [sys.executable, "-c", shown], cwd=people.folder, capture_output=True, text=True, check=True
        )
        assert done.stdout in ("(1,) (1, 12) ()\n", "torch.Size([1, 4])\n", "5\n", "7\n")


def test_a_program_reads_features_and_says_which(people: Shell) -> None:
    import torch

    people.does("export", "encoder", "--layer", "1", "--out", "one.pt2", "--force")
    extra = {"stackae.json": ""}
    module = torch.export.load(people.folder / "one.pt2", extra_files=extra).module()
    said = json.loads(extra["stackae.json"])
    assert module(torch.zeros(5, len(said["features"]), dtype=torch.float64))[0].shape == (5, 6)
    assert said["features"][2:5] == ["income", "job=clerk", "job=nürse"] and said["columns"][2]["kind"] == "category"


def test_without_a_name_it_is_a_file_of_the_run(people: Shell) -> None:
    result = people.does("export", "decoder", "--json")
    said = json.loads(result)
    assert Path(said["file"]) == people.run / "decoder.onnx" and said["difference"] <= said["bound"] == 1e-5
    assert (people.run / "decoder.onnx.md").is_file()
    people.does("runs", "verify")


def test_weights_of_eight_bits_are_smaller_and_their_loss_is_told(people: Shell) -> None:
    result = people.does("export", "head", "--int8", "--out", "small.onnx", "--force")
    says(result, "8 bits  ", "of the rows labelled otherwise")
    says(
        (people.folder / "small.onnx.md").read_text(), "Its weights are 8-bit integers", "of the rows have other labels"
    )
    import onnx

    types = {each.op_type for each in onnx.load(people.folder / "small.onnx").graph.node}
    assert "MatMulInteger" in types or "DynamicQuantizeMatMul" in types


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (("encodr",), 2, "part: expected one of encoder, .*, got 'encodr'; did you mean 'encoder'"),
        (("encoder", "--out", "x.txt"), 2, "--out: expected .*.onnx.*pt2.*, got"),
        (("scorer", "--out", "x.npz"), 2, "expected dense layers for a file of arrays, got a Scoring; choose .onnx"),
        (("encoder", "--out", "no/x.pt2"), 2, "expected a folder that exists"),
        (("encoder", "--layer", "3"), 2, "--layer: expected 1 to 2, got 3"),
        (("encoder", "--out", "x.pt2", "--int8"), 2, "--int8: expected an .onnx file, got x.pt2"),
        (("encoder", "--weights", "tuned"), 2, "--weights: expected pretrained or finetuned"),
        (("decoder", "--weights", "finetuned", "--out", "x.pt2"), 4, "expected a trained reconstruction, got none"),
        (("head", "--head", "regressor", "--out", "x.pt2"), 4, "expected a trained regressor, got none"),
        (("scorer", "--false-alarm-rate", "2"), 2, "--false-alarm-rate: expected a number between 0 and 1"),
    ],
)
def test_what_cannot_be_exported_is_refused(people: Shell, options: tuple[str, ...], code: int, sentence: str) -> None:
    result = people("export", *options)
    assert result.code == code and re.search(sentence, " ".join(result.err.split())), result.err
    assert not [*people.folder.glob("x.*")]


def test_a_file_that_is_there_stays(people: Shell) -> None:
    (people.folder / "there.pt2.md").write_text("mine")
    result = people("export", "encoder", "--out", "there.pt2")
    assert result.code == 2 and "expected a new file, got there.pt2.md, which exists" in " ".join(result.err.split())
    assert not (people.folder / "there.pt2").exists()


def test_a_file_that_gives_something_else_is_not_written(people: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    true = graphs.Scaled.forward
    monkeypatch.setattr(graphs.Scaled, "forward", lambda self, x: true(self, x) * 1.01)
    result = people("export", "encoder", "--out", "wrong.pt2")
    assert result.code == 1 and "expected a file whose codes differs from stackae's by at most 1e-05" in " ".join(
        result.err.split()
    )
    assert not [*people.folder.glob("wrong*")]


def test_a_package_that_is_missing_is_named(people: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    true = formats.find_spec
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "onnxscript" else true(name))
    with pytest.raises(
        SetupError, match=r"onnx, onnxscript, onnxruntime for ONNX, .* without onnxscript; .*stackae.export."
    ):
        FORMATS[".onnx"].check()


def test_python_exports_stacks_and_models(tmp_path: Path) -> None:
    stack = trained_stack()
    found = stackae.export(stack, "encoder", tmp_path / "encoder.pt2", X)
    assert found.largest <= 1e-5 and found.differences.keys() == {"codes"}
    model = stackae.finetune(stack, X, NAMES[Y], head="classifier", **QUICK)
    for part, outputs in (("head", {"probabilities"}), ("encoder", {"codes"})):
        assert stackae.export(model, part, tmp_path / f"{part}2.pt2", X).differences.keys() == outputs
    deep = stackae.finetune(stack, X, head="reconstruction", **QUICK)
    for part in ("autoencoder", "decoder", "head"):
        assert stackae.export(deep, part, tmp_path / f"{part}3.pt2", X, layer=None).differences.keys() == {
            "reconstruction"
        }
    assert len([*tmp_path.glob("*.md")]) == 6


def test_python_refuses_what_has_no_such_part(tmp_path: Path) -> None:
    stack = trained_stack()
    model = stackae.finetune(stack, X, NAMES[Y], head="classifier", **QUICK)
    for made, part, more, sentence in (
        (stack, "head", {}, "expected encoder, decoder or autoencoder of a stack, got head; give a model"),
        (stack, "scorer", {}, "got 'scorer'; scores of anomalies are exported from runs"),
        (stack, "encoder", {"layer": 3}, "layer: expected 1 to 2"),
        (model, "decoder", {}, "expected encoder or head of a classifier, got decoder; give its stack"),
        (X, "encoder", {}, "model: expected a PretrainedStack or FinetunedModel, got ndarray"),
    ):
        with pytest.raises(ConfigError, match=re.escape(sentence)):
            stackae.export(made, part, tmp_path / "x.pt2", X, **more)
    assert not [*tmp_path.iterdir()] and VerificationError.exit_code == 1
