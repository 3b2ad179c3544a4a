"""Pictures: other readers see the pixels that were written."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from stackae.pages.pictures import embedded, fitting, png, signed_palette, signed_sheet, strip


def read(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_gray_color_and_palettes_are_read_as_written() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert np.array_equal(read(png(pixels)), pixels)
    assert np.array_equal(read(png(pixels[..., 0]))[..., 0], pixels[..., 0])
    assert np.array_equal(read(png(pixels[..., 0], signed_palette())), signed_palette()[pixels[..., 0]])


def test_weights_are_red_and_blue_about_white() -> None:
    red, blue, white = read(signed_sheet(np.array([[1.0, -1.0, 0.0]]), (1, 3)))[0]
    assert red[0] > red[2] and blue[2] > blue[0] and min(white) > 240


def test_a_strip_is_as_bright_as_its_range() -> None:
    pixels = read(strip(np.array([[0.0, 1.0], [2.0, -1.0]]), (1, 2), 0.0, 1.0))[0, :, 0]
    assert pixels.tolist() == [0, 255, 255, 255, 0]


def test_few_large_pictures_fit() -> None:
    assert (fitting(300, (28, 28)), fitting(300, (512, 512)), fitting(3, (28, 28))) == (100, 1, 3)
    assert embedded(b"abc").startswith("data:image/png;base64,YWJj")
