"""Laws of what a run keeps to score rows where its data are not: it is what the rows themselves give."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from moment_cases import rows

from stackae.analysis import calibration as module
from stackae.analysis.anomaly import METHODS, calibrated, fit_scores, score_rows
from stackae.analysis.calibration import (
    Calibration,
    calibrate,
    fit_baselines,
    fit_calibrated,
    most_bytes,
    most_rows,
    pack_calibration,
    read_calibration,
)
from stackae.analysis.detector import Detector
from stackae.analysis.principal import principal_of
from stackae.autoencoders.dense import Autoencoder
from stackae.data.outliers import Outlier
from stackae.data.scaling import Scaling
from stackae.errors import ConfigError, DataError, RunError
from stackae.models.stack import StackedAutoencoder

SIZES = (6, 5, 3)
HERE = Path("file")
FLATTENED = (Outlier(4, 17, 1e6, -1.5, 2.0),)


def stack_of(*sizes):
    return StackedAutoencoder(Autoencoder(n, m, layer=k, seed=3) for k, (n, m) in enumerate(pairwise(sizes), start=1))


def made(train=None, validation=None, sizes=SIZES):
    train = rows(40, sizes[0]) if train is None else train
    validation = rows(21, sizes[0], seed=1) if validation is None else validation
    return calibrate(
        stack_of(*sizes), validation, fit_baselines(principal_of(train), validation, sizes), (2, 3), FLATTENED
    )


def read_again(calibration, sizes=SIZES):
    return read_calibration(HERE, pack_calibration(calibration), sizes)


# ---- what is kept


@pytest.mark.parametrize("sizes", [SIZES, (6, 9), (60, 5), (60, 80)])
@pytest.mark.parametrize("count", [40, 1, 2])
def test_what_is_read_again_scores_as_what_is_fitted_on_the_rows(count, sizes):
    train, validation, others = rows(count, sizes[0]), rows(21, sizes[0], seed=1), rows(9, sizes[0], seed=2)
    stack, kept = (
        stack_of(*sizes),
        read_again(
            calibrate(stack_of(*sizes), validation, fit_baselines(principal_of(train), validation, sizes)), sizes
        ),
    )
    for layer in (None, *range(1, len(sizes))):
        fitted = fit_scores(stack, train, layer)
        found = kept.scores(stack, layer)
        assert tuple(found) == METHODS
        for name, (score, calibration) in found.items():
            expected = score_rows(fitted[name], validation).sort().values
            scale = float(expected.max()) or 1.0
            torch.testing.assert_close(calibration, expected, rtol=1e-6, atol=1e-9 * scale)
            torch.testing.assert_close(
                score_rows(score, others), score_rows(fitted[name], others), rtol=1e-5, atol=1e-9 * scale
            )


def test_a_file_is_read_as_it_was_written_and_is_the_same_bytes_again():
    kept = made()
    found = read_again(kept)
    assert pack_calibration(found) == pack_calibration(kept) and found.image_shape == (2, 3)
    assert found.flattened == FLATTENED
    assert len(pack_calibration(kept)) <= most_bytes(SIZES)
    for name, (score, validation) in kept.scores(stack_of(*SIZES), 1).items():
        again = found.scores(stack_of(*SIZES), 1)[name]
        assert torch.equal(again.validation, validation)
        assert torch.equal(again.score(rows(5, 6)), score(rows(5, 6)))


def test_without_baselines_there_is_the_stack_alone():
    assert tuple(made().scores(stack_of(*SIZES), baselines=False)) == METHODS[:1]
    alone = read_again(calibrate(stack_of(*SIZES), rows(9, 6)))
    assert alone.baselines is None and tuple(alone.scores(stack_of(*SIZES))) == METHODS[:1]


def test_without_validation_rows_nothing_is_flagged():
    kept = read_again(made(validation=rows(0, 6)))
    for _, validation in kept.scores(stack_of(*SIZES)).values():
        assert calibrated(validation, 0.5) == math.inf


def test_of_many_validation_rows_some_are_taken_at_even_distances(monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 7)
    validation = rows(21, 6, seed=1)
    kept, few = made(validation=validation), made(validation=validation[::3])
    assert pack_calibration(kept) == pack_calibration(few)
    fitted = fit_calibrated(stack_of(*SIZES), rows(40, 6), validation)
    assert {len(each.validation) for each in fitted.values()} == {7}


def test_of_many_layers_fewer_rows_are_taken():
    assert most_rows(1) == module.MOST_ROWS and most_rows(1000) * 1000 <= module.MOST_SCORES
    assert most_rows(10 * module.MOST_SCORES) == 1


def test_large_baselines_are_not_kept_but_fitted(monkeypatch):
    monkeypatch.setattr(module, "MOST_NUMBERS", 35)
    train, validation, stack = rows(40, 6), rows(21, 6, seed=1), stack_of(*SIZES)
    assert (
        fit_baselines(principal_of(train), validation, SIZES) is None and fit_baselines(None, validation, SIZES) is None
    )
    for name, (score, scores) in fit_calibrated(stack, train, validation, 1).items():
        expected = fit_scores(stack, train, 1)[name]
        torch.testing.assert_close(score(validation), expected(validation))
        torch.testing.assert_close(scores, expected(validation).sort().values)


def test_a_validation_row_without_a_finite_score_is_refused():
    validation = rows(9, 6)
    validation[4, 2] = math.inf
    with pytest.raises(DataError, match=r"scores: expected finite numbers, got inf for validation row 4 .*; rescale"):
        calibrate(stack_of(*SIZES), validation)


# ---- what is refused


def changed(**tensors):
    kept = made()
    assert kept.baselines is not None
    principal, pca, mahalanobis = kept.baselines
    flattened = torch.tensor(kept.flattened, dtype=torch.float64)
    parts = {
        "layers": kept.layers,
        "flattened": flattened,
        "pca": pca,
        "mahalanobis": mahalanobis,
        **principal._asdict(),
    }
    parts["components"] = parts["components"].float()
    parts |= {name: change(parts[name]) for name, change in tensors.items()}
    return {name: tensor for name, tensor in parts.items() if tensor is not None}


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("layers", lambda t: t[:1], r"layers of torch.float64 \(1, 21\) instead of torch.float64 \(2, 21\)"),
        ("layers", lambda t: t[0], r"layers of torch.float64 \(21,\)"),
        ("layers", lambda t: t.float(), "layers of torch.float32"),
        ("layers", lambda t: t.flip(1), "layers with scores below 0, or not in their order"),
        ("layers", lambda t: t - 1e9, "layers with scores below 0"),
        ("layers", lambda t: t * math.inf, "layers holds NaN or Inf"),
        ("layers", lambda t: None, "no 'layers'"),
        ("pca", lambda t: t[:, 1:], r"pca of torch.float64 \(2, 20\)"),
        ("mahalanobis", lambda t: t[1:], r"mahalanobis of torch.float64 \(20,\)"),
        ("mahalanobis", lambda t: None, "no 'mahalanobis'"),
        ("mean", lambda t: t[1:], r"mean of torch.float64 \(5,\)"),
        ("variances", lambda t: t.flip(0), "variances that do not fall to 0 or more"),
        ("variances", lambda t: -t.flip(0), "variances that do not fall to 0 or more"),
        ("components", lambda t: t[:, 1:].contiguous(), r"components of torch.float32 \(6, 5\)"),
        ("components", lambda t: torch.cat([t, t]), "12 components of 6 features"),
        ("components", lambda t: t.double(), "components of torch.float64"),
        ("flattened", lambda t: None, "no 'flattened'"),
        ("flattened", lambda t: t[0], r"flattened of torch.float64 \(5,\)"),
        ("flattened", lambda t: t[:, :4].contiguous(), r"flattened of torch.float64 \(1, 4\)"),
        ("flattened", lambda t: t.repeat(7, 1), "7 flattened columns of 6"),
        ("flattened", lambda t: t + torch.tensor([2.0, 0, 0, 0, 0]), "1 flattened columns of 6, or numbers of columns"),
        ("flattened", lambda t: t + 0.5, "or numbers of columns and rows that are none"),
        ("flattened", lambda t: t - 20, "or numbers of columns and rows that are none"),
        ("flattened", lambda t: t * 1e20, "or numbers of columns and rows that are none"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(name, change, reason):
    content = module.pack(changed(**{name: change}), kind="calibration", image_shape=None)
    with pytest.raises(RunError, match=f"file: expected a stage of this run, got a damaged file .*{reason}"):
        read_calibration(HERE, content, SIZES)


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ({"kind": "scaling", "image_shape": None}, "scaling instead of a calibration"),
        ({"kind": "calibration"}, "no 'image_shape'"),
        ({"kind": "calibration", "image_shape": [2, 4]}, r"images of shape \(2, 4\) instead of 6 numbers"),
        ({"kind": "calibration", "image_shape": [-2, -3]}, "images of shape"),
        ({"kind": "calibration", "image_shape": [6]}, "images of shape"),
        ({"kind": "calibration", "image_shape": ["2", 3]}, "images of shape"),
        ({"kind": "calibration", "image_shape": 6}, "not iterable"),
    ],
)
def test_a_file_that_says_something_else_is_refused(description, reason):
    with pytest.raises(RunError, match=reason):
        read_calibration(HERE, module.pack(changed(), **description), SIZES)


def test_the_file_of_another_stack_is_refused():
    for sizes in ((6, 3), (5, 5, 3), (6, 5, 4, 3)):
        with pytest.raises(RunError, match="got a damaged file"):
            read_calibration(HERE, pack_calibration(made()), sizes)


def test_a_file_with_more_validation_rows_than_are_ever_taken_is_refused(monkeypatch):
    content = pack_calibration(made())
    monkeypatch.setattr(module, "MOST_ROWS", 20)
    with pytest.raises(RunError, match="21 validation rows instead of at most 20"):
        read_calibration(HERE, content, SIZES)


# ---- from Python


def detector(kept: Calibration | None = None) -> Detector:
    scaling = Scaling("standard", torch.full((6,), 2.0), torch.full((6,), 0.5))
    return Detector(scaling, (kept or made()).scores(stack_of(*SIZES)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", [np.asarray, torch.as_tensor, lambda x: x.tolist()])
def test_a_detector_scales_scores_and_flags(form, method):
    own, validation = detector(), rows(21, 6, seed=1)
    x = 2 + 0.5 * rows(9, 6, seed=2)
    score, calibration = made().scores(stack_of(*SIZES))[method]
    expected = score_rows(score, own.scaling.transform(x))
    torch.testing.assert_close(own.scores(form(x), method), expected, rtol=1e-4, atol=1e-4)
    threshold = own.threshold(0.2, method)
    assert threshold == calibrated(score_rows(score, validation), 0.2) == calibrated(calibration, 0.2)
    assert torch.equal(own.flagged(form(x), 0.2, method), own.scores(form(x), method) > threshold)


def test_a_detector_takes_rows_of_its_width_and_methods_of_its_own():
    with pytest.raises(DataError, match="expected rows of 6 numbers, got shape"):
        detector().scores(torch.zeros(3, 5))
    with pytest.raises(DataError, match="x: expected finite"):
        detector().scores(torch.full((3, 6), math.nan))
    with pytest.raises(ConfigError, match="method: expected one of autoencoder, pca, mahalanobis, got 'pcs'; did you"):
        detector().scores(torch.zeros(3, 6), "pcs")
