"""Scaling of the features: transform(x) = (x - offset) / scale, and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from stackae.config.values import SCALES
from stackae.data.source import CHUNK_CELLS, pixels, row_type
from stackae.data.stored.array import Array, StoredArray, column_extremes, column_means, pieces
from stackae.errors import ConfigError, DataError, argument, nearest

PER_FEATURE = ("minmax", "standard", "robust")
BYTE = 255.0
CLIP = 10.0  # distances of the quartiles from the median
PRECISIONS: dict[torch.dtype, np.dtype[Any]] = {
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
}


@dataclass(frozen=True, eq=False)
class Scaling:
    """A fitted scaling: its kind, and offset and scale of shape (d,), both float32 or both float64.

    Rows are scaled in that precision and rounded to 32 bits afterwards. Scaled values beyond ``clip`` become -clip or
    clip, where there is one. ``fill`` (d,), of the same precision, stands for missing cells, NaN, before they are
    scaled: the mean of those of its column that are known; None where no cell may be missing.
    """

    kind: str
    offset: Tensor
    scale: Tensor
    clip: float | None = None
    fill: Tensor | None = None

    @classmethod
    def fit(cls, kind: str, x: Array | Tensor, gaps: bool = False) -> Self:
        """The scaling of rows (n, d), n at least 1, of finite numbers, or NaN where a cell is missing, which has no
        part in it; of 64 bits where 32 do not hold every such number. With ``gaps``, cells of other rows may be
        missing.

        ``none``: as they are. ``unit``: over 255 for ``pixels``, else over the largest absolute value (1 when all are
        0).
        ``minmax``: each feature to [0, 1]. ``standard``: each feature to mean 0 and variance 1. ``robust``:
        (x - median) / (third quartile - first), clipped to [-10, 10]; where the quartiles are one number, over the
        median distance from it of the values that differ. A constant feature is 0 under these three. ``auto``: unit
        for ``pixels``, none for other data within [0, 1], else minmax. Raises ConfigError for another kind, DataError
        when the range of a float32 feature is no 32-bit number.
        """
        if kind not in SCALES:
            raise ConfigError(f"scale: expected one of {', '.join(SCALES)}, got '{kind}'{nearest(kind, SCALES)}")
        rows = x.detach().cpu().numpy() if isinstance(x, Tensor) else x
        if rows.dtype.kind == "f" and any(bool(np.isnan(piece).any()) for _, piece in pieces(rows)):
            return cls._of_known(kind, rows)
        if kind == "auto":
            low, high = column_extremes(rows)
            inside = low.min() >= 0 and high.max() <= 1
            kind = "unit" if pixels(rows) else "none" if inside else "minmax"
        precision, width = np.promote_types(row_type(rows.dtype), np.float32), rows.shape[1]
        if kind in PER_FEATURE:
            offset, scale = _per_feature(kind, rows, precision)
        else:
            precision = np.dtype(np.float32) if kind == "none" else precision
            offset, scale = np.zeros(width, precision), np.full(width, _largest(rows) if kind == "unit" else 1.0)
        found = torch.from_numpy(offset), torch.from_numpy(scale.astype(precision))
        fill = torch.from_numpy(column_means(rows).astype(precision)) if gaps else None
        return cls(kind, *found, CLIP if kind == "robust" else None, fill)

    @classmethod
    def _of_known(cls, kind: str, rows: Array) -> Self:
        """Of rows with missing cells: column by column, of its known cells; a column without any is 0 everywhere."""
        if kind not in PER_FEATURE:
            kind, divisor = _of_all_known(kind, rows)
        alone: list[tuple[Tensor, Tensor]] = []
        means: list[float] = []
        for column in _known_columns(rows):
            means.append(float(column.mean(dtype=np.float64)))
            if kind in PER_FEATURE:
                one = cls.fit(kind, column[:, None])
                alone.append((one.offset, one.scale))
        if kind in PER_FEATURE:
            offset, scale = (torch.cat([each[place] for each in alone]) for place in range(2))
        else:
            precision = np.dtype(np.float32) if kind == "none" else np.promote_types(row_type(rows.dtype), np.float32)
            scale = torch.from_numpy(np.full(len(means), divisor, precision))
            offset = torch.zeros_like(scale)
        fill = torch.tensor(means, dtype=torch.float64).to(offset.dtype)
        return cls(kind, offset, scale, CLIP if kind == "robust" else None, fill)

    def transform(self, x: np.ndarray | Tensor, filled: bool = True) -> Tensor:
        """(n, d) float32 (x - offset) / scale, a new tensor; DataError when d is not the fitted width.

        Missing cells have their ``fill`` first; where not ``filled``, they stay NaN.
        """
        self.check_width(x.shape)
        if isinstance(x, Tensor):
            rows = x.detach().to(self.offset.dtype, copy=True)
        else:
            rows = torch.from_numpy(np.array(x, dtype=PRECISIONS[self.offset.dtype], order="C"))
        if filled and self.fill is not None:
            rows = torch.where(rows.isnan(), self.fill.to(rows.device), rows)
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

    def times(self, factor: float) -> Self:
        """The same scaling, after which features are multiplied by ``factor``, above 0; what is clipped, is before.

        Raises ConfigError when no number of its precision is that much larger or smaller.
        """
        if factor == 1:
            return self
        scale = self.scale / factor
        if not bool((scale.isfinite() & (scale > 0)).all()):
            raise ConfigError(
                f"scale_factor: expected a factor that {8 * scale.itemsize}-bit scales can hold, got {factor:g}; use "
                "one nearer to 1"
            )
        return replace(self, scale=scale, clip=None if self.clip is None else self.clip * factor)

    def repeated(self, times: int) -> Self:
        """That of rows in which each feature is there so many times, one after the other."""
        offset, scale = (each.repeat_interleave(times) for each in (self.offset, self.scale))
        fill = None if self.fill is None else self.fill.repeat_interleave(times)
        return replace(self, offset=offset, scale=scale, fill=fill)

    @property
    def of_bytes(self) -> bool:
        """Whether kernels can apply it to bytes as they read them: 32 bits, and nothing clipped."""
        return self.offset.dtype == torch.float32 and self.clip is None

    def to_tensors(self) -> dict[str, Tensor]:
        """``offset``, ``scale``, and ``clip`` (1,) and ``fill`` where there are such, for a safetensors file; the kind
        is kept elsewhere."""
        clip = {} if self.clip is None else {"clip": torch.tensor([self.clip], dtype=torch.float64)}
        fill = {} if self.fill is None else {"fill": self.fill}
        return {"offset": self.offset, "scale": self.scale, **clip, **fill}

    @classmethod
    def from_tensors(cls, kind: str, tensors: dict[str, Tensor]) -> Self:
        """The scaling that to_tensors wrote; DataError when the tensors cannot be one."""
        names = ("offset", "scale", "clip", "fill")
        found: dict[str, Tensor] = {name: tensors[name] for name in names if name in tensors}
        if not _is_scaling(kind, found):
            shapes = {name: f"{tensor.dtype} {tuple(tensor.shape)}" for name, tensor in found.items()}
            raise DataError(
                f"scaling: expected a kind and finite float32 or float64 offset and scale (d,), scale above 0, perhaps "
                f"a fill (d,), and for robust a clip above 0, got '{kind}' and {shapes}; write them again by to_tensors"
            )
        clip = found["clip"].item() if "clip" in found else None
        return cls(kind, found["offset"], found["scale"], clip, found.get("fill"))

    def to(self, device: torch.device | str) -> Self:
        """The same scaling with its tensors on a device."""
        fill = None if self.fill is None else self.fill.to(device)
        return replace(self, offset=self.offset.to(device), scale=self.scale.to(device), fill=fill)

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
    if kind not in SCALES or kind == "auto" or tensors.keys() - {"fill"} != wanted:
        return False
    offset, scale = tensors["offset"], tensors["scale"]
    form = offset.dtype == scale.dtype and offset.dtype in PRECISIONS and offset.ndim == 1
    clip, fill = tensors.get("clip", torch.ones(1, dtype=torch.float64)), tensors.get("fill", offset)
    return (
        form
        and offset.shape == scale.shape == fill.shape
        and fill.dtype == offset.dtype
        and len(offset) >= 1
        and (clip.dtype, tuple(clip.shape)) == (torch.float64, (1,))
        and all(bool(torch.isfinite(tensor).all()) for tensor in (offset, scale, clip, fill))
        and bool((scale > 0).all())
        and bool((clip > 0).all())
    )


def _largest(rows: Array) -> float:
    """What ``unit`` divides by: 255 for pixels, else the largest absolute value, and 1 where all are 0."""
    if pixels(rows):
        return BYTE
    low, high = column_extremes(rows)
    return max(abs(float(low.min())), abs(float(high.max()))) or 1.0


def _of_all_known(kind: str, rows: Array) -> tuple[str, float]:
    """The kind that ``auto`` is, of the known cells of rows with missing ones, and what ``unit`` divides them by."""
    low, high = 0.0, 0.0
    known = False
    for _, piece in pieces(rows):
        cells = piece[~np.isnan(piece)]
        if len(cells):
            least, most = float(cells.min()), float(cells.max())
            low, high = (min(low, least), max(high, most)) if known else (least, most)
            known = True
    if kind == "auto":
        kind = "none" if low >= 0 and high <= 1 else "minmax"
    return kind, (max(abs(low), abs(high)) or 1.0) if kind == "unit" else 1.0


def _known_columns(rows: Array) -> Iterator[np.ndarray]:
    """The known cells of each column; a 0 where none is."""
    none = np.zeros(1, dtype=rows.dtype)
    strips = (
        (rows.columns(each.start, each.stop) for each in rows.strips()) if isinstance(rows, StoredArray) else [rows]
    )
    for strip in strips:
        for column in strip.T:
            known = column[~np.isnan(column)]
            yield known if len(known) else none


def _per_feature(kind: str, rows: Array, precision: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Offset and scale (d,) of minmax, standard or robust, in that precision: a constant feature has its value and 1.

    Raises DataError when the range of a feature is no number of that precision.
    """
    low, high = (each.astype(precision) for each in column_extremes(rows))
    span = checked_span(low, high)
    if kind == "minmax":
        offset, scale = low, span
    else:
        offset, scale = _mean_and_deviation(rows) if kind == "standard" else _median_and_distance(rows)
        offset, scale = offset.astype(precision), scale.astype(precision)
    constant = (span == 0) | (scale == 0)
    return np.where(constant, low, offset), np.where(constant, np.ones_like(scale), scale)


def checked_span(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(d,) high - low, in their precision; DataError when that of a feature is no number of it."""
    with np.errstate(over="ignore"):
        span: np.ndarray = high - low
    if not np.isfinite(span).all():
        column = int(np.argmin(np.isfinite(span)))
        raise DataError(
            f"data: expected features whose range is a {8 * span.itemsize}-bit number, got {low[column]:g} to "
            f"{high[column]:g} in column {column} (counted from 0); rescale it, or use {argument('scale', 'unit')}"
        )
    return span


def _mean_and_deviation(rows: Array) -> tuple[np.ndarray, np.ndarray]:
    """In two passes: what the first leaves of the mean, by rounding, the second takes out of both."""
    mean = column_means(rows)
    rest, squares = np.zeros_like(mean), np.zeros_like(mean)
    for _, piece in pieces(rows):
        difference = piece - mean
        rest += difference.sum(axis=0)
        squares += np.square(difference, out=difference).sum(axis=0)
    rest /= len(rows)
    return mean + rest, np.sqrt(np.maximum(squares / len(rows) - rest**2, 0))


def _median_and_distance(rows: Array) -> tuple[np.ndarray, np.ndarray]:
    """The median and the distance of the quartiles, exactly, of as many columns at once as a chunk holds.

    Where the quartiles are one number, which more than half of the rows then have, the distance is the median one of
    the others from it.
    """
    if isinstance(rows, StoredArray):
        found = [_median_and_distance(rows.columns(each.start, each.stop)) for each in rows.strips()]
        middles, distances = zip(*found, strict=True)
        return np.concatenate(middles), np.concatenate(distances)
    count, width = rows.shape
    step = max(1, CHUNK_CELLS // count)
    median, distance = np.empty(width), np.empty(width)
    for start in range(0, width, step):
        columns = np.array(rows[:, start : start + step].T, dtype=np.float64, order="C")
        first, middle, third = np.quantile(columns, (0.25, 0.5, 0.75), axis=1, overwrite_input=True)
        median[start : start + step], apart = middle, third - first
        for column in np.flatnonzero(apart == 0).tolist():
            away = np.abs(columns[column] - middle[column])
            away = away[away > 0]
            apart[column] = np.median(away) if len(away) else 0.0
        distance[start : start + step] = apart
    return median, distance
