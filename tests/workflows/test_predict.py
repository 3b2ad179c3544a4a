"""Laws of what a head says of rows: the model's own answers, by row number and name, from the shell and from Python."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_cases import says
from shell import Shell

import stackae
from stackae.api.loading import load
from stackae.api.model import FinetunedModel
from stackae.errors import ConfigError, DataError, RunError
from stackae.runs import Run
from stackae.workflows.predict import load_head, predict_scaled


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def numbers(lines: list[dict[str, str]], names: list[str]) -> np.ndarray:
    return np.array([[line[name] for name in names] for line in lines]).astype(np.float32)


def predict(run: Any, x: Any, head: Any = None) -> stackae.Prediction:
    model = load(run, head)
    assert isinstance(model, FinetunedModel)
    return model.predict(x)


# ---- from Python


@pytest.mark.parametrize("form", ["float64", "float32", "float16", "tensor", "bfloat16", "integers"])
def test_rows_of_any_type_are_scaled_as_the_run_was(trained: Shell, form: str) -> None:
    run = Run.open(trained.run)
    x: Any = 10 * np.load(trained.folder / "unlabelled.npy")
    x = np.rint(x).astype(np.int16) if form == "integers" else x.astype(form) if form.startswith("float") else x
    if form in ("tensor", "bfloat16"):
        x = torch.from_numpy(x).to(getattr(torch, form.replace("tensor", "float64")))
    found = predict(trained.run, x)
    model, classes = run.load_head("classifier")
    plain = torch.as_tensor(x).float() if isinstance(x, torch.Tensor) else torch.from_numpy(x.astype(np.float32))
    with torch.no_grad():
        logits = model(run.load_scaling().transform(plain))
    assert found.kind == "classifier" and found.names == classes
    torch.testing.assert_close(found.values, logits.softmax(dim=1), rtol=1e-6, atol=1e-7)
    assert found.chosen is not None and torch.equal(found.chosen, logits.argmax(dim=1))
    assert found.classes == [classes[index] for index in logits.argmax(dim=1)]
    torch.testing.assert_close(found.values.sum(dim=1), torch.ones(60))


def test_a_model_is_loaded_by_a_path_or_a_run(trained: Shell) -> None:
    x = np.load(trained.folder / "unlabelled.npy")
    found = [predict(run, x) for run in (str(trained.run), trained.run, Run.open(trained.run))]
    assert all(torch.equal(found[0].values, other.values) for other in found[1:])
    assert isinstance(found[0], stackae.Prediction)


def test_rows_that_do_not_fit_are_refused(trained: Shell) -> None:
    with pytest.raises(DataError, match=r"expected rows of 8 numbers, got shape \(3, 7\)"):
        predict(trained.run, np.zeros((3, 7)))
    with pytest.raises(DataError, match="expected finite 32-bit numbers, got nan at row 1, column 2"):
        predict(trained.run, np.where(np.arange(16).reshape(2, 8) == 10, np.nan, 0))
    with pytest.raises(DataError, match="expected real numbers, got complex128"):
        predict(trained.run, np.zeros((2, 8), complex))
    with pytest.raises(ConfigError, match=r"head: expected one of .*, got 'classifer'; did you mean 'classifier'"):
        predict(trained.run, np.zeros((2, 8)), "classifer")
    with pytest.raises(RunError, match=r"expected a trained regressor, got none; run `stackae finetune --head regr"):
        predict(trained.run, np.zeros((2, 8)), "regressor")
    with pytest.raises(TypeError, match="classes: expected the prediction of a classifier, got that of a regressor"):
        _ = stackae.Prediction("regressor", ("y",), torch.zeros(1, 1), None).classes


def test_progress_is_told_of_every_batch(trained: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackae.workflows.predict.ROWS_AT_ONCE", 25)
    told: list[float] = []
    predict_scaled(load_head(Run.open(trained.run)), torch.zeros(60, 8), told.append)
    assert told == [pytest.approx(share) for share in (25 / 60, 50 / 60, 1)]


# ---- on the command line


def test_a_file_of_new_rows_is_answered_whole(trained: Shell) -> None:
    trained.does("predict", "--data", "unlabelled.npy", "--out", "answers.csv")
    found = predict(trained.run, np.load(trained.folder / "unlabelled.npy"))
    lines = table(trained.folder / "answers.csv")
    assert list(lines[0]) == ["row", "class", "p(0)", "p(1)", "p(2)"]
    assert [int(line["row"]) for line in lines] == list(range(60))
    assert [line["class"] for line in lines] == found.classes
    np.testing.assert_array_equal(numbers(lines, ["p(0)", "p(1)", "p(2)"]), found.values.numpy())
    trained.does("predict", "--data", "unlabelled.npy", "--out", "answers.npy")
    np.testing.assert_array_equal(np.load(trained.folder / "answers.npy"), found.values.numpy())


def test_of_the_runs_own_data_it_answers_a_part(trained: Shell) -> None:
    document = json.loads(trained.does("predict", "--json"))
    evaluated = json.loads(trained.does("evaluate", "--json"))
    predicted = np.array(evaluated["confusion"]).sum(axis=0).tolist()
    assert document["classes"] == [{"class": name, "rows": rows} for name, rows in zip("012", predicted, strict=True)]
    assert (document["part"], document["rows"], document["head"]) == ("test", 12, "classifier")
    assert Path(document["file"]) == trained.run / "predictions.csv" and Run.open(trained.run).holds("predictions.csv")
    for part, rows in (("train", 42), ("validation", 6), ("all", 60)):
        assert json.loads(trained.does("predict", "--part", part, "--json"))["rows"] == rows
    says(trained.refuses(2, "predict", "--part", "tests"), "--part: expected", "did you mean 'test'?")
    says(
        trained.does("predict"),
        "Predicted for 12 test rows of",
        "predicted   runs/first/predictions.csv",
        "stackae evaluate",
    )


def test_numbers_and_labels_are_answered_too(fresh: Shell) -> None:
    x = np.load(fresh.folder / "unlabelled.npy")
    np.savez(fresh.folder / "both.npz", x=x, y=np.float32(x[:, :2] > np.median(x[:, :2], axis=0)))
    fresh.does("pretrain", "--layers", "8,6,4", "--data", "both.npz", "--target-kind", "numbers")
    says(fresh.refuses(4, "predict"), "a classifier, a regressor or a multilabel head, got none; train one by `stackae")
    names = ["y0", "y1"]
    for head in ("regressor", "multilabel"):
        fresh.does("finetune", "--head", head)
        found = predict(fresh.run, x)
        assert found.kind == head and found.names == ("y0", "y1")  # the one that was trained last
        document = json.loads(fresh.does("predict", "--part", "all", "--json"))
        lines = table(fresh.run / "predictions.csv")
        assert document["head"] == head and document["rows"] == len(lines) == 60
        if head == "regressor":
            assert found.chosen is None and list(lines[0]) == ["row", *names]
            shown = numbers(lines, names)
            first = document["targets"][0]
            assert first["target"] == "y0" and first["mean"] == pytest.approx(shown[:, 0].mean(), rel=1e-5)
            assert (first["lowest"], first["highest"]) == (shown[:, 0].min(), shown[:, 0].max())
        else:
            assert found.chosen is not None and list(lines[0]) == ["row", *names, "p(y0)", "p(y1)"]
            shown, chosen = numbers(lines, ["p(y0)", "p(y1)"]), numbers(lines, names).astype(int)
            assert chosen.tolist() == found.chosen.tolist() == (shown > 0.5).astype(int).tolist()
            rows = zip(names, chosen.sum(axis=0).tolist(), strict=True)
            assert document["labels"] == [{"label": name, "rows": count} for name, count in rows]
        np.testing.assert_array_equal(shown, found.values.numpy())
    assert json.loads(fresh.does("predict", "--head", "regressor", "--json"))["head"] == "regressor"
    fresh.does("finetune", "--head", "reconstruction")
    assert json.loads(fresh.does("predict", "--json"))["head"] == "multilabel"  # of those that predict, the last


def test_new_rows_are_answered_by_the_names_of_their_columns_and_need_no_target(fresh: Shell) -> None:
    fresh.does("pretrain", "--layers", "8,4", "--data", "labelled.csv", "--target", "kind", "--run", "runs/with space")
    says(fresh.refuses(4, "predict"), "train one by `stackae finetune --head classifier --run '", "runs/with space'`")
    fresh.does("finetune")
    header, *rows = [line.split(",") for line in (fresh.folder / "labelled.csv").read_text().splitlines()]
    orders = {"same": range(9), "bare": range(8), "turned": [8, *range(7, -1, -1)]}
    answers = {}
    for name, order in orders.items():
        lines = [",".join(line[column] for column in order) for line in (header, *rows)]
        (fresh.folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
        for command in ("predict", "encode", "reconstruct"):
            result = fresh(command, "--data", f"{name}.csv", "--out", "made.csv", "--force")
            assert result.code == 0 and "target" not in result.err
            answers[name, command] = (fresh.folder / "made.csv").read_text()
    for command in ("predict", "encode", "reconstruct"):
        assert answers["same", command] == answers["bare", command] == answers["turned", command]
        assert len(answers["same", command].splitlines()) == 61
