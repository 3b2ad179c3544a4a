"""Scaling of the features: transform(x) = (x - offset) / scale, and back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from stackae.config.values import SCALES
from stackae.data.fitting import largest, per_feature
from stackae.data.source import row_type
from stackae.errors import ConfigError, DataError, nearest

PER_FEATURE = ("minmax", "standard", "robust")
CLIP = 10.0  # distances of the quartiles from the median
PRECISIONS: dict[torch.dtype, np.dtype[Any]] = {
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
}


@dataclass(frozen=True, eq=False)
class Scaling:
    """A fitted scaling: its kind, and offset and scale of shape (d,), both float32 or both float64.

    Rows are scaled in that precision and rounded to 32 bits afterwards. Scaled values beyond ``clip`` become -clip or
    clip, where there is one.
    """

    kind: str
    offset: Tensor
    scale: Tensor
    clip: float | None = None

    @classmethod
    def fit(cls, kind: str, x: np.ndarray | Tensor) -> Self:
        """The scaling of these rows (n, d), n at least 1, finite; of 64 bits where 32 do not hold every such number.

        ``none``: as they are. ``unit``: over 255 for uint8, else over the largest absolute value (1 when all are 0).
        ``minmax``: each feature to [0, 1]. ``standard``: each feature to mean 0 and variance 1. ``robust``:
        (x - median) / (third quartile - first), clipped to [-10, 10]; where the quartiles are one number, over the
        median distance from it of the values that differ. A constant feature is 0 under these three. ``auto``: unit
        for uint8, none for other data within [0, 1], else minmax. Raises ConfigError for another kind, DataError when
        the range of a float32 feature is no 32-bit number.
        """
        if kind not in SCALES:
            raise ConfigError(f"scale: expected one of {', '.join(SCALES)}, got '{kind}'{nearest(kind, SCALES)}")
        rows = x.detach().cpu().numpy() if isinstance(x, Tensor) else x
        if kind == "auto":
            inside = rows.dtype != np.uint8 and rows.min() >= 0 and rows.max() <= 1
            kind = "unit" if rows.dtype == np.uint8 else "none" if inside else "minmax"
        precision, width = np.promote_types(row_type(rows.dtype), np.float32), rows.shape[1]
        if kind in PER_FEATURE:
            offset, scale = per_feature(kind, rows, precision)
        else:
            precision = np.dtype(np.float32) if kind == "none" else precision
            offset, scale = np.zeros(width, precision), np.full(width, largest(rows) if kind == "unit" else 1.0)
        found = torch.from_numpy(offset), torch.from_numpy(scale.astype(precision))
        return cls(kind, *found, CLIP if kind == "robust" else None)

    def transform(self, x: np.ndarray | Tensor) -> Tensor:
        """(n, d) float32 (x - offset) / scale, a new tensor; DataError when d is not the fitted width."""
        self.check_width(x.shape)
        if isinstance(x, Tensor):
            rows = x.detach().to(self.offset.dtype, copy=True)
        else:
            rows = torch.from_numpy(np.array(x, dtype=PRECISIONS[self.offset.dtype], order="C"))
        rows.sub_(self.offset.to(rows.device)).div_(self.scale.to(rows.device))
        if self.clip is not None:
            rows.clamp_(-self.clip, self.clip)
        return rows.to(torch.float32)

    def inverse_transform(self, x: Tensor) -> Tensor:
        """(n, d) x * scale + offset, of the precision of both; DataError when d is not the fitted width.

        What was clipped comes back as the bound that it was clipped to.
        """
        self.check_width(x.shape)
        return x.to(self.offset.dtype) * self.scale.to(x.device) + self.offset.to(x.device)

    @property
    def of_bytes(self) -> bool:
        """Whether kernels can apply it to bytes as they read them: 32 bits, and nothing clipped."""
        return self.offset.dtype == torch.float32 and self.clip is None

    def to_tensors(self) -> dict[str, Tensor]:
        """``offset``, ``scale`` and ``clip`` (1,) where there is one, for a safetensors file; the kind is kept
        elsewhere."""
        clip = {} if self.clip is None else {"clip": torch.tensor([self.clip], dtype=torch.float64)}
        return {"offset": self.offset, "scale": self.scale, **clip}

    @classmethod
    def from_tensors(cls, kind: str, tensors: dict[str, Tensor]) -> Self:
        """The scaling that to_tensors wrote; DataError when the tensors cannot be one."""
        found: dict[str, Tensor] = {name: tensors[name] for name in ("offset", "scale", "clip") if name in tensors}
        if not _is_scaling(kind, found):
            shapes = {name: f"{tensor.dtype} {tuple(tensor.shape)}" for name, tensor in found.items()}
            raise DataError(
                f"scaling: expected a kind and finite float32 or float64 offset and scale (d,), scale above 0, and for "
                f"robust a clip above 0, got '{kind}' and {shapes}; write them again by to_tensors"
            )
        return cls(kind, found["offset"], found["scale"], found["clip"].item() if "clip" in found else None)

    def to(self, device: torch.device | str) -> Self:
        """The same scaling with its tensors on a device."""
        return replace(self, offset=self.offset.to(device), scale=self.scale.to(device))

    def check_width(self, shape: tuple[int, ...], name: str = "data") -> None:
        """DataError, which names the rows so, unless the shape is (n, d), d the fitted width."""
        width = len(self.offset)
        if len(shape) != 2 or shape[1] != width:
            raise DataError(
                f"{name}: expected rows of {width} numbers, got shape {tuple(shape)}; "
                "give rows with the columns that the scaling was fitted on"
            )


def _is_scaling(kind: str, tensors: dict[str, Tensor]) -> bool:
    wanted = {"offset", "scale"} | ({"clip"} if kind == "robust" else set())
    if kind not in SCALES or kind == "auto" or tensors.keys() != wanted:
        return False
    offset, scale = tensors["offset"], tensors["scale"]
    form = offset.dtype == scale.dtype and offset.dtype in PRECISIONS and offset.ndim == 1
    clip = tensors.get("clip", torch.ones(1, dtype=torch.float64))
    return (
        form
        and offset.shape == scale.shape
        and len(offset) >= 1
        and (clip.dtype, tuple(clip.shape)) == (torch.float64, (1,))
        and all(bool(torch.isfinite(tensor).all()) for tensor in (offset, scale, clip))
        and bool((scale > 0).all())
        and bool((clip > 0).all())
    )
