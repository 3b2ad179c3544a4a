"""Laws of a classifier's figures: they are scikit-learn's, and classes that it was not trained on stand apart."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
from cli_cases import PNG, replaced, says, settings
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from shell import Shell
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, precision_recall_fscore_support

from stackae.config import DataConfig
from stackae.config.values import validated
from stackae.data import Part
from stackae.data.classes import match_classes, of_classes, trained_classes
from stackae.metrics import MOST_CONFUSED, accuracy_text, classifier_report, wilson, with_interval
from stackae.models.files import opened, pack
from stackae.plots import runs as pictures
from stackae.runs import Run
from stackae.workflows.inputs import DataRequest, requested

WELL = ("--epochs", "60", "--learning-rate", "0.05", "--batch-size", "8")


@given(st.integers(1, 10_000), st.data())
def test_intervals_are_those_of_scipy(rows: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, rows))
    found, wanted = wilson(right / rows, rows), binomtest(right, rows).proportion_ci(0.95, "wilson")
    assert found is not None and (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)
    assert 0 <= found.low <= right / rows <= found.high <= 1


def test_a_share_is_printed_with_its_rows_and_interval() -> None:
    assert accuracy_text(1.0, 5) == "100.00 % of 5 (56.6 to 100.0)"
    assert (accuracy_text(None, 5), accuracy_text(0.5, None)) == ("-", "50.00 %")
    assert with_interval("accuracy", None, 0) == {"accuracy": None, "accuracy_low": None, "accuracy_high": None}


@given(st.data(), st.integers(2, 6), st.integers(1, 40))
def test_the_figures_are_those_of_scikit_learn(data: st.DataObject, n_classes: int, rows: int) -> None:
    labels = st.lists(st.integers(0, n_classes - 1), min_size=rows, max_size=rows)
    y, predicted = (np.array(data.draw(labels)) for _ in range(2))
    report = classifier_report(torch.from_numpy(y), torch.from_numpy(predicted), n_classes)
    assert report.confusion is not None and report.rows == rows
    np.testing.assert_array_equal(report.confusion, confusion_matrix(y, predicted, labels=range(n_classes)))
    present = np.unique(y)
    shares = precision_recall_fscore_support(y, predicted, labels=present, zero_division=0)
    assert report.accuracy == pytest.approx(accuracy_score(y, predicted))
    with warnings.catch_warnings():  # of drawn labels scikit-learn warns where a class is absent, which is allowed here
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true|A single label was found")
        assert report.balanced_accuracy == pytest.approx(balanced_accuracy_score(y, predicted))
    assert report.macro_precision == pytest.approx(shares[0].mean())
    for place, name in enumerate(present):
        mine = report.classes[name]
        assert (mine.precision, mine.recall) == pytest.approx((shares[0][place], shares[1][place]))
        assert mine.rows == shares[3][place] and mine.predicted == (predicted == name).sum()
        assert mine.never_predicted == (name not in predicted)
    for name in set(range(n_classes)) - set(present.tolist()):
        mine = report.classes[name]
        assert (mine.rows, mine.recall, mine.never_predicted) == (0, None, False)
        assert mine.precision == (0.0 if mine.predicted else None)


def test_classes_that_were_not_trained_count_in_no_figure() -> None:
    y, predicted = torch.tensor([0, 1, 1, 2, 3, 3, 3]), torch.tensor([0, 1, 0, 1, 0, 0, 1])
    apart, own = classifier_report(y, predicted, 2), classifier_report(y[:3], predicted[:3], 2)
    assert apart.confusion is not None and own.confusion is not None and torch.equal(apart.confusion, own.confusion)
    assert apart[1:5] == own[1:5] and apart.rows == own.rows == 3
    assert apart.unseen is not None and apart.unseen.tolist() == [[0, 1], [2, 1]] and apart.unseen_rows == [1, 3]
    nothing = classifier_report(y[3:], predicted[3:], 2)
    assert nothing[:4] == (0, None, None, None) and nothing.unseen_rows == [1, 3]


def test_of_many_classes_there_is_no_matrix() -> None:
    y = torch.arange(MOST_CONFUSED + 1)
    report = classifier_report(y, y.flip(0), MOST_CONFUSED + 1)
    assert report.confusion is None and report.unseen is None
    assert report.accuracy == pytest.approx(1 / (MOST_CONFUSED + 1)) and len(report.classes) == MOST_CONFUSED + 1


def test_labels_of_other_data_are_matched_by_name() -> None:
    y = torch.tensor([0, 1, -1, 0, 2])
    matched = match_classes(y, ("cat", "dog", "eel"), ("dog", "bird", "cat"))
    assert matched.y is not None and matched.y.tolist() == [2, 0, -1, 2, 3] and matched.unseen == ("eel",)
    matched = match_classes(y[:4], ("cat", "dog", "eel"), ("dog", "bird", "cat"), {"cat"})
    assert matched.y is not None and matched.y.tolist() == [3, 0, -1, 3] and matched.unseen == ("cat",)
    assert match_classes(None, ("a",), ("a",)) == (None, ())


def test_a_head_has_the_classes_of_the_training_rows() -> None:
    y, names = torch.tensor([3, -1, 1, 3]), ("a", "b", "c", "d")
    assert trained_classes(y, names) == ("b", "d")
    part = of_classes(Part(torch.zeros(3, 1), torch.tensor([0, 1, 3])), names, ("b", "d"))
    assert part.y is not None and part.y.tolist() == [-1, 0, 1]
    assert trained_classes(None, names) == trained_classes(torch.zeros(2, 1), names) == names


def test_a_picture_has_a_row_for_each_class_that_was_not_trained() -> None:
    confusion, unseen = torch.tensor([[3, 1], [0, 2]]), torch.tensor([[4, 0]])
    drawn = [
        pictures.confusion_matrix(confusion, ("a", "b"), "test", *more)
        for more in ((), (unseen, ("$x^",)), (unseen, ("\x1b[2J\n" + 1000 * "w",)))
    ]
    assert all(each.startswith(PNG) for each in drawn) and len(set(drawn)) == 3


# ---- on the command line


def test_rows_of_classes_left_out_are_not_wrong(fresh: Shell) -> None:
    fresh.does("pretrain", "--layers", "8,6,4", "--data", "labelled.npz", "--leave-out", "0")
    tuned = fresh("finetune", *WELL, "--json")
    says(tuned.err, "2 classes; no training row is of class 0")
    document = json.loads(tuned.out)
    evaluated = json.loads(fresh.does("evaluate", "--json"))
    assert evaluated["classes"] == ["1", "2"] and evaluated["labelled_rows"] == document["test_rows"] == 8
    assert evaluated["accuracy"] == document["accuracy"] == pytest.approx(np.trace(evaluated["confusion"]) / 8)
    assert evaluated["accuracy"] > 0.9  # of three classes, with the left-out one among them, it cannot exceed 2/3
    assert evaluated["unseen_classes"] == document["unseen_classes"] == [{"class": "0", "rows": 4}]
    assert np.sum(evaluated["unseen_confusion"]) == 4 and evaluated["rows"] == 12
    says(
        fresh.does("evaluate"),
        "100.00 % of 8 labelled rows (67.6 to 100.0): 12 test rows of",
        "4 of classes that were not trained stand apart",
        "predicted as",
    )
    says(fresh.does("finetune"), "Classes that were not trained, which count in no figure")


def test_a_head_of_an_earlier_version_keeps_its_place_for_them(fresh: Shell) -> None:
    fresh.does("pretrain", "--layers", "8,4", "--data", "labelled.npz", "--leave-out", "0")
    fresh.does("finetune", *WELL)
    after = json.loads(fresh.does("evaluate", "--json"))
    path = fresh.run / "classifier.safetensors"
    with opened(path, path.read_bytes()) as (tensors, described):
        for name in [name for name in tensors if name.startswith("head.")]:
            first = torch.full_like(tensors[name][:1], 0 if "weight" in name else -9)
            tensors[name] = torch.cat([first, tensors[name]])
        content = pack(tensors, **{**described, "sizes": [8, 4, 3], "classes": ["0", "1", "2"]})
    replaced(fresh.run, path.name, content)
    before = json.loads(fresh.does("evaluate", "--json"))
    for name in ("accuracy", "balanced_accuracy", "macro_precision", "labelled_rows", "unseen_classes"):
        assert before[name] == after[name]
    assert before["classes"] == ["0", "1", "2"]


def test_a_class_that_only_a_test_file_has_stands_apart(trained: Shell) -> None:
    with np.load(trained.folder / "labelled.npz") as arrays:
        x, y = arrays["x"], arrays["y"].copy()
    own = json.loads(trained.does("evaluate", "--data", "labelled.npz", "--part", "train", "--json"))
    for name, labels in (("new.npz", np.where(np.arange(60) % 2 == 0, 7, y)), ("all.npz", np.full(60, 7))):
        np.savez(trained.folder / name, x=x, y=labels)
    document = json.loads(trained.does("evaluate", "--data", "new.npz", "--part", "train", "--json"))
    assert document["labelled_rows"] + document["unseen_classes"][0]["rows"] == document["rows"]
    assert document["unseen_classes"][0]["class"] == "7" and own["unseen_classes"] == []
    nothing = json.loads(trained.does("evaluate", "--data", "all.npz", "--part", "train", "--json"))
    assert nothing["accuracy"] is None and nothing["unseen_classes"][0]["rows"] == nothing["rows"]
    text = trained.does("evaluate", "--data", "all.npz", "--part", "train")
    says(text, "accuracy    - of 0 labelled rows", "balanced    -")


def test_a_class_that_is_never_predicted_is_said(fresh: Shell) -> None:
    generator = np.random.default_rng(0)
    y = np.where(np.arange(400) % 40 == 0, "fault", "ok")
    np.savez(fresh.folder / "rare.npz", x=generator.random((400, 8)), y=y)
    fresh.does("pretrain", "--layers", "8,4", "--data", "rare.npz")
    tuned = fresh.does("finetune", "--train", "head", "--weight-decay", "1", "--epochs", "100")
    document = json.loads(fresh.does("evaluate", "--json"))
    assert document["never_predicted"] == ["fault"] and document["accuracy"] == pytest.approx(78 / 80)
    assert document["balanced_accuracy"] == 0.5 and document["macro_precision"] == pytest.approx(78 / 160)
    assert document["per_class"] == [
        {"class": "fault", "rows": 2, "predicted": 0, "recall": 0.0, "precision": 0.0},
        {"class": "ok", "rows": 78, "predicted": 80, "recall": 1.0, "precision": 78 / 80},
    ]
    sentence = "class 'fault' is never predicted: none of its 2 rows is found"
    says(tuned, sentence, "--class-weight balanced", "50.00 %")
    says(
        fresh.does("evaluate"), sentence, "balanced    50.00 %, the mean recall of its classes; mean precision 48.75 %"
    )


def test_of_many_classes_the_worst_are_shown(fresh: Shell) -> None:
    y = np.arange(200) % 25
    np.savez(fresh.folder / "many.npz", x=np.eye(25)[y], y=y)
    fresh.does("pretrain", "--layers", "25,20", "--data", "many.npz")
    text = fresh.does("finetune", "--epochs", 1)
    title = "Classes of test rows: the 20 of 25 with the lowest recall"
    says(text, title)
    lines = text[text.index(title) :].splitlines()[4:]
    recalls = [float(line.split("│")[4].split()[0]) for line in lines if line.startswith("│")]
    assert len(recalls) == 20 and recalls == sorted(recalls)


def test_labels_of_outliers_are_told(fresh: Shell) -> None:
    x, y = np.load(fresh.folder / "unlabelled.npy"), np.where(np.arange(60) % 3 == 0, -1, 1)
    np.savez(fresh.folder / "outliers.npz", x=x, y=y)
    fresh.does("pretrain", "--layers", "8,4", "--data", "outliers.npz")
    sentence = fresh.refuses(3, "finetune")
    says(
        sentence, "expected at least two classes, got one alone among 32 labelled training rows; 16 training rows have"
    )
    says(sentence, "where -1 is a class, as in labels of +1 for normal rows and -1 for outliers, write it as 0")


def test_background_classes_count_as_unlabelled(fresh: Shell) -> None:
    fresh.does("pretrain", "--layers", "8,6,4", "--data", "labelled.csv", "--target", "kind")
    result = fresh("finetune", *WELL, "--background", "a")
    says(result.err, "32 labelled training rows, 2 classes; unlabelled are those of class a; none held out")
    assert settings(fresh.run)["finetune_data"]["background"] == "a"
    model, classes = Run.open(fresh.run).load_head("classifier")
    assert classes == ("b", "c")
    document = json.loads(fresh.does("evaluate", "--json"))
    assert (document["rows"], document["labelled_rows"], document["unseen_classes"]) == (12, 8, [])
    other = ("--data", "gaps.csv", "--json")  # a file of other rows with the same target column
    lines = (fresh.folder / "labelled.csv").read_text().splitlines()
    (fresh.folder / "gaps.csv").write_text("\n".join([lines[0], *lines[1:31]]) + "\n")
    assert json.loads(fresh.does("evaluate", *other))["labelled_rows"] == 20
    plain = dict(model.state_dict())
    gone = [line if line[-1] != "a" else line[:-1] for line in lines]  # the same rows without their labels
    (fresh.folder / "labelled.csv").write_text("\n".join(gone) + "\n")
    fresh.does("finetune", *WELL, "--background", "")
    again = Run.open(fresh.run).load_head("classifier")[0].state_dict()
    assert all(torch.equal(plain[name], again[name]) for name in plain)
    sentence = fresh.refuses(2, "finetune", "--background", "bb")
    says(sentence, "--background: expected classes of", "(b, c), got 'bb'; did you mean 'b'?")


def test_background_is_of_the_runs_own_target() -> None:
    own = DataConfig(data="/a.csv", target="kind", background="a", leave_out="b")
    assert requested(own, DataRequest()).background == requested(own, DataRequest(data="/b.csv")).background == "a"
    assert requested(own, DataRequest(data="/b.csv")).leave_out is None
    assert requested(own, DataRequest(target="other")).background is None
    assert requested(own, DataRequest(target="other", background="x")).background == "x"


def test_background_is_read_by_its_former_name() -> None:
    own = validated(DataConfig, {"target": "kind", "unlabelled": "a"})
    assert own.background == "a" and "unlabelled" not in own.model_dump()
    assert validated(DataConfig, own.model_dump()) == own
