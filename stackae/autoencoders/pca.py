"""Principal components: the closed-form solution of the linear autoencoder, and an initialization for others."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stackae.apart import apart
from stackae.autoencoders.corruption import Corruption
from stackae.autoencoders.dense import Autoencoder
from stackae.autoencoders.start import check_n_hidden, start
from stackae.autoencoders.statistics import CorruptedMoments, Moments, check_finite
from stackae.data.memory import check_memory
from stackae.data.minibatches import in_order
from stackae.data.rows import Rows

NEAR = 1e-6  # entries of a component this near to its largest magnitude count as equally large
ROUNDINGS = 100  # times ε: an eigenvalue of a Gram matrix that is smaller, relative to the largest, is rounding error
CELLS_AT_ONCE = 1 << 22  # numbers of the centered rows that are held in float64 at a time


class PrincipalComponents(NamedTuple):
    """Mean μ (d,), orthonormal components v_j (r, d) and variances (d,), the largest first; all float64.

    r is d, or less where all further variances are 0.
    """

    mean: Tensor
    components: Tensor
    variances: Tensor

    @property
    def errors(self) -> Tensor:
        """(d + 1,) E‖x − z‖² with the first m components, for m = 0 to d: the sum of the remaining variances.

        The first entry is the error of reconstructing every row by the mean. Units are those of ``squared_error``:
        summed over features, averaged over rows.
        """
        tails = self.variances.flip(0).cumsum(0).flip(0)
        return torch.cat([tails, tails.new_zeros(1)])


@apart
def principal_components(moments: Moments) -> PrincipalComponents:
    """C = Σ_j λ_j v_j v_jᵀ, the eigendecomposition of the covariance.

    The (first) entry of the largest magnitude of each v_j is positive. Constant features, fewer rows than features and
    equal rows give variances of 0, whose components are arbitrary orthonormal ones.

    Hotelling (1933), Analysis of a complex of statistical variables into principal components.
    """
    variances, vectors = torch.linalg.eigh(moments.covariance)
    components = vectors.flip(1).t()
    return PrincipalComponents(moments.mean, with_signs(components), variances.flip(0).clamp(min=0))


@apart
def principal_components_of(x: Rows) -> PrincipalComponents:
    """Compute the principal components of rows x (n, d), by the covariance (d, d), or the Gram matrix where n < d.

    With Y the centered rows, Y Yᵀ (n, n) has eigenvectors u_j and eigenvalues n λ_j, and v_j = Yᵀ u_j / √(n λ_j).
    Components whose λ_j is rounding error are left out, so that r <= n − 1.

    Raises:
        DataError: no rows or columns, NaN or Inf, or so many rows and columns that the smaller matrix does not fit in
            memory.

    Turk & Pentland (1991), Eigenfaces for recognition.
    """
    count, width = x.shape
    if not 0 < count < width:
        return principal_components(Moments.of(x))
    check_memory(f"principal components of {count:,} rows", 8 * (4 * count**2 + count * width), "give fewer rows")
    strips = list(in_order(width, max(1, CELLS_AT_ONCE // count)))
    rows = x[:]  # a view, unless the rows are bytes
    mean = torch.empty(width, dtype=torch.float64, device=x.device)
    squares = torch.empty_like(mean)
    gram = mean.new_zeros(count, count)
    for strip in strips:
        columns = rows[:, strip].double()
        mean[strip] = columns.mean(dim=0)
        columns = columns - mean[strip]
        squares[strip] = columns.square().sum(dim=0)
        gram += columns @ columns.t()
    check_finite(mean, squares)
    values, vectors = (each.flip(-1) for each in torch.linalg.eigh(gram))
    kept = values > max(ROUNDINGS, count) * torch.finfo(torch.float64).eps * values[0]
    values, directions = values[kept], vectors[:, kept] / values[kept].sqrt()
    components = mean.new_empty(len(values), width)
    for strip in strips:
        components[:, strip] = directions.t() @ (rows[:, strip].double() - mean[strip])
    variances = torch.zeros_like(mean)
    variances[: len(values)] = values / count
    return PrincipalComponents(mean, with_signs(components), variances)


def initialise_pca(autoencoder: Autoencoder, moments: Moments) -> None:
    """W = V, b = −V μ, c = μ, and W' = Vᵀ where untied, with V the first n_hidden principal components of x.

    With f and g linear it reconstructs exactly as PCA does, and no other weights have a smaller squared error. For
    other f and g, see ``stackae.autoencoders.start.start``.

    Raises:
        ConfigError: more units than inputs, moments of rows of another width, or a g other than linear, sigmoid and
            tanh.

    Bourlard & Kamp (1988), Auto-association by multilayer perceptrons; Baldi & Hornik (1989).
    """
    check_n_hidden(autoencoder.n_hidden, autoencoder.n_visible)
    clean = CorruptedMoments.of(moments, Corruption())
    encoder = principal_components(moments).components[: autoencoder.n_hidden]
    start(autoencoder, encoder, encoder.t(), clean)


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """θ_i = arccos σ_i(A Bᵀ), for orthonormal bases A and B of the two row spaces: 0 to 90 degrees.

    Args:
        a: (k, d) rows that span the first space; they need not be orthogonal or independent.
        b: (l, d) rows that span the second space.

    Returns:
        (r,) float64, the smallest first, with r the smaller rank of the two. Sines are used besides cosines, so that
        angles near 0 are precise too.

    Raises:
        ValueError: an a or b that is not a matrix, or rows of different widths.

    Björck & Golub (1973), Numerical methods for computing angles between linear subspaces.
    """
    if a.dim() != 2 or b.dim() != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"a, b: expected rows of one width, (k, d) and (l, d), got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    larger, smaller = sorted((_basis(a), _basis(b)), key=len, reverse=True)
    shared = smaller @ larger.t()
    cosines = torch.linalg.svdvals(shared)
    sines = torch.linalg.svdvals(smaller - shared @ larger).flip(0)[: len(cosines)]
    return torch.rad2deg(torch.atan2(sines, cosines))


def with_signs(components: Tensor) -> Tensor:
    """Flip the signs of rows (m, d) so that each one's (first) entry of the largest magnitude is positive."""
    magnitudes = components.abs()
    large = magnitudes >= (1 - NEAR) * magnitudes.amax(dim=1, keepdim=True)
    decisive = components.gather(1, large.int().argmax(dim=1, keepdim=True))
    return torch.where(decisive < 0, -components, components)


def _basis(rows: Tensor) -> Tensor:
    """Return orthonormal rows (rank, d) float64 of the same span."""
    _, values, basis = torch.linalg.svd(rows.detach().double(), full_matrices=False)
    tolerance = max(rows.shape) * torch.finfo(rows.dtype).eps * values[:1].sum()
    kept: Tensor = basis[values > tolerance]
    return kept
