"""Metrics of classes, scores and values, from what was predicted and what is true; scikit-learn's definitions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MOST_CONFUSED = 1000  # classes of which a matrix is kept


class ClassReport(NamedTuple):
    """One class: ``rows`` are of it, ``predicted`` are said to be.

    recall: the share of its rows that are said to be of it; None where it has none. precision: the share of its rows
    among those that are said to be of it; 0 where no row is, None where it has no rows either.
    """

    rows: int
    predicted: int
    recall: float | None
    precision: float | None

    @property
    def never_predicted(self) -> bool:
        """Whether it has rows, and no row at all is said to be of it."""
        return self.rows > 0 and self.predicted == 0


class ClassifierReport(NamedTuple):
    """Over the ``rows`` labelled rows of classes that the classifier knows.

    accuracy: the share that is right. balanced_accuracy: the mean recall of the classes with rows; macro_precision:
    their mean precision, as scikit-learn's with zero_division=0. All three are None where there is no row. confusion
    (n_classes, n_classes): true down, predicted across; unseen (m, n_classes): the same of the classes that the
    classifier does not know, which count in nothing else; both None for more than MOST_CONFUSED classes. unseen_rows
    has the number of rows of each of those.
    """

    rows: int
    accuracy: float | None
    balanced_accuracy: float | None
    macro_precision: float | None
    classes: list[ClassReport]
    confusion: Tensor | None
    unseen: Tensor | None
    unseen_rows: list[int]


def classifier_report(y: Tensor, predicted: Tensor, n_classes: int) -> ClassifierReport:
    """y (n,) int64 from 0, of which those from n_classes on are not known; predicted (n,) below n_classes."""
    y, predicted = y.cpu(), predicted.cpu()
    known = y < n_classes
    strangers = y[~known] - n_classes
    true, said = y[known], predicted[known]
    classes = _classes(true, said, n_classes)
    present = [each for each in classes if each.rows]
    kept, count = n_classes <= MOST_CONFUSED, int(strangers.max()) + 1 if len(strangers) else 0
    return ClassifierReport(
        rows=len(true),
        accuracy=float((true == said).double().mean()) if len(true) else None,
        balanced_accuracy=_mean([each.recall for each in present]),
        macro_precision=_mean([each.precision for each in present]),
        classes=classes,
        confusion=_counted(true, said, n_classes, n_classes) if kept else None,
        unseen=_counted(strangers, predicted[~known], count, n_classes) if kept and count <= MOST_CONFUSED else None,
        unseen_rows=strangers.bincount(minlength=count).tolist(),
    )


def balanced_error(y: Tensor, wrong: Tensor) -> float:
    """1 − balanced accuracy: the mean, over classes with rows, of the share that is wrong. y (n,), wrong (n,) bool."""
    rows, errors = y.bincount(), y[wrong].bincount(minlength=int(y.max()) + 1)
    return float((errors[rows > 0] / rows[rows > 0]).mean())


def _classes(true: Tensor, said: Tensor, n_classes: int) -> list[ClassReport]:
    counts = (each.bincount(minlength=n_classes).tolist() for each in (true, said, true[true == said]))
    return [
        ClassReport(
            rows,
            predicted,
            recall=right / rows if rows else None,
            precision=right / predicted if predicted else 0.0 if rows else None,
        )
        for rows, predicted, right in zip(*counts, strict=True)
    ]


def _counted(first: Tensor, second: Tensor, height: int, width: int) -> Tensor:
    return torch.bincount(first * width + second, minlength=height * width).view(height, width)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def auroc(scores: Tensor, positive: Tensor) -> float | None:
    """P(s₊ > s₋) + ½ P(s₊ = s₋): the area under the ROC curve; None unless there are rows of both kinds.

    1 tells all apart, ½ is chance. scores (n,), positive (n,) bool.

    Hanley & McNeil (1982); the statistic of Mann & Whitney (1947), divided by the number of pairs.
    """
    from sklearn.metrics import roc_auc_score

    if bool(positive.all()) or not bool(positive.any()):
        return None
    return float(roc_auc_score(positive, _ranks(scores)))


def average_precision(scores: Tensor, positive: Tensor) -> float | None:
    """Σ_k (R_k − R_{k−1}) P_k over the distinct scores, from the highest: precision and recall of what reaches them.

    scores (n,), positive (n,) bool; None where no row is positive.
    """
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(positive, _ranks(scores))) if bool(positive.any()) else None


def _ranks(scores: Tensor) -> Tensor:
    """The place of each among the distinct scores, NaN with the highest; scikit-learn takes finite numbers alone."""
    ranks: Tensor
    _, ranks = torch.unique(scores.nan_to_num(torch.inf, torch.inf, -torch.inf), return_inverse=True)
    return ranks


def r_squared(predicted: Tensor, y: Tensor) -> float | None:
    """1 − Σ (ŷ − y)² / Σ (y − ȳ)²: 1 is perfect, 0 no better than the mean of y; None where all y are alike."""
    y, predicted = y.double(), predicted.double()
    spread = float((y - y.mean()).square().sum())
    return 1 - float((predicted - y).square().sum()) / spread if spread > 0 else None
