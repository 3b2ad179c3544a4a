"""Laws of `stackae score` and its baselines where rows are so wide that these are not kept, or cannot be fitted."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from cli_cases import PLAIN, PRETRAIN, says
from score_cases import forget_memory, parts, scored, write_new_rows
from shell import Shell

from stackae.analysis.anomaly import calibrated, fit_scores, score_rows
from stackae.runs import Run


@pytest.fixture
def wide(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A run whose baselines are too large to be kept."""
    monkeypatch.setattr("stackae.analysis.calibration.MOST_NUMBERS", 10)
    fresh.does(*PRETRAIN)
    assert Run.open(fresh.run).load_calibration().baselines is None
    write_new_rows(fresh.folder)
    return fresh


def test_large_baselines_are_fitted_where_the_training_data_are_and_else_left_out(wide: Shell) -> None:
    at_home, _ = scored(wide, "--data", "new.csv", "--false-alarm-rate", "0.2")
    assert list(at_home["methods"]) == ["combined", "autoencoder", "pca", "mahalanobis"]
    assert at_home["baselines_left_out"] is None
    stack, data = parts(wide)
    for method, score in fit_scores(stack, data.train.x).items():
        expected = calibrated(score_rows(score, data.validation.x), 0.2)
        assert at_home["methods"][method]["threshold"] == pytest.approx(expected)
    (wide.folder / "labelled.npz").unlink()
    result = wide("score", "--data", "new.csv", "--false-alarm-rate", "0.2")
    assert result.code == 0
    says(
        " ".join(result.err.split()),
        "PCA and Mahalanobis are left out: they are too large to be kept in the run, and its training data",
    )
    away, _ = scored(wide, "--data", "new.csv", "--false-alarm-rate", "0.2")
    assert away["methods"] == {name: at_home["methods"][name] for name in ("combined", "autoencoder")}
    assert "training data cannot be read" in away["baselines_left_out"]


def test_baselines_that_the_memory_does_not_hold_are_left_out_with_a_note(
    wide: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_memory(monkeypatch)
    result = wide("score")
    assert result.code == 0 and "by gradients" not in result.err
    says(
        " ".join(result.err.split()),
        "baselines PCA and Mahalanobis are left out: moments of 8 columns: expected data that fit",
        "score the reconstruction error alone",
    )
    found = json.loads(wide.does("score", "--json"))
    assert list(found["methods"]) == ["autoencoder"] and "moments of 8 columns" in found["baselines_left_out"]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_a_memory_that_runs_out_while_scores_are_calibrated_costs_no_training(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*arguments: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("stackae.analysis.calibration.fit_baselines", full)
        result = fresh(*PRETRAIN)
        assert result.code == 0 and not Run.open(fresh.run).has_calibration
        says(" ".join(result.err.split()), "calibration left out: memory: expected", "the first `stackae score` beside")
    fresh.does("score", "--json")
    assert Run.open(fresh.run).load_calibration().baselines is not None
    with monkeypatch.context() as patched:
        patched.setattr("stackae.workflows.scoring.fit_calibrated", full)
        patched.setattr("stackae.analysis.calibration.MOST_NUMBERS", 10)
        fresh.does(*PRETRAIN)
        found = json.loads(fresh.does("score", "--json"))
        assert list(found["methods"]) == ["combined", "autoencoder"]
        assert "memory: expected" in found["baselines_left_out"]


def test_errors_of_other_kinds_while_scores_are_calibrated_are_not_hidden(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr("stackae.analysis.calibration.fit_baselines", broken)
    assert fresh(*PRETRAIN).code == 1


def test_fewer_rows_than_columns_are_scored_by_the_gram_matrix(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_memory(monkeypatch)
    x = np.random.default_rng(0).random((50, 300)).astype(np.float32)
    np.save(fresh.folder / "wide.npy", x)
    fresh.does("pretrain", "--layers", "300,4", "--data", "wide.npy", "--init", "random")
    document = json.loads(fresh.does("score", "--json", "--false-alarm-rate", "0.3"))
    data = parts(fresh)[1]
    train = data.train.x[:].double()
    basis = torch.linalg.svd(train - train.mean(dim=0), full_matrices=False)[2][:4]
    centred = data.validation.x[:].double() - train.mean(dim=0)
    expected = (centred - centred @ basis.t() @ basis).square().sum(dim=1)
    assert document["methods"]["pca"]["threshold"] == pytest.approx(calibrated(expected, 0.3))


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (("--kind", "pca"), "use kind dense instead of pca for layer 1, or give it fewer inputs"),
        (("--kind", "dense,marginalized"), "use kind dense instead of marginalized for layer 2, or"),
        (("--init", "random,pca"), "use init random instead of pca for layer 2, or give it fewer inputs"),
    ],
)
def test_closed_forms_that_the_memory_does_not_hold_are_refused_before_training(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], remedy: str
) -> None:
    forget_memory(monkeypatch)
    sentence = fresh.refuses(3, *PLAIN, *options)
    says(sentence, "moments of", "columns: expected data that fit in the memory, got", remedy)


def test_a_sweep_of_rows_too_wide_for_moments_begins_at_random_weights(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(fresh.folder / "wide.npy", np.random.default_rng(0).random((50, 300)).astype(np.float32))
    forget_memory(monkeypatch)
    document = json.loads(fresh.does("sweep", "--widths", "2,4", "--data", "wide.npy", "--json"))
    assert document["settings"]["pretrain"]["layers"][-1]["init"] == "random"
    assert all(0 <= point["pca_explained"] <= 1 for point in document["widths"])
