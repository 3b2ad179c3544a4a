"""Flat rows that are images: their shape by the settings, where the file does not say it."""

from __future__ import annotations

import math

from stackae.config import DataConfig
from stackae.data.source import Source
from stackae.errors import DataError, argument


def shaped(source: Source, config: DataConfig) -> Source:
    """The source whose rows are images of ``config.image_shape``, so that they are drawn as such.

    Raises DataError when such an image has another number of pixels than a row has columns.
    """
    if config.image_shape is None:
        return source
    shape, width = tuple(map(int, config.image_shape.split("x"))), source.x.shape[1]
    if math.prod(shape) != width:
        side = math.isqrt(width)
        other = f"use {argument('image_shape', f'{side}x{side}')}, or " if side * side == width else ""
        raise DataError(
            f"{argument('image_shape')}: expected an image of {width:,} numbers, as a row of {source.name} has, got "
            f"{config.image_shape}, which has {math.prod(shape):,}; {other}leave it out"
        )
    return source._replace(image_shape=shape)
