"""Laws of the default score: its parts are what their papers say, and it finds what reconstruction error misses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from moment_cases import rows

from stackae.analysis import calibration as kept
from stackae.analysis import combined as module
from stackae.analysis.anomaly import ReconstructionError, score_rows
from stackae.analysis.calibration import calibrate, pack_calibration, read_calibration
from stackae.analysis.combined import Combined, CombinedScore, Neighbourhood, fit_combined, ridge_mahalanobis
from stackae.analysis.peers import fit_peers
from stackae.autoencoders.dense import Autoencoder
from stackae.autoencoders.pca import initialise_pca, principal_components_of
from stackae.autoencoders.statistics import Moments
from stackae.errors import RunError
from stackae.metrics import auroc
from stackae.models.stack import StackedAutoencoder


def stack_of(n: int = 6, m: int = 3) -> StackedAutoencoder:
    return StackedAutoencoder([Autoencoder(n, m, seed=3)])


def linear_stack(x: torch.Tensor, m: int) -> StackedAutoencoder:
    own = Autoencoder(x.shape[1], m, activation="linear", output_activation="linear")
    initialise_pca(own, Moments.of(x))
    return StackedAutoencoder([own])


@pytest.mark.parametrize("count", [60, 9, 2])
def test_the_local_outlier_factor_is_that_of_scikit_learn(count):
    from sklearn.neighbors import LocalOutlierFactor as Reference

    train, x = rows(count, 5).double(), torch.cat((rows(30, 5, seed=1), rows(2, 5, seed=2) * 50)).double()
    own = Neighbourhood.fit(train)
    reference = Reference(n_neighbors=min(20, count - 1), novelty=True).fit(train.numpy())
    np.testing.assert_allclose(own(x)[:, 0], -reference.score_samples(x.numpy()), rtol=1e-6)
    np.testing.assert_allclose(own.own[:, 0], -reference.negative_outlier_factor_, rtol=1e-6)
    for found, among in ((own(x), x), (own.own, None)):
        distances, _ = reference.kneighbors(None if among is None else among.numpy())
        np.testing.assert_allclose(found[:, 1], distances.mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize("count", [40, 4])
def test_the_ridge_bounds_what_directions_without_variance_weigh(count):
    train, x = rows(count, 6).double(), rows(9, 6, seed=1).double()
    centred = train - train.mean(dim=0)
    covariance = centred.t() @ centred / count
    ridge = 0.99 * covariance + 0.01 * covariance.trace() / 6 * torch.eye(6)
    y = x - train.mean(dim=0)
    expected = (y @ torch.linalg.inv(ridge) * y).sum(dim=1)
    torch.testing.assert_close(ridge_mahalanobis(principal_components_of(train))(x), expected)


def test_without_variance_it_is_the_distance_from_the_mean():
    found = ridge_mahalanobis(principal_components_of(torch.ones(5, 3)))(torch.tensor([[1.0, 1.0, 3.0]]))
    assert found.tolist() == [4.0]


def test_the_score_is_the_weighted_mean_of_its_standardised_roots():
    stack, reference, x = stack_of(), rows(50, 6), rows(9, 6, seed=1)
    score = CombinedScore.fit(stack, reference)
    with torch.no_grad():
        h, r = stack.encode(x).double(), (x - stack.reconstruct(x)).double()
        of_codes = score.code(stack.encode(reference)).sqrt().sqrt()
        expected = (score.code(h).sqrt().sqrt() - of_codes.mean()) / of_codes.std()
        torch.testing.assert_close(score.parts(x)[:, 0], expected, rtol=1e-5, atol=1e-5)
        varies = [stack.reconstruct(reference).double(), score.scale * stack.encode(reference).double()]
        torch.testing.assert_close(*(each.var(dim=0).sum() for each in varies), rtol=1e-5, atol=0)
        lonely, far = score.neighbourhood(torch.cat((score.scale * h, r), dim=1)).unbind(dim=1)
        parts = torch.stack((score.code(h), lonely, far), dim=1)
        standard = (parts.sqrt().sqrt() - score.mean) / score.spread
        mean = (standard[:, 0] + 2 * standard[:, 1] + standard[:, 2]) / 4
        torch.testing.assert_close(score(x), (1 + mean.exp()).log(), rtol=1e-5, atol=1e-5)


def test_it_finds_rows_that_the_stack_reconstructs_well_where_none_were():
    """Two clusters in a plane of five dimensions, and rows beside them in the same plane."""
    generator = torch.Generator().manual_seed(0)

    def in_the_plane(count: int, *center: float) -> torch.Tensor:
        points = torch.tensor(center) + 0.2 * torch.randn(count, 2, generator=generator)
        return torch.nn.functional.pad(points, (0, 3)) + 0.05 * torch.randn(count, 5, generator=generator)

    train = torch.cat((in_the_plane(100, -2, 0), in_the_plane(100, 2, 0)))
    validation = torch.cat((in_the_plane(20, -2, 0), in_the_plane(20, 2, 0)))
    x, anomaly = torch.cat((validation, in_the_plane(40, 0, 1))), torch.arange(80) >= 40
    stack = linear_stack(train, 2)
    kept = fit_combined(stack, train, validation)
    assert kept is not None
    error = auroc(score_rows(ReconstructionError(stack), x), anomaly)
    combined = auroc(score_rows(CombinedScore.fit(stack, kept.reference), x), anomaly)
    assert error is not None and combined is not None and error < 0.7 and combined > 0.95


def test_far_rows_score_higher_the_farther_and_beyond_the_numbers_infinitely():
    score = CombinedScore.fit(stack_of(), rows(50, 6))
    scores = score_rows(score, torch.tensor([[10.0], [100.0], [1e9], [1e30], [math.inf]]).expand(5, 6).contiguous())
    assert bool((scores.diff() > 0).all()) and scores.isfinite().tolist() == [True] * 4 + [False]


def test_equal_rows_count_once_and_few_rows_have_no_score():
    stack, x = stack_of(), rows(8, 6)
    kept = fit_combined(stack, x.repeat(3, 1), rows(5, 6, seed=1))
    assert kept is not None and len(kept.reference) == 8
    assert fit_combined(stack, x[:1].repeat(9, 1), x) is None
    assert fit_combined(stack, x[:3], x) is None
    assert len((fit_combined(stack, x, x[:0]) or kept).validation) == 0
    constant = CombinedScore.fit(linear_stack(torch.ones(9, 6), 2), torch.cat((torch.ones(8, 6), 2 * torch.ones(1, 6))))
    assert bool(score_rows(constant, x).isfinite().all())


def test_of_many_rows_some_are_kept_at_even_distances(monkeypatch):
    train = torch.arange(60.0).reshape(60, 1).expand(60, 6).contiguous() / 60
    monkeypatch.setattr(module, "MOST_REFERENCE", 6)
    kept = fit_combined(stack_of(), train, rows(5, 6))
    assert kept is not None and torch.equal(kept.reference, train[::10])
    monkeypatch.setattr(module, "MOST_CELLS", 5 * (6 + 3))
    few = fit_combined(stack_of(), train, rows(5, 6))
    assert few is not None and len(few.reference) == 5


def kept_calibration():
    stack = stack_of()
    own = calibrate(stack, rows(9, 6, seed=1))
    return own.__class__(own.layers, combined=fit_combined(stack, rows(30, 6), rows(9, 6, seed=1)))


def test_what_is_kept_scores_the_same_when_it_is_read_again(tmp_path):
    own, x = kept_calibration(), rows(7, 6, seed=2)
    again = read_calibration(tmp_path, pack_calibration(own), (6, 3))
    assert list(again.scores(stack_of())) == ["combined", "autoencoder"]
    assert list(again.scores(stack_of(), 1)) == ["autoencoder"]
    for calibration in (own, again):
        score, validation = calibration.scores(stack_of())["combined"]
        assert own.combined is not None and torch.equal(validation, own.combined.validation)
        torch.testing.assert_close(score_rows(score, rows(9, 6, seed=1)).sort().values, validation)
        torch.testing.assert_close(score(x), own.scores(stack_of())["combined"].score(x))


@pytest.mark.parametrize(
    ("reference", "validation", "reason"),
    [
        (torch.zeros(3, 6), torch.zeros(2).double(), "3 reference rows instead of 4 to 2,048"),
        (torch.zeros(5, 7), torch.zeros(2).double(), r"reference of torch.float32 \(5, 7\)"),
        (torch.zeros(5, 6).double(), torch.zeros(2).double(), "reference of torch.float64"),
        (torch.zeros(5, 6), torch.tensor([2.0, 1.0]).double(), "combined with scores below 0, or not in their order"),
        (torch.zeros(5, 6), torch.zeros(2), "combined of torch.float32"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path, reference, validation, reason):
    own = kept_calibration()
    damaged = own.__class__(own.layers, combined=Combined(reference, validation))
    with pytest.raises(RunError, match=reason):
        read_calibration(tmp_path, pack_calibration(damaged), (6, 3))


def test_an_older_runs_scores_by_two_parts_are_left_unread(monkeypatch, tmp_path):
    own = kept_calibration()
    monkeypatch.setattr(kept, "COMBINED", {"reference": "reference", "validation": kept.FORMER})
    former = pack_calibration(own)
    monkeypatch.undo()
    again = read_calibration(tmp_path, former, (6, 3))
    assert again.combined is None and again.baselines is None and torch.equal(again.layers, own.layers)


def test_peers_are_the_detectors_of_scikit_learn_on_the_training_rows():
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import LocalOutlierFactor as Reference

    train, validation, x = rows(60, 5), rows(9, 5, seed=1), rows(7, 5, seed=2)
    found = fit_peers(train, validation, 4)
    expected = {
        "isolation_forest": IsolationForest(random_state=4).fit(train.numpy()),
        "lof": Reference(novelty=True).fit(train.numpy()),
    }
    assert found.keys() == expected.keys()
    for name, (score, scores) in found.items():
        np.testing.assert_allclose(score(x), -expected[name].score_samples(x.numpy()))
        torch.testing.assert_close(scores, score(validation).sort().values)
        assert bool(score(torch.full((1, 5), 3e38)).isfinite().all()) and score(x[:0]).shape == (0,)
    assert list(fit_peers(train[:1], validation, 0)) == ["isolation_forest"]
