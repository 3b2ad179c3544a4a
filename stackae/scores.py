"""How well scores tell the rows that have a label from those that have not, and predictions follow numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def auroc(scores: Tensor, positive: Tensor) -> float | None:
    """P(s₊ > s₋) + ½ P(s₊ = s₋): the area under the ROC curve; None unless there are rows of both kinds.

    1 tells all apart, ½ is chance. scores (n,), positive (n,) bool; exact, in n log n steps.

    Hanley & McNeil (1982); the statistic of Mann & Whitney (1947), divided by the number of pairs.
    """
    above, below = scores[positive], scores[~positive].sort().values
    if not len(above) or not len(below):
        return None
    twice = sum(int(torch.searchsorted(below, above, right=right).sum()) for right in (False, True))
    return twice / (2 * len(above) * len(below))


def average_precision(scores: Tensor, positive: Tensor) -> float | None:
    """Σ_k (R_k − R_{k−1}) P_k over the distinct scores, from the highest: precision and recall of what reaches them.

    scores (n,), positive (n,) bool; None where no row is positive.
    """
    if not bool(positive.any()):
        return None
    distinct, place = torch.unique(scores.double(), return_inverse=True)
    hits = torch.bincount(place, weights=positive.double(), minlength=len(distinct)).flip(0)
    found = torch.bincount(place, minlength=len(distinct)).flip(0).cumsum(0)
    precision = hits.cumsum(0) / found
    return float((hits * precision).sum() / hits.sum())


def r_squared(predicted: Tensor, y: Tensor) -> float | None:
    """1 − Σ (ŷ − y)² / Σ (y − ȳ)²: 1 is perfect, 0 no better than the mean of y; None where all y are alike."""
    y, predicted = y.double(), predicted.double()
    spread = float((y - y.mean()).square().sum())
    return 1 - float((predicted - y).square().sum()) / spread if spread > 0 else None
