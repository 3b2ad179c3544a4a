"""Comparisons on planted data say what was planted; test rows choose nothing; intervals are those of the bootstrap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from cli_cases import says

import stackae
from stackae.analysis.comparison import networks
from stackae.analysis.comparison.classical import folds_of
from stackae.analysis.comparison.contenders import chosen_contenders, contenders_for, label_counts
from stackae.analysis.comparison.intervals import Bootstrap
from stackae.analysis.comparison.task import Cell, Fit
from stackae.analysis.comparison.verdict import comparison_of
from stackae.errors import ConfigError, DataError

CLUSTERS, ROWS = 8, 240
QUICK = {"max_epochs": 40, "learning_rate": 0.01, "batch_size": 32, "device": "cpu"}
NARROW = {"activation": "tanh", "corruption": "none", "output_activation": "linear", "init": "pca", "tied": True}


def manifold(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clusters along a ring that is bent into 60 noisy columns, and the cluster of each row."""
    generator = np.random.default_rng(seed)
    cluster = np.arange(ROWS) % CLUSTERS
    angle = 2 * np.pi * cluster / CLUSTERS
    ring = 2 * np.column_stack([np.cos(angle), np.sin(angle)]) + 0.1 * generator.standard_normal((ROWS, 2))
    bent = np.tanh(ring @ generator.standard_normal((2, 60)) + generator.standard_normal(60))
    return bent + 0.5 * generator.standard_normal((ROWS, 60)), cluster


def factors(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three linear factors in 20 columns, and the first of them."""
    generator = np.random.default_rng(seed)
    hidden = generator.standard_normal((ROWS, 3)) * (1.5, 1.0, 1.0)
    axes = np.linalg.qr(generator.standard_normal((20, 3)))[0].T
    return hidden @ axes + 0.05 * generator.standard_normal((ROWS, 20)), hidden[:, 0]


def compared(x: Any, y: Any, layers: tuple[int, ...], **named: Any) -> stackae.Comparison:
    named = {"seeds": 2, "settings": NARROW | QUICK, "finetuning": {"max_epochs": 60}} | named
    return stackae.compare(x, y, layers, **named)


# ---- what was planted


def test_on_a_clustered_manifold_with_few_labels_pretraining_helps() -> None:
    """Random projections of noisy columns tell clusters apart badly; the code found without labels tells them well."""
    found = compared(*manifold(), (3,), labels=(16,), contenders=("pretrained", "random"), finetuning={"train": "head"})
    (difference,) = found.differences
    assert difference.contender == "pretrained" and difference.other == "random"
    assert difference.low <= difference.difference <= difference.high < -0.1
    says(found.verdict, "with 16 labels pretraining lowers the error from ", " % (interval -", " points)")


def test_where_labels_do_not_depend_on_rows_the_difference_is_within_noise() -> None:
    x, _ = manifold()
    y = np.random.default_rng(1).integers(0, 2, len(x))
    found = compared(x, y, (3,), labels=("all",), contenders=("pretrained", "random", "logistic"))
    says(found.verdict, "with all labels the difference between pretraining and random weights is within noise (")
    assert found.differences[0].low < 0 < found.differences[0].high
    says(found.verdict, "logistic regression is as good and simpler")


def test_on_linear_data_pca_is_as_good() -> None:
    x, factor = factors()
    names = ("pretrained", "random", "pca-start", "pca-logistic")
    found = compared(x, factor > 0, (3,), labels=(30,), contenders=names)
    says(found.verdict, "PCA + logistic regression", "as good and simpler")
    to_pca = {each.contender: each for each in found.differences if each.other == "pca-logistic"}
    assert to_pca["pretrained"].low <= 0 <= to_pca["pretrained"].high
    assert found.row("pca-logistic", 30).error < 0.15  # chance is 0.5


def test_numbers_are_measured_by_their_unexplained_variance() -> None:
    x, factor = factors()
    y = np.column_stack([factor, -2 * factor + 5])
    y[:5, 1] = np.nan
    named: dict[str, Any] = {"head": "regressor", "contenders": "all", "finetuning": {"learning_rate": 0.05}}
    found = compared(x, y, (3,), labels=(40,), seeds=1, **named)
    assert [row.contender for row in found.rows] == list(contenders_for(False))
    assert found.row("ridge", 40).error < 0.05 and found.row("pretrained", 40).error < 0.5
    says(found.verdict, "with 40 labels ", " the unexplained variance ", "ridge regression")


# ---- what every comparison owes


def test_test_rows_choose_nothing() -> None:
    """With the two classes of the test rows exchanged, each right answer is wrong and each wrong one right."""
    x, cluster = manifold()
    y = cluster % 2
    train, test = slice(0, 160), slice(160, None)
    named: dict[str, Any] = {"labels": (40, "all"), "seeds": 1}
    first = compared(x[train], y[train], (3,), test=(x[test], y[test]), **named)
    second = compared(x[train], y[train], (3,), test=(x[test], 1 - y[test]), **named)
    for one, other in zip(first.rows, second.rows, strict=True):
        assert one.error == pytest.approx(1 - other.error), one.contender


def test_unsupervised_parts_are_trained_once_for_all_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[int]] = []
    real = networks.pretrain_together

    def counted(x: Any, configs: Any, **named: Any) -> Any:
        calls.append([config.seed for config in configs])
        return real(x, configs, **named)

    monkeypatch.setattr(networks, "pretrain_together", counted)
    x, cluster = manifold()
    compared(x, cluster, (3,), labels=(8, 16, "all"), contenders=("pretrained", "spread-codes"))
    assert calls == [[0, 1]]


def test_one_contender_alone_learns_from_unlabelled_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int, int]] = []
    real = networks.finetune_stack

    def noted(stack: Any, train: Any, config: Any, **named: Any) -> Any:
        seen.append((config.unlabelled, len(train.x), int((train.y >= 0).sum())))
        return real(stack, train, config.model_copy(update={"unlabelled": "none"}), **named)

    monkeypatch.setattr(networks, "finetune_stack", noted)
    x, cluster = manifold()
    compared(x, cluster, (3,), labels=(16,), seeds=1, contenders=("pretrained", "random", "unlabelled"))
    assert sorted(seen) == [("auto", 192, 16), ("none", 16, 16), ("none", 16, 16)]


def test_threads_change_nothing() -> None:
    """But for the order in which fits are done."""
    x, cluster = manifold()
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            names = ("pretrained", "joint", "logistic", "spread-codes")
            found.append(compared(x, cluster, (3,), labels=(16,), contenders=names))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(found[0].rows, found[1].rows, strict=True):
        assert (one.contender, one.errors) == (other.contender, other.errors)


def test_with_all_labels_what_no_seed_changes_is_fitted_once() -> None:
    x, cluster = manifold()
    found = compared(x, cluster, (3,), labels=(16, "all"), contenders=("random", "logistic"))
    assert [len(row.errors) for row in found.rows] == [2, 2, 2, 1]


def test_equal_seconds_give_more_epochs_to_what_is_not_pretrained() -> None:
    x, cluster = manifold()
    names = ("pretrained", "random")
    found = compared(x, cluster, (3,), labels=(16,), contenders=names, budget="seconds", seeds=1)
    first, second = found.rows
    assert second.epochs >= first.epochs == 60 and first.before > second.before


def test_a_class_that_is_too_rare_for_a_fold_hinders_none() -> None:
    assert [folds_of(np.repeat(np.arange(4), each)) for each in (1, 2, 3, 9)] == [1, 2, 3, 3]
    assert folds_of(np.repeat(np.arange(3), [1, 30, 30])) == 3
    assert folds_of(np.repeat(np.arange(3), [1, 1, 2])) == 1
    assert [folds_of(np.ones(rows)) for rows in (1, 3, 4, 9)] == [1, 1, 2, 3]
    x, cluster = manifold()
    y = np.where(cluster < 4, 0, 1)
    y[:2] = 2  # one of them is a test row
    found = compared(x, y, (3,), labels=(30, "all"), seeds=1)
    assert all(row.error < 0.5 for row in found.rows)


# ---- intervals


def test_an_interval_is_that_of_the_paired_mean() -> None:
    generator = np.random.default_rng(0)
    first = (generator.random((1, 400)) < 0.3).astype(np.float32)
    second = np.where(generator.random((1, 400)) < 0.9, first, 1 - first).astype(np.float32)
    bootstrap = Bootstrap({"a": first, "b": second}, replicates=4000)
    found, difference = bootstrap.difference("a", "b"), (first - second)[0]
    half = 1.96 * difference.std() / np.sqrt(400)
    assert found.difference == pytest.approx(difference.mean(), abs=1e-6)
    assert (found.low, found.high) == pytest.approx((difference.mean() - half, difference.mean() + half), abs=half / 8)
    assert bootstrap.difference("a", "a") == (0, 0, 0)


def test_draws_that_disagree_widen_the_interval() -> None:
    same = {"a": np.zeros((2, 50), np.float32), "b": np.full((2, 50), 0.5, np.float32)}
    apart = {"a": np.zeros((2, 50), np.float32), "b": np.repeat([[0.0], [1.0]], 50, axis=1).astype(np.float32)}
    assert Bootstrap(same).difference("a", "b") == (-0.5, -0.5, -0.5)
    assert Bootstrap(apart).difference("a", "b") == (-0.5, -1.0, 0.0)


def verdict_of(errors: dict[str, float]) -> str:
    """Of planted error rates on 400 rows, all labels."""
    fits = {}
    for name, rate in errors.items():
        wrong = (np.arange(400) < round(400 * rate)).astype(np.float32)
        fits[Cell(name, 100, 0)] = Fit(wrong, 1.0)
    known = contenders_for(True)
    return comparison_of({name: known[name] for name in errors}, 200, True, fits).verdict


def test_verdicts_name_what_is_better_and_what_is_as_good() -> None:
    assert verdict_of({"pretrained": 0.129, "random": 0.238, "logistic": 0.241}).startswith(
        "with 100 labels pretraining lowers the error from 23.8 to 13.0 % (interval -"
    )
    says(verdict_of({"pretrained": 0.13, "random": 0.24, "logistic": 0.25}), "; the best of the simpler ones, logistic")
    says(verdict_of({"pretrained": 0.13, "random": 0.24, "logistic": 0.13}), "; logistic regression is as good and sim")
    says(verdict_of({"pretrained": 0.24, "random": 0.13}), "with 100 labels pretraining raises the error from 13.0 to")
    told = verdict_of({"pretrained": 0.24, "random": 0.24, "svm": 0.1, "spread-codes": 0.12})
    says(told, "is within noise (24.0 % and 24.0 %", "; an SVM (10.0 %) and label spreading on the codes (12.0 %) are")
    assert verdict_of({"pretrained": 0.24, "svm": 0.5}).startswith("with 100 labels pretraining reaches the error 24.0")
    assert verdict_of({"logistic": 0.24, "svm": 0.5}) == (
        "with 100 labels logistic regression has the lowest error, 24.0 %"
    )


# ---- where something is wrong


@pytest.mark.parametrize(
    ("named", "wanted"),
    [
        ({"contenders": "pretrained,forest"}, ("contenders: expected pretrained, random", "got 'forest'")),
        ({"contenders": "svm"}, ("contenders: expected at least two, each once, got svm; use contenders=",)),
        ({"contenders": "svm,svm"}, ("contenders: expected at least two, each once, got svm,svm",)),
        ({"labels": (4,)}, ("labels: expected whole numbers from 8, one label per class, to 192", "got '4'; leave")),
        ({"labels": "193"}, ("labels: expected whole numbers from 8", "got '193'")),
        ({"labels": "few"}, ("labels: expected whole numbers from 8", "or all, got 'few'")),
        ({"seeds": 0}, ("seeds: expected 1 to 100, got 0",)),
        ({"budget": "seconds", "contenders": "random,svm"}, ("budget seconds: expected pretrained among contenders",)),
        (
            {"layers": (90,), "settings": {}, "contenders": "random,pca-start"},
            ("contenders pca-start: expected a dense layer that is",),
        ),
        (
            {"settings": {"kind": "variational"}, "contenders": "random,joint"},
            ("contenders joint: expected dense layers, which unroll into one network, got others among them; leave",),
        ),
    ],
)
def test_what_cannot_be_compared(named: dict[str, Any], wanted: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as error:
        compared(*manifold(), **({"layers": (3,)} | named))
    says(str(error.value), *wanted)


@pytest.mark.parametrize(
    ("y", "wanted"),
    [
        (np.full(ROWS, -1), ("x: expected training rows with labels to compare by, got none; name their column",)),
        (np.zeros(ROWS, int), ("x: expected labels of at least two classes to compare by, got one class; give rows",)),
    ],
)
def test_labels_that_nothing_can_be_compared_by(y: np.ndarray, wanted: tuple[str, ...]) -> None:
    with pytest.raises(DataError) as error:
        compared(manifold()[0], y, (3,))
    says(str(error.value), *wanted)


def test_test_rows_of_other_classes() -> None:
    x, cluster = manifold()
    with pytest.raises(
        DataError, match=r"test\[1\]: expected the classes or targets of y, got others \(2 instead of 8"
    ):
        compared(x, cluster, (3,), test=(x, cluster % 2))


def test_the_usual_contenders_are_all_but_the_slow_ones() -> None:
    assert list(chosen_contenders("all", True)) == list(contenders_for(True))
    assert contenders_for(True).keys() - chosen_contenders(None, True).keys() == {"pca-start", "joint", "unlabelled"}
    assert list(chosen_contenders(("svm", "random"), True)) == ["random", "svm"]


def test_label_counts_out_of_reach_are_left_out_of_the_usual_ones() -> None:
    assert label_counts(None, 150, 3) == [10, 150]
    assert label_counts(None, 5, 3) == [5]
    assert label_counts(None, 2000, 26) == [100, 1000, 2000]
    assert label_counts("all,10, 20,20", 150, 3) == [10, 20, 150]
