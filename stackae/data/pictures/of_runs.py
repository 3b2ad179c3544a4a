"""Pictures and flat rows for a run that was trained on the other of both."""

from __future__ import annotations

import math

import numpy as np

from stackae.config import DataConfig
from stackae.data.formats import place_of
from stackae.data.scaling import Scaling
from stackae.data.source import Source, in_memory


def settled_pictures(source: Source) -> dict[str, str]:
    """The settings by which pictures are made what the rows of ``source`` are, where these are images of one channel or
    three."""
    if source.image_shape is None or source.image_shape[2:] not in ((), (1,), (3,)):
        return {}
    height, width, *channels = source.image_shape
    return {"size": f"{height}x{width}", "colour": "colour" if channels == [3] else "grey"}


def as_trained(source: Source, config: DataConfig, scaling: Scaling) -> Source:
    """Rows for a run of these settings: flat ones have the shape of its pictures, where they are as wide, and pixels
    are divided by the largest where it was trained on rows within [0, 1]."""
    place = place_of(config.data)
    if place is None or not place.format.pictures:
        shape = tuple(map(int, (config.size or "0x0").split("x"))) + (3,) * (config.colour == "colour")
        fits = source.image_shape is None and source.x.ndim == 2 and math.prod(shape) == source.x.shape[1]
        return source._replace(image_shape=shape) if fits else source
    if bool((scaling.offset > 1).any() or (scaling.scale > 1).any()):
        return source
    most = np.iinfo(source.x.dtype).max
    told = f"{source.name}: pixels are divided by {most:,}, as the rows that the run was trained on lie within [0, 1]"
    x, x_test = (
        None if each is None else in_memory(each, source.name, "pictures").astype(np.float32) / most
        for each in (source.x, source.x_test)
    )
    assert x is not None
    return source._replace(x=x, x_test=x_test, notes=(*source.notes, told))
