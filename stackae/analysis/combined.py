"""The default anomaly score: how unusual a row's code is, and how lonely and how far its code and residual lie.

Reconstruction error alone misses rows that a stack reconstructs well although it has seen none like them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from stackae.analysis.anomaly import OfKnownCells, QuadraticScore, of_known, score_rows
from stackae.autoencoders.pca import PrincipalComponents, principal_components_of
from stackae.data.minibatches import in_order
from stackae.data.rows import Rows, evenly, inputs_of, known_of
from stackae.errors import DataError
from stackae.models.stack import StackedAutoencoder

RIDGE = 0.01  # share of the mean variance that replaces as much of each variance
NEIGHBOURS = 20
FEWEST_ROWS = 4  # of the reference
MOST_REFERENCE = 1 << 11  # rows
MOST_CELLS = 1 << 22  # numbers of the reference rows with their codes
MOST_VALIDATION = 1 << 13  # rows
AT_ONCE = 256  # rows whose distances to all reference rows are held
SMALLEST_SPREAD = 1e-3  # standard deviation of a root
WEIGHTS = (0.25, 0.5, 0.25)  # of code, local outlier factor, distance


def ridge_mahalanobis(principal: PrincipalComponents) -> QuadraticScore:
    """s(x) = (x − μ)ᵀ ((1 − a) C + a v I)⁻¹ (x − μ), v the mean variance and a = RIDGE; ‖x − μ‖² without any variance.

    Unlike ``anomaly.mahalanobis_score`` it bounds what directions without variance weigh, so that it also serves codes
    of few rows. No errors.

    Ledoit & Wolf (2004), A well-conditioned estimator for large-dimensional covariance matrices.
    """
    mean = float(principal.variances.mean())
    if mean == 0:
        return QuadraticScore(principal.mean, principal.components[:0], principal.variances[:0], 1.0)
    variances = principal.variances[: len(principal.components)]
    whole = len(variances) == len(principal.mean)
    return QuadraticScore(
        principal.mean,
        principal.components,
        1 / ((1 - RIDGE) * variances + RIDGE * mean),
        0.0 if whole else 1 / (RIDGE * mean),
    )


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """LOF_k(x) = mean of lrd(o) / lrd(x) over the k nearest reference rows o, and the mean distance ‖x − o‖ to them.

    lrd is the local reachability density. LOF is 1 where x lies as close to its neighbours as they to theirs, larger
    where it is lonelier: as scikit-learn's of ``novelty=True``.

    Attributes:
        rows: (m, d) float64, m > k.
        distances: (m,) of each row to its k-th neighbour.
        densities: (m,) lrd, the inverse of the mean reachability distance to its k neighbours.
        own: (m, 2) LOF and mean distance of each row among the others.

    Breunig, Kriegel, Ng & Sander (2000), LOF: identifying density-based local outliers; Angiulli & Pizzuti (2002), Fast
    outlier detection in high dimensional spaces.
    """

    rows: Tensor
    distances: Tensor
    densities: Tensor
    neighbours: int
    own: Tensor

    @classmethod
    def fit(cls, rows: Tensor) -> Self:
        """Fit on rows (m, d), m >= 2, with NEIGHBOURS neighbours, or as many as there are. No errors."""
        neighbours = min(NEIGHBOURS, len(rows) - 1)
        found = []
        for part in in_order(len(rows), AT_ONCE):
            between = torch.cdist(rows[part], rows)
            between[:, part].fill_diagonal_(math.inf)
            found.append(between.topk(neighbours, largest=False))
        distances, nearest = (torch.cat(each) for each in zip(*found, strict=True))
        reach = torch.maximum(distances, distances[:, -1][nearest])
        densities = density(reach)
        factor = densities[nearest].mean(dim=1) / densities
        own = torch.stack((factor, distances.mean(dim=1)), dim=1)
        return cls(rows, distances[:, -1], densities, neighbours, own)

    def __call__(self, x: Tensor) -> Tensor:
        """x (batch, d) float64 -> (batch, 2): LOF, mean distance."""
        return torch.cat([self._of(x[part]) for part in in_order(len(x), AT_ONCE)] or [x.new_empty(0, 2)])

    def _of(self, x: Tensor) -> Tensor:
        nearest = torch.cdist(x, self.rows).topk(self.neighbours, largest=False)
        reach = torch.maximum(nearest.values, self.distances[nearest.indices])
        factor = self.densities[nearest.indices].mean(dim=1) / density(reach)
        return torch.stack((factor, nearest.values.mean(dim=1)), dim=1)


def density(reach: Tensor) -> Tensor:
    """(batch, k) reachability distances to k neighbours -> (batch,) lrd, the inverse of their mean."""
    return 1 / (reach.mean(dim=1) + 1e-10)  # equal rows lie at distance 0


@dataclass(frozen=True, eq=False)
class CombinedScore(OfKnownCells):
    """s(x) = log(1 + exp(¼ z_1(x) + ½ z_2(x) + ¼ z_3(x))), z_j = (s_j^¼ − m_j) / σ_j, fitted on training rows (m, d).

    s_1 is ``ridge_mahalanobis`` of the code h = f(x) of the stack's top; s_2 and s_3 are the LOF of [a h, r] and its
    mean distance to neighbours, r = x − z being the residual and a such that codes vary as much as reconstructions z
    do: both are in units of the scaled data. m_j and σ_j are mean and standard deviation of s_j^¼ over the rows: a
    typical row scores log 2 = 0.69, and far above it s counts standard deviations. The fourth root of a χ² variable is
    nearly normal. Missing cells have no part in r, and the others count for them (``anomaly.of_known``).

    Hawkins & Wixley (1986), A note on the transformation of chi-squared variables to normality.
    """

    stack: StackedAutoencoder
    code: QuadraticScore
    neighbourhood: Neighbourhood
    scale: float
    mean: Tensor
    spread: Tensor

    @classmethod
    @torch.no_grad()
    def fit(cls, stack: StackedAutoencoder, x: Tensor, known: Tensor | None = None) -> Self:
        """Fit on reference rows (m, d), m >= 2. Raises DataError where memory does not suffice."""
        h, z = _code_and_reconstruction(stack, x)
        variances = [float(each.var(dim=0).sum()) for each in (z, h)]
        scale = math.sqrt(variances[0] / variances[1]) if min(variances) > 0 else 1.0
        code = ridge_mahalanobis(principal_components_of(h))
        neighbourhood = Neighbourhood.fit(torch.cat((scale * h, of_known(z.neg_().add_(x), known)), dim=1))
        own = roots(code(h), neighbourhood.own)
        spread = own.std(dim=0).clamp(min=SMALLEST_SPREAD)
        return cls(stack, code, neighbourhood, scale, own.mean(dim=0), spread)

    def parts(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """x (batch, d) -> (batch, 3) float64 standardised roots of the parts; Inf beyond the numbers."""
        h, z = _code_and_reconstruction(self.stack, x)
        together = torch.cat((self.scale * h, of_known(z.neg_().add_(x), known)), dim=1)
        return (roots(self.code(h), self.neighbourhood(together)) - self.mean) / self.spread

    def __call__(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        return F.softplus(self.parts(x, known) @ self.mean.new_tensor(WEIGHTS))


def _code_and_reconstruction(stack: StackedAutoencoder, x: Tensor) -> tuple[Tensor, Tensor]:
    h = stack.encode(x)
    return h.double(), stack.decode(h).double()


def roots(code: Tensor, lonely: Tensor) -> Tensor:
    """(batch,) and (batch, 2) parts of the score -> (batch, 3) fourth roots."""
    parts = torch.cat((code[:, None], lonely), dim=1)
    return parts.nan_to_num(nan=math.inf, posinf=math.inf).clamp(min=0).pow(0.25)


class Combined(NamedTuple):
    """What a run keeps of ``CombinedScore``, which is fitted again on the reference rows when it is read.

    reference (m, d) float32 are scaled training rows, validation (n,) float64 the sorted scores of validation rows;
    known (m, d) bool says which cells of the reference are not missing, None where all are there.
    """

    reference: Tensor
    validation: Tensor
    known: Tensor | None = None


def fit_combined(stack: StackedAutoencoder, train: Rows, validation: Rows) -> Combined | None:
    """Fit the score on at most MOST_REFERENCE training rows, and score validation rows, all taken at even distances.

    None if training rows are too few, if a validation row has no finite score, or without the memory. No errors.
    """
    most = min(MOST_REFERENCE, MOST_CELLS // (stack.layer_sizes[0] + stack.layer_sizes[-1]))
    taken = evenly(train, most)
    x, known = inputs_of(taken)[:], known_of(taken, slice(None))
    distinct = torch.unique(x if known is None else torch.cat((x, known.float()), dim=1), dim=0)
    reference = distinct[:, : x.shape[1]].contiguous()  # equal rows would have neighbours at distance 0
    known = None if known is None else distinct[:, x.shape[1] :] > 0
    if len(reference) < FEWEST_ROWS:
        return None
    try:
        scores = score_rows(CombinedScore.fit(stack, reference, known), evenly(validation, MOST_VALIDATION))
    except DataError:
        return None
    return Combined(reference, scores.sort().values, known) if bool(scores.isfinite().all()) else None
