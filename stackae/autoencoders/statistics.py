"""Feature statistics: means and covariances of rows, codes and corrupted rows, which the closed forms need."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from stackae.autoencoders.corruption import Corruption
from stackae.config.values import CORRUPTIONS
from stackae.data.memory import check_memory
from stackae.data.minibatches import in_order
from stackae.data.rows import ByteRows, Rows
from stackae.data.stored.rows import StoredRows
from stackae.errors import ConfigError, DataError, nearest

ROWS_AT_ONCE = 1024  # of bytes, |(b − 128)²| <= 2^14: a sum over this many is an integer that float32 holds exactly
STRIP = 256  # columns of a symmetric matmul that are computed at once, from the diagonal down
MATRICES = 12  # (d, d) float64 matrices in memory at once, those of the solver included


@dataclass(frozen=True, eq=False)
class Moments:
    """μ = (1/n) Σ x_i and Σ (x_i − μ)(x_i − μ)ᵀ of n rows: count, mean (d,) and scatter (d, d), float64."""

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    @torch.no_grad()
    def of(
        cls, x: Rows, encode: Callable[[Tensor], Tensor] | None = None, device: torch.device | None = None
    ) -> Moments:
        """Compute the moments of x (n, d), or of the codes encode(x) (n, m), in one pass on ``device`` or that of x.

        Each chunk of 1,024 rows is centered by its own mean in float64, and the chunks are merged: a large mean costs
        no precision, and only a chunk and a few (d, d) matrices are in memory. Bytes are summed as integers, exactly:
        their moments are those of the scaled numbers before rounding to float32, bit-identical for any number of
        threads.

        Raises:
            DataError: no rows, no columns, NaN or Inf, or a d so large that the matrices do not fit in memory.

        Chan, Golub & LeVeque (1983), Algorithms for computing the sample variance.
        """
        if len(x.shape) != 2 or 0 in x.shape:
            raise DataError(
                f"moments: expected at least one row and one column, got shape {tuple(x.shape)}; give data with both"
            )
        device = device or x.device
        if encode is None and (isinstance(x, ByteRows) or (isinstance(x, StoredRows) and x.as_bytes)):
            return _checked(_of_bytes(x, device))
        pieces = (x[part].to(device) for part in in_order(len(x), ROWS_AT_ONCE))
        codes = pieces if encode is None else map(encode, pieces)
        return _checked(reduce(Moments.merged, map(_of_piece, codes)))

    @property
    def width(self) -> int:
        return len(self.mean)

    @property
    def covariance(self) -> Tensor:
        """E[(x − μ)(x − μ)ᵀ] (d, d), divided by n, not n − 1."""
        return self.scatter / self.count

    def merged(self, other: Moments) -> Moments:
        """Merge the moments of two sets of rows. Raises ValueError when their widths differ."""
        if self.width != other.width:
            raise ValueError(f"moments: expected those of rows of {self.width} numbers, got {other.width}")
        count = self.count + other.count
        difference = other.mean - self.mean
        between = torch.outer(difference, difference) * (self.count * other.count / count)
        return Moments(count, self.mean + difference * (other.count / count), self.scatter + other.scatter + between)

    def to(self, device: torch.device | str) -> Moments:
        """Return the same moments with their tensors on a device."""
        return Moments(self.count, self.mean.to(device), self.scatter.to(device))


def _of_piece(piece: Tensor) -> Moments:
    check_room(piece.shape[1], piece.device)
    rows = piece.to(torch.float64, copy=True)
    mean = rows.mean(dim=0)
    return Moments(len(rows), mean, _gram(rows.sub_(mean)))


def _of_bytes(x: ByteRows | StoredRows, device: torch.device) -> Moments:
    """Sum Σ b and Σ b bᵀ of the integers b = raw − 128; apply offset and scale afterwards."""
    count, width = x.shape
    check_room(width, device)
    total = torch.zeros(width, dtype=torch.float64, device=device)
    products = torch.zeros(width, width, dtype=torch.float64, device=device)
    for part in in_order(count, ROWS_AT_ONCE):
        rows = torch.as_tensor(x.raw[part]).to(device).float().sub_(128)
        total += rows.sum(dim=0)
        products += _gram(rows)
    offset, scale = x.scaling.offset.to(total), x.scaling.scale.to(total)
    scatter = (products - torch.outer(total, total) / count) / torch.outer(scale, scale)
    return Moments(count, (total / count + 128 - offset) / scale, scatter)


def _gram(rows: Tensor) -> Tensor:
    """rowsᵀ rows (d, d), exactly symmetric, for little more than half the arithmetic of the full matmul."""
    width = rows.shape[1]
    lower = rows.new_zeros(width, width)
    for start in range(0, width, STRIP):
        strip = slice(start, start + STRIP)
        lower[start:, strip] = rows[:, start:].t() @ rows[:, strip]
    return lower.tril() + lower.tril(-1).t()


def check_room(width: int, device: torch.device, remedy: str = "give fewer columns") -> None:
    """Raise DataError where the moments of rows of this width, and the solver's matrices, do not fit in memory."""
    if device.type == "cpu":
        check_memory(f"moments of {width:,} columns", MATRICES * 8 * width**2, remedy)


def _checked(moments: Moments) -> Moments:
    check_finite(moments.mean, moments.scatter.diagonal())
    return moments


def check_finite(mean: Tensor, squares: Tensor) -> None:
    """Raise DataError, naming the first bad column, unless all means and sums of squares (d,) are finite."""
    finite = mean.isfinite() & squares.isfinite()
    if not bool(finite.all()):
        column = int(finite.int().argmin())
        raise DataError(
            f"moments: expected finite numbers, got NaN, Inf or squares beyond them in column {column} (counted "
            "from 0); remove or fill them"
        )


@dataclass(frozen=True, eq=False)
class CorruptedMoments:
    """x and its corruption x̃: the means μ and μ̃ (d,), C = Cov(x), P = Cov(x, x̃) and Q = Cov(x̃) (d, d), float64.

    With probability p an entry is replaced by r, of mean m and variance δ², and gaussian noise of variance s² is added:
    μ̃ = (1−p) μ + p m, P = (1−p) C, Q = (1−p)² C + diag v, v_i = p (1−p) (C_ii + (μ_i − m)²) + p δ² + s². Masking has
    m = δ = s = 0; salt-and-pepper m = (high + low)/2, δ = (high − low)/2, s = 0; gaussian noise p = 0.

    Chen, Xu, Weinberger & Sha (2012), Marginalized denoising autoencoders for domain adaptation, derive masking.
    """

    mean: Tensor
    noisy_mean: Tensor
    covariance: Tensor
    cross: Tensor
    noisy_covariance: Tensor

    @classmethod
    def of(cls, moments: Moments, corruption: Corruption) -> CorruptedMoments:
        """Derive the expectation over infinitely many corruptions of the rows. Raises ConfigError for unknown noise."""
        _check_corruption(corruption)
        replaced = 0.0 if corruption.kind in ("none", "gaussian") else corruption.level
        salted = corruption.kind == "salt-and-pepper"
        middle = (corruption.high + corruption.low) / 2 if salted else 0.0
        reach = (corruption.high - corruption.low) / 2 if salted else 0.0
        added = corruption.level if corruption.kind == "gaussian" else 0.0
        mean, covariance = moments.mean, moments.covariance
        spread = covariance.diagonal() + (mean - middle).square()
        noise = replaced * (1 - replaced) * spread + replaced * reach**2 + added**2
        return cls(
            mean,
            (1 - replaced) * mean + replaced * middle,
            covariance,
            (1 - replaced) * covariance,
            (1 - replaced) ** 2 * covariance + noise.diag(),
        )

    def error(self, weight: Tensor, bias: Tensor) -> Tensor:
        """E‖x − A x̃ − b‖² = tr(C − 2 A Pᵀ + A Q Aᵀ) + ‖μ − A μ̃ − b‖², exactly; A (d, d), b (d,) -> scalar."""
        spread = self.covariance.trace() + (weight * (weight @ self.noisy_covariance - 2 * self.cross)).sum()
        return spread + (self.mean - weight @ self.noisy_mean - bias).square().sum()


def _check_corruption(corruption: Corruption) -> None:
    if corruption.kind not in CORRUPTIONS:
        raise ConfigError(
            f"corruption: expected one of {', '.join(CORRUPTIONS)}, got '{corruption.kind}'"
            f"{nearest(corruption.kind, CORRUPTIONS)}"
        )
    most = math.inf if corruption.kind == "gaussian" else 1.0
    numbers = (corruption.level, corruption.low, corruption.high)
    if not all(map(math.isfinite, numbers)) or not 0 <= corruption.level <= most:
        wanted = "a standard deviation of at least 0" if corruption.kind == "gaussian" else "a share between 0 and 1"
        raise ConfigError(
            f"corruption: expected {wanted}, and finite numbers, got {corruption.kind}:{corruption.level:g} with "
            f"low {corruption.low:g} and high {corruption.high:g}"
        )
