"""Which rows are compared by gradients, and what gradients of images say and leave out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from stackae.errors import ConfigError
from stackae.semisupervised.comparable import CELLS, ORIENTATIONS, comparable, oriented_gradients, settled_comparison
from stackae.semisupervised.graph import nearest

SHAPE = (28, 28)


def gray(count: int = 40, seed: int = 0) -> Tensor:
    """Images whose pixels lie between 0 and 1, most of them far from both."""
    return torch.from_numpy(np.random.default_rng(seed).uniform(0.2, 0.8, (count, *SHAPE))).float()


def stripes(angle: float, phase: float, length: float = 6.0) -> Tensor:
    """An image of stripes whose brightness changes along a direction, in radians from the horizontal axis."""
    down, across = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    along = across * np.cos(angle) + down * np.sin(angle)
    return 0.5 + 0.3 * torch.sin(2 * torch.pi * along / length + phase)


def test_gray_images_are_compared_by_gradients_ink_and_columns_by_values() -> None:
    images = gray().flatten(1)
    ink = (images > 0.5).float()
    assert settled_comparison(images, "auto", SHAPE) == "gradients"
    assert settled_comparison(images, "auto", None) == "values"
    assert settled_comparison(ink, "auto", SHAPE) == "values"
    assert settled_comparison(10 * images - 3, "auto", SHAPE) == "values"
    assert settled_comparison(ink, "gradients", SHAPE) == "gradients"
    assert settled_comparison(images, "values", SHAPE) == "values"
    with pytest.raises(ConfigError, match="neighbours: expected images for gradients, got rows without a shape; "):
        settled_comparison(images, "gradients", None)


def test_pixels_are_compared_by_shape_not_by_brightness() -> None:
    draws = np.random.default_rng(0)
    shapes = torch.from_numpy(draws.random((2, 64))).float()
    bright = torch.from_numpy(draws.uniform(0.05, 1, (200, 1))).float()
    y = torch.arange(200) % 2
    rows = comparable((shapes[y] * bright).clamp(0, 1), "values", None)
    assert bool((y[nearest(rows).indices] == y[:, None]).all())
    columns = torch.randn(50, 3)
    assert comparable(columns, "values", None) is columns


def test_stripes_are_alike_by_direction_wherever_they_lie() -> None:
    draws = np.random.default_rng(1)
    y = torch.arange(80) % 2
    images = torch.stack([stripes(np.pi / 2 * int(c), draws.uniform(0, 2 * np.pi)) for c in y])
    by_gradients = nearest(comparable(images.flatten(1), "gradients", SHAPE), count=20)
    assert bool((y[by_gradients.indices] == y[:, None]).all())


@pytest.mark.parametrize("orientation", range(ORIENTATIONS))
def test_a_gradient_counts_for_its_orientation(orientation: int) -> None:
    angle = np.pi * orientation / ORIENTATIONS
    found = oriented_gradients(stripes(angle, 0.3, length=14.0)[None]).square()
    share = found.view(ORIENTATIONS, -1).sum(dim=1) / found.sum()
    assert int(share.argmax()) == orientation and float(share[orientation]) > 0.8


def test_brightness_and_contrast_do_not_count_and_lengths_are_one() -> None:
    images = gray(5)
    found = oriented_gradients(images)
    assert found.shape == (5, ORIENTATIONS * CELLS * CELLS)
    torch.testing.assert_close(found.norm(dim=1).square(), found.square().sum(dim=1))
    torch.testing.assert_close(oriented_gradients(0.5 * images + 0.2), found, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(oriented_gradients(images[:, :, :, None].expand(-1, -1, -1, 3)), found)
    assert bool((oriented_gradients(torch.full((2, *SHAPE), 0.5)) == 0).all())


@pytest.mark.parametrize("shape", [(1, 40), (5, 5), (8, 8), (29, 64), (96, 96, 3)])
def test_images_of_any_size_have_gradients(shape: tuple[int, ...]) -> None:
    found = oriented_gradients(torch.rand(3, *shape))
    assert bool(found.isfinite().all()) and found.shape[1] >= ORIENTATIONS
