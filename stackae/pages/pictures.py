"""Pictures of pixels: arrays as PNG bytes, of gray, color, or signed values, embedded in the page."""

from __future__ import annotations

import base64
import math
import struct
import zlib

import numpy as np

GAP = 1  # pixels between two pictures of a sheet
MOST_PIXELS = 1 << 18  # of a sheet of filters


def png(pixels: np.ndarray, palette: np.ndarray | None = None) -> bytes:
    """Encode uint8 pixels (h, w) of gray or of places in a palette (256, 3), or (h, w, 3) of color, as PNG."""
    height, width = pixels.shape[:2]
    kind = 2 if pixels.ndim == 3 else 0 if palette is None else 3
    flat = np.ascontiguousarray(pixels).reshape(height, -1)
    lines = np.concatenate([np.zeros((height, 1), np.uint8), flat], axis=1)
    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    colors = b"" if palette is None else _chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    body = _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + colors + body + _chunk(b"IEND", b"")


def embedded(content: bytes) -> str:
    """Return the URI of a PNG that holds its bytes."""
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def strip(images: np.ndarray, shape: tuple[int, ...], low: float, high: float) -> bytes:
    """Draw images (n, d) of this shape beside each other; low is black, high is white."""
    scaled = np.clip((images - low) / ((high - low) or 1.0), 0, 1) * 255
    return png(_sheet(scaled.round().astype(np.uint8).reshape(len(images), *shape), len(images), 255))


def signed_sheet(weights: np.ndarray, shape: tuple[int, ...]) -> bytes:
    """Draw rows of weights (n, d), each scaled to its own range, as pictures in a square: blue negative, red positive.

    Of color, the weights are shown as colors about a middle gray.
    """
    most = np.abs(weights).max(axis=1, keepdims=True)
    scaled = weights / np.where(most > 0, most, 1.0)
    columns = math.ceil(math.sqrt(len(weights)))
    places = np.clip(128 + 127 * scaled, 1, 255).round().astype(np.uint8).reshape(len(weights), *shape)
    sheet = _sheet(places, columns, 0)
    return png(sheet) if sheet.ndim == 3 else png(sheet, signed_palette())


def signed_map(weights: np.ndarray) -> bytes:
    """Draw weights (n, d) as one picture on one scale: blue negative, red positive."""
    most = float(np.abs(weights).max()) or 1.0
    return png(np.clip(128 + 127 * weights / most, 1, 255).round().astype(np.uint8), signed_palette())


def signed_palette() -> np.ndarray:
    """Return colors (256, 3) from blue by white to red; the first is that of the gaps, which is white too."""
    share = (np.arange(256) - 128) / 127
    red, blue, white = (np.array(color, float) for color in ((178, 24, 43), (33, 102, 172), (247, 247, 247)))
    ends = np.where(share[:, None] > 0, red, blue)
    found = white + np.sqrt(np.abs(share))[:, None] ** 1.5 * (ends - white)
    found[0] = 255
    return np.asarray(found.clip(0, 255).round(), np.uint8)


def fitting(count: int, shape: tuple[int, ...], most: int = 100) -> int:
    """Return how many pictures of this shape a sheet holds, at least one and at most ``most``."""
    return max(1, min(count, most, MOST_PIXELS // max(1, math.prod(shape))))


def _sheet(images: np.ndarray, columns: int, gap: int) -> np.ndarray:
    count, height, width = images.shape[:3]
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, *images.shape[3:]), gap, np.uint8)
    for place, image in enumerate(images):
        top, left = place // columns * (height + GAP), place % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
