"""What estimators learn from: missing labels, rows without any, weights, and rows that come later."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from estimator_cases import QUICK, X, Y, classifier, frame

import stackae
from stackae.sklearn import StackClassifier, StackEncoder, StackRegressor

# ---- labels that are missing


def test_missing_labels_are_none_nan_or_what_an_argument_says() -> None:
    none = np.arange(150) % 3 > 0
    as_numbers = np.where(none, np.nan, Y)
    as_objects = np.where(none, None, Y.astype(object))
    as_text = np.array([None if absent else "abc"[label] for absent, label in zip(none, Y, strict=True)], dtype=object)
    as_minus = np.where(none, -1, Y)
    alone = {"unlabelled": "none"}
    each = (as_numbers, as_objects, as_text, pd.Series(as_text))
    models = [classifier(**alone).fit(X, y) for y in each]
    models.append(classifier(**alone, missing_label=-1).fit(X, as_minus))
    assert all(np.array_equal(model.predict_proba(X), models[0].predict_proba(X)) for model in models)
    assert models[-1].classes_.tolist() == [0, 1, 2] and models[2].classes_.tolist() == ["a", "b", "c"]
    assert classifier(**alone).fit(X, as_minus).classes_.tolist() == [
        -1,
        0,
        1,
        2,
    ]  # it is a class where nothing is said
    assert set(models[2].predict(X)) <= {"a", "b", "c"}


def test_rows_without_labels_are_learned_from_as_is_asked() -> None:
    y = np.where(np.arange(150) % 3 > 0, np.nan, Y)
    spread = classifier(unlabelled="pseudo-label").fit(X, y)
    assert spread.score(X, Y) > 0.9
    assert not np.array_equal(spread.predict_proba(X), classifier(unlabelled="none").fit(X, y).predict_proba(X))


def test_rows_without_labels_beside_are_those_among() -> None:
    few, none = np.arange(0, 150, 5), np.setdiff1d(np.arange(150), np.arange(0, 150, 5))
    among = np.concatenate((Y[few].astype(float), np.full(len(none), np.nan)))
    together = classifier(unlabelled="none").fit(np.vstack((X[few], X[none])), among)
    beside = classifier(unlabelled="none").fit(X[few], Y[few], X_unlabelled=X[none])
    assert np.array_equal(together.predict_proba(X), beside.predict_proba(X))
    assert not np.array_equal(beside.predict_proba(X), classifier().fit(X[few], Y[few]).predict_proba(X))
    targets = StackRegressor(**QUICK).fit(X[few], Y[few], X_unlabelled=X[none])
    assert targets.predict(X).shape == (150,)


def test_targets_of_several_columns_may_lack_some() -> None:
    y = np.stack((X[:, 0] + X[:, 1], X[:, 2]), axis=1)
    y[::7, 0] = np.nan
    model = StackRegressor((8,), random_state=0).fit(X, y)
    assert model.predict(X).shape == (150, 2) and model.n_outputs_ == 2
    assert np.corrcoef(model.predict(X)[:, 1], X[:, 2])[0, 1] > 0.95


# ---- weights


def test_weights_of_whole_numbers_are_repetitions_in_any_order() -> None:
    weight = np.arange(150) % 4
    order = np.random.default_rng(1).permutation(150)
    weighted = classifier().fit(X[order], Y[order], sample_weight=weight[order])
    repeated = classifier().fit(np.repeat(X, weight, axis=0), np.repeat(Y, weight))
    assert np.array_equal(weighted.predict_proba(X), repeated.predict_proba(X))


def test_weights_weigh_in_pretraining_and_in_fine_tuning() -> None:
    """Two groups that a single unit cannot both reconstruct, and labels that contradict each other."""
    rows = np.repeat([[1.0, 0.0], [0.0, 1.0]], 40, axis=0) * np.random.default_rng(0).uniform(0.5, 1, (80, 1))
    first = np.arange(80) < 40
    heavy = [np.where(first, 1.75, 0.25), np.where(first, 0.25, 1.75)]
    settings: dict[str, Any] = {"layers": (1,), "activation": "linear", "scale": "none", "random_state": 0}
    errors = []
    for weight in heavy:
        encoder = StackEncoder(**settings).fit(rows, sample_weight=weight)
        z = encoder.inverse_transform(encoder.transform(rows))
        errors.append(np.square(z - rows)[first].mean() < np.square(z - rows)[~first].mean())
    assert errors == [True, False]
    same, labels = np.tile(X[:75], (2, 1)), np.repeat(["a", "b"], 75)
    for weight, chosen in (([1.75, 0.25], "a"), ([0.25, 1.75], "b")):
        model = classifier().fit(same, labels, sample_weight=np.repeat(weight, 75))
        assert set(model.predict(X[:75])) == {chosen}


def test_a_table_is_weighed_too() -> None:
    rows, labels = frame()
    weight = np.where(rows["colour"] == "red", 0.0, 1.0)
    model = classifier().fit(rows, labels, sample_weight=weight)
    kept = classifier().fit(rows[weight > 0], labels[weight > 0])
    assert np.array_equal(model.predict_proba(rows[weight > 0]), kept.predict_proba(rows[weight > 0]))


# ---- training on


def test_partial_fit_learns_from_batches_of_one_class_and_of_none() -> None:
    model = StackClassifier((16,), random_state=0, missing_label=-1, finetune_config={"learning_rate": 0.02})
    order = np.random.default_rng(0).permutation(150)
    for _ in range(15):
        for batch in np.array_split(order, 3):
            model.partial_fit(X[batch], Y[batch], classes=[0, 1, 2])
    before = model.score(X, Y)
    assert before > 0.9
    head = model.parameters_[-1]["head.weight"]
    model.partial_fit(X[:40], np.full(40, -1))
    assert np.array_equal(model.parameters_[-1]["head.weight"], head)  # no label, nothing to learn of it
    model.partial_fit(X[Y == 1], Y[Y == 1])
    assert model.predict_proba(X).shape == (150, 3)


def test_partial_fit_of_codes_and_of_numbers_goes_on() -> None:
    encoder, model = StackEncoder(**QUICK), StackRegressor(**QUICK, finetune_config={"learning_rate": 0.02})
    scores = [encoder.partial_fit(X).score(X) for _ in range(8)]
    assert scores[-1] > scores[0]
    fits = [model.partial_fit(X, X[:, 2]).score(X, X[:, 2]) for _ in range(12)]
    assert fits[-1] > fits[0] and fits[-1] > 0.5
    assert not hasattr(StackEncoder(kind="pca"), "partial_fit")
    assert not hasattr(StackEncoder(config=_closed_form()), "partial_fit")


def _closed_form() -> stackae.PretrainConfig:
    return stackae.PretrainConfig(n_visible=4, layers=[{"kind": "pca", "n_hidden": 2}])


def test_a_warm_start_goes_on_from_the_last_fit() -> None:
    model = classifier(warm_start=True).fit(X, Y)
    first = [each["loss"] for each in model.history_]
    model.fit(X, Y)
    assert model.history_[0]["loss"] < first[0]
    cold = classifier().fit(X, Y).fit(X, Y)
    assert cold.history_[0]["loss"] == first[0]
    with pytest.raises(ValueError, match=r"layer 1 has the shape of these settings.*train anew"):
        model.set_params(layers=(5, 3)).fit(X, Y)
