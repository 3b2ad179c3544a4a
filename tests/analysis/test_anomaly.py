"""Laws of anomaly scores: what they are equal to, what thresholds promise, and what the area under the curve counts."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import stackae.data.memory
from stackae.analysis.anomaly import (
    METHODS,
    ReconstructionError,
    calibrated,
    feature_errors,
    fewest_rows,
    fit_scores,
    mahalanobis_score,
    of_known,
    pca_score,
    performance,
    score_rows,
)
from stackae.autoencoders.dense import Autoencoder
from stackae.autoencoders.pca import principal_components, principal_components_of
from stackae.autoencoders.statistics import Moments
from stackae.config import PretrainConfig
from stackae.data.paired import PairedRows
from stackae.data.rows import ByteRows
from stackae.data.scaling import Scaling
from stackae.errors import ConfigError, DataError
from stackae.models.stack import ROWS_AT_ONCE, StackedAutoencoder
from stackae.pretraining import pretrain_stack

WIDTH = 7
few = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12)


def rows(count, seed=0, width=WIDTH):
    """Correlated, of full rank."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, width, generator=generator, dtype=torch.float64)
    mixing = torch.randn(width, width, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    return x @ (mixing + 3 * torch.eye(width, dtype=torch.float64)) + 2


def stack_of(*sizes):
    pairs = pairwise(sizes)
    return StackedAutoencoder(Autoencoder(n, m, layer=number, seed=3) for number, (n, m) in enumerate(pairs, start=1))


# ---- the area under the curve


def auroc(normal, anomalous):
    return performance(normal, anomalous, 0.0).auroc


@given(few, few)
def test_auroc_counts_pairs(normal, anomalous):
    pairs = [(s > t) + (s == t) / 2 for s in anomalous for t in normal]
    assert auroc(torch.tensor(normal), torch.tensor(anomalous)) == pytest.approx(sum(pairs) / len(pairs), abs=1e-15)


@given(few, few)
def test_auroc_of_the_opposite_is_the_rest(normal, anomalous):
    a, b = torch.tensor(normal), torch.tensor(anomalous)
    assert auroc(a, b) + auroc(b, a) == pytest.approx(1, abs=1e-15)


@given(few, few)
@pytest.mark.parametrize("monotone", [lambda s: 3 * s - 7, torch.exp, lambda s: s**3, torch.atan])
def test_auroc_stays_under_monotone_maps(monotone, normal, anomalous):
    a, b = torch.tensor(normal).double(), torch.tensor(anomalous).double()
    assert auroc(monotone(a), monotone(b)) == auroc(a, b)


def test_auroc_of_equal_scores_is_a_half_and_of_parted_ones_is_one():
    assert auroc(torch.ones(5), torch.ones(3)) == 0.5
    assert auroc(torch.arange(5.0), torch.arange(5.0, 9.0)) == 1


@pytest.mark.parametrize(("normal", "anomalous"), [(0, 3), (3, 0)])
def test_auroc_needs_both_kinds(normal, anomalous):
    with pytest.raises(DataError, match=rf"expected normal and anomalous rows, got {normal} and {anomalous}; give"):
        auroc(torch.ones(normal), torch.ones(anomalous))


def test_performance_counts_what_is_above_the_threshold():
    found = performance(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([3.0, 5.0]), 3.0)
    assert (found.false_alarms, found.detections) == (0.25, 0.5)


# ---- thresholds


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("count", [1, 5, 19, 99, 200])
def test_a_threshold_is_the_score_of_its_rank(count, rate):
    scores = torch.arange(1.0, count + 1)[torch.randperm(count, generator=torch.Generator().manual_seed(0))]
    rank = math.ceil(round((count + 1) * (1 - rate), 9))
    assert calibrated(scores, rate) == (rank if rank <= count else math.inf)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("count", "rate"), [(9, 0.1), (30, 0.1), (99, 0.05), (4, 0.1), (50, 0.33)])
def test_false_alarms_stay_within_the_rate_on_average_over_splits(count, rate, ties):
    generator = torch.Generator().manual_seed(count)
    splits, tested = 2000, 100
    scores = torch.randn(splits, count + tested, generator=generator).exp()
    scores = scores.round() if ties else scores
    thresholds = torch.tensor([calibrated(each[:count], rate) for each in scores])
    found = (scores[:, count:] > thresholds[:, None]).double().mean(dim=1)
    error = float(found.std()) / math.sqrt(splits)
    assert float(found.mean()) <= rate + 4 * error
    if not ties and count >= fewest_rows(rate):  # and no more cautious than whole ranks make it
        assert float(found.mean()) >= rate - 1 / (count + 1) - 4 * error


@given(st.floats(0.001, 0.499))
def test_fewest_rows_is_where_thresholds_become_finite(rate):
    count = fewest_rows(rate)
    assert calibrated(torch.zeros(max(1, count)), rate) == 0
    assert calibrated(torch.zeros(max(0, count - 1)), rate) == math.inf


def test_the_rank_is_not_lost_to_rounding():
    for percent in range(1, 100):
        assert calibrated(torch.arange(1.0, 100.0), percent / 100) == 100 - percent


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, math.nan, math.inf])
def test_a_rate_is_between_0_and_1(rate):
    for function in (fewest_rows, lambda rate: calibrated(torch.zeros(3), rate)):
        with pytest.raises(ConfigError, match="false_alarm_rate: expected a number between 0 and 1, such as"):
            function(rate)


# ---- scores


def test_the_mahalanobis_score_is_its_definition():
    x, others = rows(50), rows(20, seed=1)
    mean, covariance = x.mean(dim=0), torch.cov(x.t(), correction=0)
    expected = [float((row - mean) @ torch.linalg.solve(covariance, row - mean)) for row in others]
    found = mahalanobis_score(principal_components(Moments.of(x)))(others)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_the_mahalanobis_score_stays_under_affine_maps():
    x, others = rows(60), rows(20, seed=1)
    mapping = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    scores = [
        mahalanobis_score(principal_components(Moments.of(move(x))))(move(others))
        for move in (lambda rows: rows, lambda rows: rows @ mapping.t() - 4, lambda rows: rows * 1000)
    ]
    torch.testing.assert_close(scores[1], scores[0], rtol=1e-8, atol=0)
    torch.testing.assert_close(scores[2], scores[0], rtol=1e-8, atol=0)


def test_the_mahalanobis_score_averages_to_the_number_of_features():
    x = rows(80)
    assert float(mahalanobis_score(principal_components(Moments.of(x)))(x).mean()) == pytest.approx(WIDTH)


def test_features_that_are_constant_or_copies_make_scores_large_but_finite():
    x = torch.cat([rows(50), torch.full((50, 1), 3.0), rows(50)[:, :1]], dim=1)
    score = mahalanobis_score(principal_components(Moments.of(x)))
    usual = score(x)
    assert bool(usual.isfinite().all()) and float(usual.mean()) < x.shape[1]
    for column in (WIDTH, WIDTH + 1):  # the constant moves, the copy is none any more
        strange = x[:1].clone()
        strange[0, column] += 1
        assert math.isfinite(float(score(strange))) and float(score(strange)) > 100 * float(usual.max())


def test_rows_without_variance_are_scored_by_their_distance():
    x = torch.ones(5, 3)
    score = mahalanobis_score(principal_components(Moments.of(x)))
    torch.testing.assert_close(score(torch.tensor([[1.0, 3.0, 2.0]])), torch.tensor([5.0], dtype=torch.float64))


@pytest.mark.parametrize("count", [0, 1, 3, WIDTH, WIDTH + 5])
def test_the_pca_score_is_the_error_of_the_projection(count):
    x, others = rows(50), rows(20, seed=1)
    principal = principal_components(Moments.of(x))
    axes = principal.components[:count]
    centred = others - principal.mean
    expected = (centred - centred @ axes.t() @ axes).square().sum(dim=1)
    torch.testing.assert_close(pca_score(principal, count)(others), expected)
    if count >= WIDTH:
        assert bool((pca_score(principal, count)(others) == 0).all())


@pytest.mark.parametrize("count", [3, 5])
def test_the_pca_score_of_the_fitted_rows_averages_to_the_variance_left_out(count):
    x = rows(50)
    principal = principal_components(Moments.of(x))
    assert float(pca_score(principal, count)(x).mean()) == pytest.approx(float(principal.errors[count]))


@pytest.mark.parametrize("layer", [None, 1, 2])
@torch.no_grad()
def test_errors_of_features_sum_to_scores(layer):
    x = torch.rand(ROWS_AT_ONCE + 5, WIDTH, generator=torch.Generator().manual_seed(0))
    stack = stack_of(WIDTH, 5, 3)
    score = ReconstructionError(stack, layer)
    scores = score_rows(score, x)
    expected = (stack.reconstruct(x, layer) - x).double().square()
    torch.testing.assert_close(scores, expected.sum(dim=1))
    torch.testing.assert_close(score.errors(x[:10]).sum(dim=1), scores[:10])
    torch.testing.assert_close(feature_errors(score, x), expected.mean(dim=0))
    assert float(feature_errors(score, x).sum()) == pytest.approx(float(scores.mean()))


@torch.no_grad()
def test_scores_of_rows_with_gaps_are_those_of_their_known_cells():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(9, WIDTH, generator=generator)
    missing = torch.rand(9, WIDTH, generator=generator) < 0.5
    missing[0], missing[1] = False, True
    gaps = PairedRows(x, torch.where(missing, torch.nan, x))
    score = ReconstructionError(stack_of(WIDTH, 3))
    errors = torch.where(missing, torch.nan, score.errors(x))
    expected = WIDTH * errors.nanmean(dim=1).nan_to_num(nan=0.0)  # nothing is known of a row: nothing is strange
    torch.testing.assert_close(score_rows(score, gaps), expected)
    assert float(score_rows(score, gaps)[0]) == float(score(x[:1]))
    torch.testing.assert_close(score.errors(x, ~missing), errors, equal_nan=True)
    torch.testing.assert_close(feature_errors(score, gaps), errors.nanmean(dim=0), equal_nan=True)
    r = torch.rand(9, WIDTH, generator=generator).double()
    assert of_known(r, None) is r and torch.equal(of_known(r, torch.ones_like(missing)), r)


@torch.no_grad()
def test_scores_of_any_number_of_rows():
    stack = stack_of(WIDTH, 3)
    for name, score in fit_scores(stack, rows(30).float()).items():
        for count in (0, 1, ROWS_AT_ONCE + 1):
            found = score_rows(score, rows(count).float())
            assert found.shape == (count,) and found.dtype == torch.float64, name


def test_scores_are_those_of_the_layer_and_of_as_many_components():
    x, stack = rows(40).float(), stack_of(WIDTH, 5, 3)
    assert tuple(fit_scores(stack, x)) == METHODS and tuple(fit_scores(stack, x, baselines=False)) == METHODS[:1]
    principal = principal_components(Moments.of(x))
    for layer, width in ((None, 3), (1, 5), (2, 3)):
        torch.testing.assert_close(fit_scores(stack, x, layer)["pca"](x), pca_score(principal, width)(x))


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_score_beyond_the_numbers_is_infinite(value):
    x = torch.zeros(5, 2)
    x[3] = 1
    found = score_rows(lambda rows: torch.where(rows[:, 0] > 0, value, 1.0), x)
    assert found.tolist() == [1, 1, 1, math.inf, 1]


def test_errors_of_features_are_of_the_rows_with_finite_scores():
    x = torch.rand(6, WIDTH, generator=torch.Generator().manual_seed(0))
    stack = stack_of(WIDTH, 3)
    expected = feature_errors(ReconstructionError(stack), x[:5])
    x[5, 2] = math.inf
    torch.testing.assert_close(feature_errors(ReconstructionError(stack), x), expected)
    assert feature_errors(ReconstructionError(stack), x[5:]).tolist() == [0] * WIDTH


# ---- fewer rows than columns: by the Gram matrix


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize(("count", "width", "rank"), [(1, 3, 9), (2, 9, 9), (5, 30, 30), (29, 30, 30), (20, 60, 4)])
def test_both_routes_give_the_same_scores(count, width, rank, offset):
    generator = torch.Generator().manual_seed(count)
    x = torch.randn(count, rank, generator=generator).double() @ torch.randn(rank, width, generator=generator).double()
    x += offset
    others = torch.randn(12, width, generator=generator) + offset
    narrow, wide = principal_components_of(x), principal_components(Moments.of(x))
    assert len(narrow.components) == min(count - 1, rank) < len(wide.components)
    torch.testing.assert_close(narrow.variances, wide.variances, rtol=1e-9, atol=1e-12 * float(wide.variances.sum()))
    eye = torch.eye(len(narrow.components), dtype=torch.float64)
    torch.testing.assert_close(narrow.components @ narrow.components.t(), eye, rtol=0, atol=1e-8)
    for n_components in {0, min(1, len(eye)), len(eye) // 2, len(eye)}:
        found, expected = (pca_score(each, n_components)(others) for each in (narrow, wide))
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)
    found, expected = (mahalanobis_score(each)(others) for each in (narrow, wide))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_bytes_have_the_components_of_the_numbers_that_they_read_as():
    raw = torch.randint(0, 256, (9, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    rows = ByteRows(raw, Scaling.fit("unit", raw))
    for found, expected in zip(principal_components_of(rows), principal_components_of(rows[:]), strict=True):
        torch.testing.assert_close(found, expected)


def test_of_more_rows_than_columns_the_covariance_is_solved():
    x = rows(30)
    for found, expected in zip(principal_components_of(x), principal_components(Moments.of(x)), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_wide_rows_that_are_not_finite_are_refused_with_their_column(value):
    x = torch.zeros(3, 20)
    x[1, 17] = value
    with pytest.raises(DataError, match=r"expected finite numbers, got NaN, Inf or squares beyond them in column 17"):
        principal_components_of(x)


def test_more_wide_rows_than_the_memory_holds_a_gram_matrix_of_are_refused(monkeypatch):
    monkeypatch.setattr(stackae.data.memory, "free_memory", lambda: 1000)
    monkeypatch.setattr(stackae.data.memory, "UNASKED", 0)
    with pytest.raises(
        DataError, match=r"principal components of 9 rows: expected data that fit in .*; give fewer rows"
    ):
        principal_components_of(torch.zeros(9, 30))


def test_rows_like_those_of_the_training_score_below_noise():
    generator = torch.Generator().manual_seed(0)
    plane = torch.rand(600, 2, generator=generator) @ torch.rand(2, 12, generator=generator) / 2
    train, validation, test = plane.split(200)
    config = PretrainConfig.from_options("12,4", corruption="none", epochs=None, max_epochs="60", device="cpu")
    stack = pretrain_stack(train, config, validation=validation).stack
    noise = torch.rand(200, 12, generator=generator)
    for name, score in fit_scores(stack, train).items():
        normal, anomalous = score_rows(score, test), score_rows(score, noise)
        threshold = calibrated(score_rows(score, validation), 0.05)
        found = performance(normal, anomalous, threshold)
        assert found.auroc > 0.95 and found.detections > 0.8 and found.false_alarms < 0.15, (name, found)
