"""Scaling of the features: transform(x) = (x - offset) / scale, and back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from stackae.data.source import CHUNK_CELLS
from stackae.errors import ConfigError, DataError, nearest
from stackae.fields import SCALES

PER_FEATURE = ("minmax", "standard")


@dataclass(frozen=True, eq=False)
class Scaling:
    """A fitted scaling: its kind, and float32 offset and scale of shape (d,)."""

    kind: str
    offset: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, kind: str, x: np.ndarray | Tensor) -> Self:
        """The scaling of these rows (n, d), n at least 1, finite.

        ``none``: as they are. ``unit``: over 255 for uint8, else over the largest absolute value (1 when all are 0).
        ``minmax``: each feature to [0, 1], a constant one to 0. ``standard``: each feature to mean 0 and variance 1,
        a constant one to 0. ``auto``: unit for uint8, none for other data within [0, 1], else minmax. Raises
        ConfigError for another kind, DataError when the range of a feature is no 32-bit number.
        """
        if kind not in SCALES:
            raise ConfigError(f"scale: expected one of {', '.join(SCALES)}, got '{kind}'{nearest(kind, SCALES)}")
        rows = x.detach().cpu().numpy() if isinstance(x, Tensor) else x
        if kind == "auto":
            inside = rows.dtype != np.uint8 and rows.min() >= 0 and rows.max() <= 1
            kind = "unit" if rows.dtype == np.uint8 else "none" if inside else "minmax"
        if kind in PER_FEATURE:
            offset, scale = _per_feature(kind, rows)
        else:
            width = rows.shape[1]
            offset, scale = np.zeros(width), np.full(width, _largest(rows) if kind == "unit" else 1.0)
        return cls(kind, torch.tensor(offset, dtype=torch.float32), torch.tensor(scale, dtype=torch.float32))

    def transform(self, x: np.ndarray | Tensor) -> Tensor:
        """(n, d) float32 (x - offset) / scale, a new tensor; DataError when d is not the fitted width."""
        self.check_width(x.shape)
        if isinstance(x, Tensor):
            rows = x.detach().to(torch.float32, copy=True)
        else:
            rows = torch.from_numpy(np.array(x, dtype=np.float32, order="C"))
        return rows.sub_(self.offset.to(rows.device)).div_(self.scale.to(rows.device))

    def inverse_transform(self, x: Tensor) -> Tensor:
        """(n, d) float32 x * scale + offset; DataError when d is not the fitted width."""
        self.check_width(x.shape)
        return x.to(torch.float32) * self.scale.to(x.device) + self.offset.to(x.device)

    def to_tensors(self) -> dict[str, Tensor]:
        """``offset`` and ``scale``, for a safetensors file; the kind is kept elsewhere."""
        return {"offset": self.offset, "scale": self.scale}

    @classmethod
    def from_tensors(cls, kind: str, tensors: dict[str, Tensor]) -> Self:
        """The scaling that to_tensors wrote; DataError when the tensors cannot be one."""
        found: dict[str, Tensor] = {name: tensors[name] for name in ("offset", "scale") if name in tensors}
        if not _is_scaling(kind, found):
            shapes = {name: f"{tensor.dtype} {tuple(tensor.shape)}" for name, tensor in found.items()}
            raise DataError(
                f"scaling: expected a kind and finite float32 offset and scale (d,), scale above 0, got '{kind}' and "
                f"{shapes}; write them again by to_tensors"
            )
        return cls(kind, found["offset"], found["scale"])

    def to(self, device: torch.device | str) -> Self:
        """The same scaling with its tensors on a device."""
        return replace(self, offset=self.offset.to(device), scale=self.scale.to(device))

    def check_width(self, shape: tuple[int, ...]) -> None:
        """DataError unless the shape is (n, d), d the fitted width."""
        width = len(self.offset)
        if len(shape) != 2 or shape[1] != width:
            raise DataError(
                f"data: expected rows of {width} numbers, got shape {tuple(shape)}; "
                "give rows with the columns that the scaling was fitted on"
            )


def _largest(rows: np.ndarray) -> float:
    if rows.dtype == np.uint8:
        return 255.0
    return max(abs(float(rows.min())), abs(float(rows.max()))) or 1.0


def _per_feature(kind: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = rows.min(axis=0).astype(np.float32), rows.max(axis=0).astype(np.float32)
    span = checked_span(low, high)
    offset, scale = (low, span) if kind == "minmax" else _mean_and_deviation(rows)
    constant = (span == 0) | (scale == 0)
    return np.where(constant, low, offset), np.where(constant, np.float32(1), scale)


def checked_span(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(d,) float32 high - low; DataError when that of a feature is no 32-bit number."""
    with np.errstate(over="ignore"):
        span: np.ndarray = high - low
    if not np.isfinite(span).all():
        column = int(np.argmin(np.isfinite(span)))
        raise DataError(
            f"data: expected features whose range is a 32-bit number, got {low[column]:g} to {high[column]:g} in "
            f"column {column} (counted from 0); rescale it, or use --scale unit"
        )
    return span


def _mean_and_deviation(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    step = max(1, CHUNK_CELLS // rows.shape[1])
    mean = rows.mean(axis=0, dtype=np.float64)
    squares = np.zeros_like(mean)
    for start in range(0, len(rows), step):
        difference = rows[start : start + step] - mean
        squares += np.square(difference, out=difference).sum(axis=0)
    return mean.astype(np.float32), np.sqrt(squares / len(rows)).astype(np.float32)


def _is_scaling(kind: str, tensors: dict[str, Tensor]) -> bool:
    if kind not in SCALES or kind == "auto" or tensors.keys() != {"offset", "scale"}:
        return False
    offset, scale = tensors["offset"], tensors["scale"]
    form = offset.dtype == scale.dtype == torch.float32 and offset.ndim == 1 and offset.shape == scale.shape
    return form and len(offset) >= 1 and bool((torch.isfinite(offset) & torch.isfinite(scale) & (scale > 0)).all())
