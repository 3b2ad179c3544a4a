"""How unusual rows are: reconstruction error, two scores in closed form beside it, thresholds, and how well they tell.

A score is a function of rows x (batch, d) -> (batch,) float64, the larger the stranger.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor

from stackae.autoencoders.pca import PrincipalComponents, principal_components_of
from stackae.data.minibatches import in_order
from stackae.data.rows import Rows
from stackae.errors import ConfigError, DataError
from stackae.metrics import auroc
from stackae.models.stack import ROWS_AT_ONCE, StackedAutoencoder, in_batches

Score = Callable[[Tensor], Tensor]
METHODS = ("autoencoder", "pca", "mahalanobis")
SMALLEST_VARIANCE = 1e-6  # of a principal component, as a share of their mean: a smaller one counts as this


@dataclass(frozen=True, eq=False)
class ReconstructionError:
    """s(x) = ‖x − z‖², z the reconstruction of x through ``layer``, which counts from 1; None is the top.

    In the units of the scaled data, squared, summed over features. A stack that was trained on rows of one kind
    reconstructs others worse.

    Japkowicz, Myers & Gluck (1995), A novelty detection approach to classification; Sakurada & Yairi (2014).
    """

    stack: StackedAutoencoder
    layer: int | None = None

    def errors(self, x: Tensor) -> Tensor:
        """x (batch, d) -> (batch, d) float64 (x_i − z_i)²: where the error lies. A row of them sums to its score."""
        return (self.stack.reconstruct(x, self.layer) - x).double().square()

    def __call__(self, x: Tensor) -> Tensor:
        return self.errors(x).sum(dim=1)


@dataclass(frozen=True, eq=False)
class QuadraticScore:
    """s(x) = Σ_j w_j (v_j · y)² + w ‖y − Σ_j (v_j · y) v_j‖², y = x − μ.

    Mean μ (d,), orthonormal rows v_j (r, d) and weights w_j >= 0 (r,), float64, and ``rest`` w >= 0.
    """

    mean: Tensor
    components: Tensor
    weights: Tensor
    rest: float

    def __call__(self, x: Tensor) -> Tensor:
        centred = x.double() - self.mean
        along = centred @ self.components.t()
        score = along.square() @ self.weights
        if self.rest == 0:
            return score
        return score + self.rest * (centred - along @ self.components).square().sum(dim=1)


def pca_score(principal: PrincipalComponents, n_components: int) -> QuadraticScore:
    """s(x) = ‖x − μ − Σ_{j<=m} v_j v_jᵀ (x − μ)‖², what m principal components leave; 0 for m >= d. No errors.

    Where there are fewer than m components, because no variance is left beyond them, it is what all of them leave.
    """
    taken = principal.components[:n_components]
    return QuadraticScore(principal.mean, taken, taken.new_zeros(len(taken)), float(n_components < len(principal.mean)))


def mahalanobis_score(principal: PrincipalComponents) -> QuadraticScore:
    """s(x) = (x − μ)ᵀ C⁻¹ (x − μ), the squared Mahalanobis distance.

    A variance λ_j below SMALLEST_VARIANCE times the mean variance counts as so much: features that are constant or
    follow from others (the border of an image) make C singular, and a row that differs there is strange, though not
    without bound. Where no variance is so small this is the definition, and the same under every invertible affine map
    of the rows. Without any variance it is ‖x − μ‖². No errors.

    Mahalanobis (1936), On the generalised distance in statistics.
    """
    smallest = smallest_variance(principal)
    variances = principal.variances[: len(principal.components)]
    variances = variances[variances > smallest]
    directions = principal.components[: len(variances)]
    rest = 0.0 if len(directions) == len(principal.mean) else 1 / smallest if smallest > 0 else 1.0
    return QuadraticScore(principal.mean, directions, 1 / variances, rest)


def smallest_variance(principal: PrincipalComponents) -> float:
    """As what the Mahalanobis score counts all smaller variances."""
    return SMALLEST_VARIANCE * float(principal.variances.mean())


def fit_scores(
    stack: StackedAutoencoder, train: Rows, layer: int | None = None, *, baselines: bool = True
) -> dict[str, Score]:
    """The scores of METHODS by name: the stack's, and the baselines, fitted on the training rows (n, d) in closed form.

    PCA has as many components as the layer has units. Without ``baselines`` the stack's alone.

    Raises:
        DataError: no rows, or so many rows and columns that neither the covariance (d, d) nor the Gram matrix (n, n)
            fits in the memory.
    """
    scores: dict[str, Score] = {"autoencoder": ReconstructionError(stack, layer)}
    if baselines:
        principal = principal_components_of(train)
        n_hidden = stack.layer_sizes[-1 if layer is None else layer]
        scores |= {"pca": pca_score(principal, n_hidden), "mahalanobis": mahalanobis_score(principal)}
    return scores


def score_rows(score: Score, x: Rows) -> Tensor:
    """(n,) float64 score of each row of x (n, d), ROWS_AT_ONCE of them at a time.

    Inf where it is beyond the numbers: the row is too far from those that the score was fitted on. No errors.
    """
    return in_batches(score, x).nan_to_num(nan=math.inf, posinf=math.inf)


@torch.no_grad()
def feature_errors(score: ReconstructionError, x: Rows) -> Tensor:
    """(d,) float64 mean of (x_i − z_i)² over the rows of x (n, d) whose score is finite; they sum to its mean there.

    0 where there is none.
    """
    total, count = torch.zeros(x.shape[1], dtype=torch.float64), 0
    for part in in_order(len(x), ROWS_AT_ONCE):
        errors = score.errors(x[part])
        errors = errors[errors.sum(dim=1).isfinite()]
        total += errors.sum(dim=0)
        count += len(errors)
    return total / max(1, count)


def calibrated(scores: Tensor, false_alarm_rate: float) -> float:
    """t, the k-th smallest of n scores, k = ⌈(n + 1)(1 − a)⌉; Inf where k > n, so that nothing is flagged.

    A row is flagged when its score is above t. A row like those that gave the scores (exchangeable with them) is
    flagged with probability at most a, for any distribution and any n; with fewer than ``fewest_rows(a)`` of them, no
    finite threshold promises that.

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
    """⌈1/a⌉ − 1, the fewest scores with which ``calibrated`` gives a finite threshold; ConfigError as it raises it."""
    return math.ceil(1 / _checked_rate(false_alarm_rate)) - 1


def _checked_rate(rate: float) -> Fraction:
    """As it is written in decimals: in binary, (n + 1)(1 − a) could pass a whole number by rounding."""
    if not 0 < rate < 1:
        raise ConfigError(f"false_alarm_rate: expected a number between 0 and 1, such as 0.01, got {rate:g}")
    return Fraction(str(float(rate)))


class Performance(NamedTuple):
    """``stackae.metrics.auroc``, and the shares of the normal and of the anomalous rows that are flagged."""

    auroc: float
    false_alarms: float
    detections: float


def performance(normal: Tensor, anomalous: Tensor, threshold: float) -> Performance:
    """How well scores tell normal rows (n,) from anomalous ones (m,).

    Raises:
        DataError: there are none of one kind.
    """
    area = auroc(torch.cat((normal, anomalous)), torch.arange(len(normal) + len(anomalous)) >= len(normal))
    if area is None:
        raise DataError(
            f"auroc: expected normal and anomalous rows, got {len(normal):,} and {len(anomalous):,}; give some of both"
        )
    flagged = [(scores > threshold).double().mean().item() for scores in (normal, anomalous)]
    return Performance(area, *flagged)
