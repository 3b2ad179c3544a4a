"""How well scores tell the rows that have a label from those that have not, and predictions follow numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def auroc(scores: Tensor, positive: Tensor) -> float | None:
    """P(s₊ > s₋) + ½ P(s₊ = s₋): the area under the ROC curve; None unless there are rows of both kinds.

    scores (n,), positive (n,) bool. Hanley & McNeil (1982); by the ranks of Mann & Whitney (1947).
    """
    above, below = int(positive.sum()), int((~positive).sum())
    if not above or not below:
        return None
    _, place, counts = torch.unique(scores.double(), return_inverse=True, return_counts=True)
    middle = counts.cumsum(0).double() - (counts.double() - 1) / 2
    return (float(middle[place][positive].sum()) - above * (above + 1) / 2) / (above * below)


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
