"""Rows whose distances say which rows are alike: by values, or by the gradients of images."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from stackae.config.values import Comparison
from stackae.data.kind import kind_of
from stackae.data.rows import Rows
from stackae.errors import ConfigError, argument
from stackae.models.stack import in_batches

CELLS = 7  # per shorter side of an image
ORIENTATIONS = 8


def settled_comparison(x: Rows, by: Comparison, image_shape: tuple[int, ...] | None) -> Comparison:
    """Settle ``auto``: gradients for images in [0, 1] most of whose pixels are gray, else values.

    Raises:
        ConfigError: gradients of rows that are no images.
    """
    if by == "gradients" and image_shape is None:
        raise ConfigError(
            f"{argument('neighbours')}: expected images for gradients, got rows without a shape; pretrain with "
            f"{argument('image_shape', 'HEIGHTxWIDTH')}, or use {argument('neighbours', 'values')}"
        )
    if by != "auto":
        return by
    kind = kind_of(x)
    return "gradients" if image_shape is not None and kind.pixels and not kind.inked else "values"


def comparable(x: Rows, by: Comparison, image_shape: tuple[int, ...] | None) -> Rows:
    """Return rows whose distances say which of x (n, d) are alike, by a settled comparison.

    By values, pixels are compared by the angle between their centered square roots: the root evens out the variances of
    dark and bright pixels (Bartlett 1936), and the angle leaves out how bright a row is as a whole. Other rows stay as
    they are. By gradients, images (h, w) or (h, w, channels) are compared by the angle between their centered
    ``oriented_gradients``.
    """
    if by == "gradients":
        assert image_shape is not None
        shape = image_shape
        found = in_batches(lambda rows: oriented_gradients(rows.view(-1, *shape)), x)
    elif kind_of(x).pixels:
        found = in_batches(torch.sqrt, x)
    else:
        return x
    found -= found.mean(dim=0)
    return F.normalize(found, out=found)


def oriented_gradients(images: Tensor) -> Tensor:
    """Describe images (n, h, w) or (n, h, w, channels) by square roots of histograms of oriented gradients, norm 1.

    A pixel's gradient (of the channel where it is longest) counts its length for the ORIENTATIONS of lines, 180° in
    all, and for the square cells of which CELLS lie along the shorter side: for the two nearest orientations and the
    four nearest cells, by linear interpolation. Returns (n, ORIENTATIONS · rows · columns of cells).

    Dalal & Triggs (2005), Histograms of oriented gradients for human detection; Arandjelović & Zisserman (2012), Three
    things everyone should know to improve object retrieval (the root).
    """
    count, height, width = images.shape[:3]
    planes = images.reshape(count, height, width, -1).permute(0, 3, 1, 2)
    padded = F.pad(planes, (1, 1, 1, 1), mode="replicate")
    across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    length, longest = torch.hypot(across, down).max(dim=1)
    across, down = (each.gather(1, longest[:, None])[:, 0] for each in (across, down))
    turn = torch.atan2(down, across).remainder(math.pi) * (ORIENTATIONS / math.pi)
    places = torch.arange(ORIENTATIONS, device=images.device)[:, None, None]
    apart = ((turn[:, None] - places + ORIENTATIONS / 2).remainder(ORIENTATIONS) - ORIENTATIONS / 2).abs()
    maps = length[:, None] * (1 - apart).clamp(min=0)
    side = max(1, min(height, width) // CELLS)
    shifted = F.avg_pool2d(maps, side, stride=1, padding=side // 2)[:, :, :height, :width]
    found = F.avg_pool2d(shifted, side).flatten(1)  # a mean of means: the weight of a pixel falls linearly
    return F.normalize(found).sqrt()
