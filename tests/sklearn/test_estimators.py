"""The estimators in their users' hands: pipelines, searches, pickles, results, frames, run folders, refusals."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from estimator_cases import QUICK, X, Y, classifier, frame
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

import stackae
from stackae.sklearn import StackClassifier, StackDetector, StackEncoder, StackRegressor

# ---- what scikit-learn does with estimators


def test_a_search_over_a_pipeline_in_two_processes() -> None:
    pipeline = Pipeline([("codes", StackEncoder(**QUICK)), ("head", LogisticRegression())])
    grid = {"codes__corruption": ["none", "masking:0.1"], "codes__codes": ["top", "all"]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, Y)
    assert search.best_score_ > 0.85 and set(search.best_params_) == set(grid)
    assert search.best_estimator_.predict(X).shape == (150,)


def test_it_stands_in_a_stack_of_classifiers() -> None:
    both = StackingClassifier([("stack", classifier()), ("line", LogisticRegression(max_iter=500))], cv=2).fit(X, Y)
    assert both.score(X, Y) > 0.9


def test_a_pickle_holds_plain_arrays_and_gives_the_same_answers() -> None:
    for estimator in (classifier().fit(X, Y), StackDetector(**QUICK).fit(X), StackEncoder(**QUICK).fit(X)):
        method = estimator.decision_function if hasattr(estimator, "decision_function") else estimator.transform
        before, content = method(X), pickle.dumps(estimator)
        assert b"torch" not in content
        again = pickle.loads(content)
        other = again.decision_function if hasattr(again, "decision_function") else again.transform
        assert np.array_equal(other(X), before)
    assert not hasattr(clone(classifier().fit(X, Y)), "classes_")


def test_codes_have_names_and_become_frames() -> None:
    encoder = StackEncoder(**QUICK).set_output(transform="pandas").fit(pd.DataFrame(X, columns=list("abcd")))
    found = encoder.transform(pd.DataFrame(X, columns=list("abcd")))
    assert list(found.columns) == ["stackencoder0", "stackencoder1", "stackencoder2"]
    assert list(encoder.feature_names_in_) == list("abcd")
    everything = StackEncoder(**QUICK, codes="all").fit(X)
    assert everything.get_feature_names_out()[[0, 7, 8]].tolist() == [
        "stackencoder1_0",
        "stackencoder1_7",
        "stackencoder2_0",
    ]


# ---- what is computed


def test_an_integer_is_the_seed_of_the_library() -> None:
    rows = load_wine().data  # none of them comes twice
    own = StackEncoder(**QUICK).fit(rows)
    stack = stackae.pretrain(rows, (8, 3), max_epochs=4, seed=0, validation=None)
    for arrays, autoencoder in zip(own.parameters_, stack.network.autoencoders, strict=True):
        assert all(np.array_equal(arrays[name], each.numpy()) for name, each in autoencoder.state_dict().items())
    assert np.allclose(own.transform(rows), stack.encode(rows).numpy(), atol=1e-6)
    assert own.history_[0]["loss"] == stack.history[0].loss and own.layer_sizes_ == (13, 8, 3)


def test_a_generator_is_drawn_from_and_none_is_new_each_time() -> None:
    rng = np.random.RandomState(3)
    one, other = (StackEncoder(**{**QUICK, "random_state": rng}).fit_transform(X) for _ in range(2))
    again = StackEncoder(**{**QUICK, "random_state": np.random.RandomState(3)}).fit_transform(X)
    assert np.array_equal(one, again) and not np.array_equal(one, other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_are_of_the_type_of_the_rows(dtype: type) -> None:
    rows = X.astype(dtype)
    encoder, model = StackEncoder(**QUICK).fit(rows), classifier().fit(rows, Y)
    codes = encoder.transform(rows)
    found = [codes, encoder.inverse_transform(codes), model.predict_proba(rows), model.decision_function(rows)]
    assert all(each.dtype == dtype for each in found)
    assert StackRegressor(**QUICK).fit(rows, Y).predict(rows).dtype == dtype


def test_codes_of_layers_and_back() -> None:
    encoders = {codes: StackEncoder(**QUICK, codes=codes).fit(X) for codes in ("top", "all", 1, 2)}
    found = {codes: each.transform(X) for codes, each in encoders.items()}
    assert np.array_equal(found["all"], np.hstack((found[1], found["top"]))) and np.array_equal(found[2], found["top"])
    for codes, encoder in encoders.items():
        assert encoder.inverse_transform(found[codes]).shape == X.shape
    assert np.array_equal(
        encoders["all"].inverse_transform(found["all"]), encoders["top"].inverse_transform(found["top"])
    )


def test_the_score_is_the_share_of_variance_that_comes_back() -> None:
    encoder = StackEncoder((2,), kind="pca", scale="none").fit(X)
    z = encoder.inverse_transform(encoder.transform(X))
    share = 1 - np.square(X - z).sum() / np.square(X - X.mean(axis=0)).sum()
    assert encoder.score(X) == pytest.approx(share, abs=1e-6) and share == pytest.approx(0.9777, abs=1e-3)


def test_sparse_rows_are_those_that_they_stand_for() -> None:
    rows = np.where(X < 2, 0, X)
    dense, thin = (classifier().fit(each, Y).predict_proba(each) for each in (rows, sparse.csr_array(rows)))
    assert np.array_equal(dense, thin)


def test_images_are_read_by_convolutions_and_bytes_as_pixels() -> None:
    digits = load_digits().data[:200].astype(np.uint8)
    encoder = StackEncoder(("8x8x1", "conv2", "pool", 10), epochs=1).fit(digits)
    assert encoder.layer_sizes_ == (64, 32, 10) and encoder.transform(digits).dtype == np.float32
    again = StackEncoder(config=stackae.load_run(_saved(encoder)).pretrain_config, epochs=1).fit(digits)
    assert again.layer_sizes_ == encoder.layer_sizes_


def _saved(estimator: StackEncoder) -> Path:
    import tempfile

    path = Path(tempfile.mkdtemp()) / "run"
    estimator.to_run(path)
    return path


# ---- data frames


def test_a_frame_with_text_is_read_by_its_columns() -> None:
    rows, labels = frame()
    model = StackClassifier((16, 8), random_state=0).fit(rows, labels)
    assert model.score(rows, labels) > 0.95 and model.n_features_in_ == 3
    other = rows.iloc[:5][["colour", "size", "shape"]]
    assert np.array_equal(model.predict(other), model.predict(rows)[:5])
    with pytest.raises(ValueError, match=r"expected a data frame with the columns .* got ndarray; name the columns"):
        model.predict(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(rows[["size", "colour", "shape"]])
    detector, encoder = StackDetector(**QUICK).fit(rows), StackEncoder(**QUICK).fit(rows)
    assert detector.predict(rows).shape == (200,) and encoder.transform(rows).shape == (200, 3)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(rows), model.predict_proba(rows))
    assert StackClassifier(**QUICK).fit(rows[:150], labels[:150], X_unlabelled=rows[150:]).predict(rows).shape == (200,)


# ---- run folders


def test_a_classifier_goes_to_a_run_folder_and_back(tmp_path: Path) -> None:
    names = np.array(["setosa", "versicolor", "virginica"])[Y]
    model = classifier().fit(X, names)
    model.to_run(tmp_path / "run")
    again, loaded = StackClassifier.from_run(tmp_path / "run"), stackae.load(tmp_path / "run", "classifier")
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
    assert loaded.predict(X).classes == model.predict(X).tolist()
    assert np.array_equal(
        StackEncoder.from_run(tmp_path / "run").transform(X), StackEncoder(**QUICK).fit(X).transform(X)
    )
    assert again.fit(X, names).layer_sizes_ == model.layer_sizes_  # its settings are those of the run
    numbers = classifier().fit(X, Y + 9)
    numbers.to_run(tmp_path / "numbers")
    assert StackClassifier.from_run(tmp_path / "numbers").predict(X).tolist() == numbers.predict(X).tolist()


def test_frames_regressors_and_detectors_go_there_too(tmp_path: Path) -> None:
    rows, _ = frame()
    model = StackRegressor(**QUICK).fit(rows, rows["size"])
    model.to_run(tmp_path / "numbers")
    assert np.array_equal(StackRegressor.from_run(tmp_path / "numbers").predict(rows), model.predict(rows))
    detector = StackDetector(**QUICK).fit(X)
    detector.to_run(tmp_path / "detector")
    again, opened = StackDetector.from_run(tmp_path / "detector"), stackae.load_run(tmp_path / "detector")
    assert np.array_equal(again.decision_function(X), detector.decision_function(X))
    assert np.allclose(opened.load_detector().scores(X).numpy(), -detector.score_samples(X), rtol=1e-4)
    with pytest.raises(stackae.RunError, match="expected a trained classifier"):
        StackClassifier.from_run(tmp_path / "detector")


# ---- the detector


def test_strange_rows_are_told_from_the_others() -> None:
    rows, labels = load_wine(return_X_y=True)
    detector = StackDetector(random_state=0).fit(rows[labels > 0])
    scores = detector.score_samples(rows)
    assert np.median(scores[labels == 0]) < np.quantile(scores[labels > 0], 0.1)
    assert np.array_equal(detector.predict(rows) == -1, scores < detector.offset_)
    assert np.allclose(detector.decision_function(rows), scores - detector.offset_)
    line = StackDetector(contamination=0.1, random_state=0).fit(rows)
    assert (line.predict(rows) == -1).sum() == 18
    assert np.isfinite(detector.score_samples(rows * 1e30)).all()


# ---- what is refused


@pytest.mark.parametrize(
    ("estimator", "sentence"),
    [
        (StackEncoder(codes=3, layers=(3,)), r"codes: expected top, all, or a layer from 1 to 1, got 3"),
        (StackEncoder(activation="sigmod"), r"activation: expected one of .*mean 'sigmoid'"),
        (StackEncoder(epochs=(1, 2, 3)), r"max_epochs: expected one value, or 2"),
        (StackEncoder(config={"kindly": 1}), r"kindly"),
        (StackEncoder(config=3), r"config: expected a dict of settings or a PretrainConfig, got int"),
        (StackEncoder(tied=True, config={"tied": False}), r"config: .* got tied as both; give one"),
        (StackEncoder(layers=()), r"layers: expected the input width and at least one code width"),
        (StackDetector(contamination=0.7), r"contamination: expected auto or a number in \(0, 0.5\], got 0.7"),
        (StackDetector(method="pca"), r"method: expected combined or autoencoder, got 'pca'"),
        (classifier(finetune_config={"head": "regressor"}), r"finetune_config: .* head classifier, got regressor"),
        (classifier(train="head", finetune_config={"train": "all"}), r"finetune_config: .* got train as both"),
        (classifier(finetune_config=stackae.FinetuneConfig(head="regressor")), r"head classifier, got regressor"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_a_sentence(estimator: StackEncoder, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        estimator.fit(X, Y).score(X, Y) if isinstance(estimator, StackClassifier) else estimator.fit(X).transform(X)


def test_rows_and_labels_that_cannot_work_are_refused_in_a_sentence() -> None:
    model = classifier().fit(X, Y)
    for call, sentence in (
        (lambda: classifier().fit(X, None), "requires y to be passed, but the target y is None"),
        (lambda: classifier().fit(X, Y[:9]), "y: expected a target for each of 150 rows, got 9"),
        (lambda: classifier().fit(X, np.zeros(150)), "labels of at least two classes, got 1 class"),
        (lambda: classifier().partial_fit(X, Y), "classes: expected all labels at the first call of partial_fit"),
        (lambda: classifier().partial_fit(X, Y, classes=[0, 1]), "y: expected labels of the classes 0, 1, got 2"),
        (lambda: model.partial_fit(X, Y + 1), "y: expected labels of the classes 0, 1, 2, got 3"),
        (lambda: classifier().fit(X, Y, sample_weight=-np.ones(150)), "sample_weight: expected weights of at least 0"),
        (
            lambda: classifier().fit(X, Y, sample_weight=np.zeros(150)),
            "at least one non-zero weight, got zero for all rows",
        ),
        (lambda: StackRegressor().fit(X, np.zeros((150, 2, 2))), "y: expected numbers .* got 3 axes"),
        (
            lambda: StackEncoder(**QUICK).fit(X).inverse_transform(X),
            r"expected codes \(n, 3\), .* got shape \(150, 4\)",
        ),
        (
            lambda: StackRegressor(**QUICK).partial_fit(X, Y).partial_fit(X, np.zeros((150, 2))),
            "expected 1 targets per row as before, got 2",
        ),
        (
            lambda: StackEncoder((2,), kind="pca", warm_start=True).fit(X).fit(X),
            "kind pca: expected layers that steps train",
        ),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()


def test_it_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    StackEncoder(**{**QUICK, "epochs": 20}, verbose=True).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("[StackEncoder] layer 1/2 4-8-4: 150 rows") and len(lines) == 22
    assert "epoch 20, loss" in lines[-1]


def test_scikit_learn_is_loaded_by_its_estimators_alone() -> None:
    code = "import sys, stackae, stackae.sklearn; stackae.pretrain; assert 'sklearn' not in sys.modules; "
    code += "stackae.sklearn.StackEncoder; assert sys.modules['sklearn'] is not stackae.sklearn; import sklearn.svm"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tensors_are_rows_without_dispatch() -> None:
    assert np.array_equal(
        StackEncoder(**QUICK).fit(torch.from_numpy(X)).transform(torch.from_numpy(X)),
        StackEncoder(**QUICK).fit(X).transform(X),
    )
