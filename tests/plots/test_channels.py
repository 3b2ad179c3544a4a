"""Windows of several channels are drawn with a curve per channel, each on its own scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from stackae.plots import runs

MOMENTS, SCALES = 20, (1.0, 1e6, 1e-6)


def axes_of(monkeypatch: pytest.MonkeyPatch, values: torch.Tensor, window: int | None) -> list[Any]:
    drawn: list[Any] = []
    monkeypatch.setattr(runs, "png_of", lambda figure: drawn.append(figure) or b"")
    runs.reconstructions([("original", values), ("layer 1", values)], None, window)
    found: list[Any] = drawn[0].axes
    return found


def test_every_channel_fills_a_band_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(0)
    values = torch.cat([scale * torch.rand(4, MOMENTS, generator=draw) for scale in SCALES], dim=1)
    axes = axes_of(monkeypatch, values, MOMENTS)
    assert len(axes) == 8
    curves = np.array([[line.get_ydata() for line in each.lines] for each in axes[:4]])  # (rows, channels, moments)
    for place in range(len(SCALES)):
        band = len(SCALES) - 1 - place
        assert curves[:, place].min() == pytest.approx(band) and curves[:, place].max() == pytest.approx(band + 1)


@pytest.mark.parametrize(("window", "width"), [(None, 12), (12, 12), (2, 2 * runs.MOST_CHANNELS + 2)])
def test_one_channel_or_too_many_are_one_curve(monkeypatch: pytest.MonkeyPatch, window: int | None, width: int) -> None:
    axes = axes_of(monkeypatch, torch.rand(3, width), window)
    assert all([len(line.get_ydata()) for line in each.lines] == [width] for each in axes)
