"""Anomaly scores: reconstruction error, two closed-form baselines, thresholds, and detection performance.

A score maps rows x (batch, d) -> (batch,) float64; higher is more anomalous.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor

from stackae.autoencoders.pca import PrincipalComponents, principal_components_of
from stackae.data.minibatches import in_order
from stackae.data.rows import Rows, known_of
from stackae.errors import ConfigError, DataError
from stackae.metrics import auroc
from stackae.models.stack import ROWS_AT_ONCE, StackedAutoencoder
from stackae.ranks.turns import in_turns

Score = Callable[[Tensor], Tensor]
METHODS = ("autoencoder", "pca", "mahalanobis")
SMALLEST_VARIANCE = 1e-6  # of a principal component, relative to their mean; smaller variances are raised to it


class OfKnownCells(ABC):
    """A score of rows x (batch, d) by those of their cells that are ``known`` (batch, d), all where it is None."""

    @abstractmethod
    def __call__(self, x: Tensor, known: Tensor | None = None) -> Tensor: ...


def of_known(differences: Tensor, known: Tensor | None) -> Tensor:
    """Return differences (batch, d) that are 0 in missing cells and √(d / |O|) as large in the others, O, of a row.

    So that their squares sum to d times the mean over O, as those of a complete row do; 0 where O is empty. No errors.
    """
    if known is None:
        return differences
    share = known.double().mean(dim=1, keepdim=True).clamp(min=1 / known.shape[1])
    return torch.where(known, differences / share.sqrt(), 0.0)


@dataclass(frozen=True, eq=False)
class ReconstructionError(OfKnownCells):
    """s(x) = ‖x − z‖², where z is the reconstruction of x through ``layer``, from 1; None is the top.

    Squared units of the scaled data, summed over features. A stack reconstructs rows unlike its training rows worse.
    Of a row with missing cells, s is d times the mean of (x_i − z_i)² over the known ones.

    Japkowicz, Myers & Gluck (1995), A novelty detection approach to classification; Sakurada & Yairi (2014).
    """

    stack: StackedAutoencoder
    layer: int | None = None

    def errors(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """x (batch, d) -> (batch, d) float64 (x_i − z_i)²: the error per feature, NaN where a cell is missing.

        Each complete row sums to its score.
        """
        errors = self._differences(x).square()
        return errors if known is None else torch.where(known, errors, torch.nan)

    def __call__(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        return of_known(self._differences(x), known).square().sum(dim=1)

    def _differences(self, x: Tensor) -> Tensor:
        return (self.stack.reconstruct(x, self.layer) - x).double()


@dataclass(frozen=True, eq=False)
class QuadraticScore:
    """s(x) = Σ_j w_j (v_j · y)² + w ‖y − Σ_j (v_j · y) v_j‖², y = x − μ.

    Mean μ (d,), orthonormal rows v_j (r, d) and weights w_j >= 0 (r,), float64; ``rest`` is w >= 0.
    """

    mean: Tensor
    components: Tensor
    weights: Tensor
    rest: float

    def __call__(self, x: Tensor) -> Tensor:
        centered = x.double() - self.mean
        along = centered @ self.components.t()
        score = along.square() @ self.weights
        if self.rest == 0:
            return score
        return score + self.rest * (centered - along @ self.components).square().sum(dim=1)


def pca_score(principal: PrincipalComponents, n_components: int) -> QuadraticScore:
    """s(x) = ‖x − μ − Σ_{j<=m} v_j v_jᵀ (x − μ)‖², the residual of m principal components; 0 for m >= d. No errors.

    With fewer than m components, because the rest have no variance, it is the residual of all of them.
    """
    taken = principal.components[:n_components]
    return QuadraticScore(principal.mean, taken, taken.new_zeros(len(taken)), float(n_components < len(principal.mean)))


def mahalanobis_score(principal: PrincipalComponents) -> QuadraticScore:
    """s(x) = (x − μ)ᵀ C⁻¹ (x − μ), the squared Mahalanobis distance.

    A variance λ_j below SMALLEST_VARIANCE times the mean variance is raised to that value: features that are constant
    or linearly dependent (the border of an image) make C singular, and a row that differs there is anomalous, but by a
    finite amount. If no variance is that small, this is the definition, invariant under invertible affine maps of the
    rows. Without any variance it is ‖x − μ‖². No errors.

    Mahalanobis (1936), On the generalised distance in statistics.
    """
    smallest = smallest_variance(principal)
    variances = principal.variances[: len(principal.components)]
    variances = variances[variances > smallest]
    directions = principal.components[: len(variances)]
    rest = 0.0 if len(directions) == len(principal.mean) else 1 / smallest if smallest > 0 else 1.0
    return QuadraticScore(principal.mean, directions, 1 / variances, rest)


def smallest_variance(principal: PrincipalComponents) -> float:
    """Return the variance to which the Mahalanobis score raises all smaller ones."""
    return SMALLEST_VARIANCE * float(principal.variances.mean())


def fit_scores(
    stack: StackedAutoencoder, train: Rows, layer: int | None = None, *, baselines: bool = True
) -> dict[str, Score]:
    """Return the scores of METHODS by name: the stack's, and the closed-form baselines of training rows (n, d).

    PCA has as many components as the layer has units. Without ``baselines``, only the stack's score.

    Raises:
        DataError: no rows, or neither the covariance (d, d) nor the Gram matrix (n, n) fits in the memory.
    """
    scores: dict[str, Score] = {"autoencoder": ReconstructionError(stack, layer)}
    if baselines:
        principal = principal_components_of(train)
        n_hidden = stack.layer_sizes[-1 if layer is None else layer]
        scores |= {"pca": pca_score(principal, n_hidden), "mahalanobis": mahalanobis_score(principal)}
    return scores


@torch.no_grad()
def score_rows(score: Score, x: Rows, tell: Callable[[int], None] = lambda rows: None) -> Tensor:
    """x (n, d) -> (n,) float64 scores, computed for ROWS_AT_ONCE rows at a time; ``tell`` is told how many they were.

    Of rows with missing cells a score ``OfKnownCells`` is that of the known ones. Inf where the score overflows: the
    row is too far from those that the score was fitted on. No errors.
    """

    def scores(part: slice) -> Tensor:
        return score(x[part], known_of(x, part)) if isinstance(score, OfKnownCells) else score(x[part])

    found = torch.empty(len(x), dtype=torch.float64)  # small pieces kept between large ones let the heap grow
    parts = list(in_order(len(x), ROWS_AT_ONCE))
    for part, each in zip(parts, in_turns(parts, scores), strict=True):
        found[part] = each
        tell(len(each))
    return found.nan_to_num_(nan=math.inf, posinf=math.inf)


@torch.no_grad()
def feature_errors(score: ReconstructionError, x: Rows) -> Tensor:
    """x (n, d) -> (d,) float64 mean of (x_i − z_i)² over the rows with a finite score; their sum is its mean there.

    0 if no row has a finite score. Of rows with missing cells, the mean over the known ones; NaN where there is none.
    """
    total, count = torch.zeros(x.shape[1], dtype=torch.float64), torch.zeros(x.shape[1])
    gaps = False

    def sums(part: slice) -> tuple[Tensor, Tensor, bool]:
        known = known_of(x, part)
        errors, finite = score.errors(x[part]), score(x[part], known).isfinite()
        counted = finite[:, None].expand_as(errors) if known is None else finite[:, None] & known
        return torch.where(counted, errors, 0.0).sum(dim=0), counted.sum(dim=0), known is not None

    for more, rows, missing in in_turns(list(in_order(len(x), ROWS_AT_ONCE)), sums):
        total += more
        count += rows
        gaps = gaps or missing
    return torch.where(count > 0, total / count.clamp(min=1), torch.nan if gaps else 0.0)


def calibrated(scores: Tensor, false_alarm_rate: float) -> float:
    """t, the k-th smallest of n scores, k = ⌈(n + 1)(1 − a)⌉; Inf if k > n, so that nothing is flagged.

    A row is flagged if its score is above t. A row that is exchangeable with those that gave the scores is flagged with
    probability at most a, for any distribution and any n. With fewer than ``fewest_rows(a)`` scores, no finite
    threshold guarantees that.

    Args:
        scores: (n,) of rows that the score was not fitted on, in any order.
        false_alarm_rate: a, between 0 and 1.

    Raises:
        ConfigError: a rate that is not between 0 and 1.

    Vovk, Gammerman & Shafer (2005), Algorithmic learning in a random world; Laxhammar & Falkman (2010).
    """
    rate = _checked_rate(false_alarm_rate)
    rank = math.ceil((len(scores) + 1) * (1 - rate))
    return float(scores.sort().values[rank - 1]) if rank <= len(scores) else math.inf


def fewest_rows(false_alarm_rate: float) -> int:
    """⌈1/a⌉ − 1, the smallest number of scores with a finite ``calibrated`` threshold. Raises ConfigError likewise."""
    return math.ceil(1 / _checked_rate(false_alarm_rate)) - 1


def _checked_rate(rate: float) -> Fraction:
    """Return the rate as the decimal that was written: in binary, (n + 1)(1 − a) could round past a whole number."""
    if not 0 < rate < 1:
        raise ConfigError(f"false_alarm_rate: expected a number between 0 and 1, such as 0.01, got {rate:g}")
    return Fraction(str(float(rate)))


class Performance(NamedTuple):
    """``stackae.metrics.auroc``, and the shares of the normal and of the anomalous rows that are flagged."""

    auroc: float
    false_alarms: float
    detections: float


def performance(normal: Tensor, anomalous: Tensor, threshold: float) -> Performance:
    """Measure how well scores separate normal rows (n,) from anomalous ones (m,).

    Raises:
        DataError: there are no rows of one kind.
    """
    area = auroc(torch.cat((normal, anomalous)), torch.arange(len(normal) + len(anomalous)) >= len(normal))
    if area is None:
        raise DataError(
            f"auroc: expected normal and anomalous rows, got {len(normal):,} and {len(anomalous):,}; give some of both"
        )
    flagged = [(scores > threshold).double().mean().item() for scores in (normal, anomalous)]
    return Performance(area, *flagged)
