"""scikit-learn's 1,797 handwritten digits: the data that need no download and no file."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from stackae.data.source import Source


def load_digits() -> Source:
    """x (1797, 784) uint8: the bundled 8x8 digits of 0 to 16, resized to 28x28 (bilinear) and to 0 to 255."""
    from sklearn.datasets import load_digits as bundled_digits

    bunch = bundled_digits()
    small = torch.from_numpy(bunch.images).to(torch.float32)[:, None]
    large = F.interpolate(small, size=(28, 28), mode="bilinear", align_corners=False)
    pixels = (large * (255 / 16)).round().clamp(0, 255).to(torch.uint8)
    return Source(
        name="digits",
        x=pixels.view(len(pixels), -1).numpy(),
        y=bunch.target.astype(np.int64),
        classes=tuple("0123456789"),
        image_shape=(28, 28),
    )
