"""Pictures of codes: drawn for any data and any classes, with every value in its place."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from stackae.plots import latent as latent_pictures
from stackae.plots.latent import latent_grid, latent_scatter, samples


def size(png):
    height, width = imread(io.BytesIO(png)).shape[:2]
    assert height > 100 and width > 100
    return height, width


@pytest.fixture
def figures(monkeypatch):
    """Every figure that is drawn."""
    drawn = []
    monkeypatch.setattr(latent_pictures, "png_of", lambda figure: drawn.append(figure) or b"")
    return drawn


@pytest.mark.parametrize(("width", "shape"), [(12, (3, 4)), (12, (2, 2, 3)), (12, (2, 3, 2)), (1, None), (12, None)])
@pytest.mark.parametrize("count", [1, 7])
def test_samples_of_any_data_are_drawn(width, shape, count):
    size(samples(torch.rand(count, width), shape))
    size(samples(torch.zeros(count, width), shape))


def test_every_sample_stands_in_its_place(figures):
    images = torch.rand(7, 12)
    samples(images, (3, 4))
    sheet = figures[0].axes[0].images[0].get_array()
    scaled = ((images - images.min()) / (images.max() - images.min())).view(7, 3, 4).numpy()
    for i in range(7):
        top, left = i // 3 * 4, i % 3 * 5
        np.testing.assert_allclose(sheet[top : top + 3, left : left + 4], scaled[i], rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 4), None])
@pytest.mark.parametrize("side", [1, 5])
def test_the_axes_of_a_grid_say_which_code_stands_where(figures, shape, side):
    latent_grid(torch.rand(side**2, 12), shape)
    axes = figures[0].axes[0]
    across = [text.get_text() for text in axes.get_xticklabels()]
    assert across == (["0.0"] if side == 1 else ["−1.3", "−0.5", "0.0", "0.5", "1.3"])
    assert [text.get_text() for text in axes.get_yticklabels()] == across
    height, width, first = (4, 5, (1, 1.5)) if shape else (1, 1, (0, 0))
    assert axes.get_xticks().tolist() == [first[1] + i * width for i in range(side)]
    assert axes.get_yticks().tolist() == [first[0] + i * height for i in reversed(range(side))]  # upwards


def test_a_grid_that_is_no_square_is_refused():
    for count in (0, 8):
        with pytest.raises(ValueError, match=f"images: expected side x side of them, got {count}; decode prior_grid"):
            latent_grid(torch.rand(count, 12), (3, 4))


@pytest.mark.parametrize(("rows", "classes"), [(0, 1), (1, 1), (30, 3), (300, 15), (500, 39), (3000, 90)])
def test_every_class_has_a_name_or_is_counted_among_the_others(figures, rows, classes):
    names = tuple(f"_{i} ${{" for i in range(classes))
    y = torch.arange(rows) % classes
    latent_scatter(torch.randn(rows, 2), y, names)
    shown = [text.get_text() for legend in figures[0].legends for text in legend.get_texts()]
    found = min(rows, classes)
    named = min(found, latent_pictures.MOST_CLASSES)
    assert shown == [*names[:named], *([f"{found - named} others"] if found > named else [])]
    assert sum(len(points.get_offsets()) for points in figures[0].axes[0].collections) == rows


def test_names_that_would_be_formulas_or_hidden_are_drawn_as_they_are():
    size(latent_scatter(torch.randn(9, 2), torch.arange(9) % 3 - 1, ("_hidden", "$x", "a" * 90)))


def test_rows_without_a_label_are_grey_and_named_so(figures):
    latent_scatter(torch.randn(9, 2), torch.tensor([-1] * 4 + [0] * 5), ("one",))
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["one", "no label"]
    latent_scatter(torch.randn(9, 2), None, ())
    assert not figures[1].legends


def test_codes_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"codes: expected shape \(n, 2\), got \(4, 3\); choose two units"):
        latent_scatter(torch.zeros(4, 3), None, ())
