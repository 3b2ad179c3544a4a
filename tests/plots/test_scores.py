"""The pictures of scores and sweeps: drawn for any rows, any scores and any widths, without a warning."""

from __future__ import annotations

import io
import math

import pytest
import torch
from matplotlib.image import imread

from stackae.plots import scores as score_pictures
from stackae.plots import sweep as sweep_pictures
from stackae.plots.scores import Panel, Suspects, anomaly_scores
from stackae.plots.sweep import error_by_width

LABELS = ("validation rows", "rows", "anomalies")


def drawn(png):
    height, width = imread(io.BytesIO(png)).shape[:2]
    assert height > 100 and width > 100


def panel(normal, anomalous=None, calibration=(1.0, 2.0), threshold=2.0):
    given = None if anomalous is None else torch.tensor(anomalous, dtype=torch.float64)
    parts = [torch.tensor(each, dtype=torch.float64) for each in (calibration, normal)]
    return Panel("AUROC $1$", threshold, *parts, given)


def suspects(count, width):
    x = torch.rand(count, width, generator=torch.Generator().manual_seed(0))
    return Suspects("most $suspicious", [f"{n}\n1.5" for n in range(count)], x, x.flip(0), (x - x.flip(0)).square())


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("panels", [1, 3])
@pytest.mark.parametrize(("width", "shape"), [(12, (3, 4)), (12, (2, 2, 3)), (12, (2, 3, 2)), (3, None), (60, None)])
def test_rows_of_any_shape_are_drawn(width, shape, panels, blocks):
    known = [5.0, 7.0] if blocks == 2 else None
    drawn(anomaly_scores([panel([1.0, 3.0], known)] * panels, LABELS, [suspects(4, width)] * blocks, shape))


@pytest.mark.parametrize("names", [["a"] * 3, ["a long name of a feature", "$", "_c"]])
def test_features_are_named(names):
    drawn(anomaly_scores([panel([1.0])], LABELS, [suspects(1, 3)], None, names))


@pytest.mark.parametrize("count", [0, 1])
def test_few_suspects_are_drawn(count):
    drawn(anomaly_scores([panel([1.0], [2.0])], LABELS, [suspects(3, 4), suspects(count, 4)], (2, 2)))
    drawn(anomaly_scores([panel([1.0], [2.0])], LABELS, [suspects(count, 4)], (2, 2)))


@pytest.mark.parametrize(
    ("normal", "calibration", "threshold"),
    [([0.0, 0.0], [0.0], 0.0), ([1e-30, 1e30], [1.0], 1.0), ([1.0], [], math.inf), ([0.0, 1e6], [1.0], math.inf)],
)
def test_scores_of_any_spread_are_all_within_the_axis(monkeypatch, normal, calibration, threshold):
    figures = []
    monkeypatch.setattr(score_pictures, "png_of", lambda figure: figures.append(figure) or b"")
    anomaly_scores([panel(normal, None, calibration, threshold)], LABELS, [suspects(2, 4)], (2, 2))
    low, high = figures[0].subfigs[0].axes[0].get_xlim()
    assert all(low <= score <= high for score in (*normal, *calibration))
    heights = [float(patch.get_data().values.sum()) for patch in figures[0].subfigs[0].axes[0].patches]
    assert heights == pytest.approx([100.0] * len(heights))


@pytest.mark.parametrize(
    ("widths", "principal"),
    [([2], [5.0, 3.0, 1.0, 0.0]), ([1, 3, 10], [5.0, 3.0, 1.0, 0.0]), ([4, 9], [5.0, 0.0]), ([1, 2], [0.0, 0.0, 0.0])],
)
def test_a_sweep_of_any_widths_is_drawn(monkeypatch, widths, principal):
    drawn(error_by_width(widths, [float(5 - n % 3) for n in widths], principal, "rows of $"))
    figures = []
    monkeypatch.setattr(sweep_pictures, "png_of", lambda figure: figures.append(figure) or b"")
    error_by_width(widths, [1.0 for _ in widths], principal, "")
    (axes,) = figures[0].axes
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == [str(width) for width in widths]
