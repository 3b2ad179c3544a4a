"""Metrics of predicted classes, scores and values against the true ones, by scikit-learn's definitions."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

MOST_CONFUSED = 1000  # classes up to which a confusion matrix is kept
NORMAL_95 = 1.959963984540054  # of the standard normal distribution, 95 % lies within this many deviations


class ClassReport(NamedTuple):
    """One class: ``rows`` belong to it, ``predicted`` were predicted as it.

    recall: the share of its rows that were predicted as it; None without such rows. precision: the share of rows
    predicted as it that belong to it; 0 where none was predicted, None where it has no rows either.
    """

    rows: int
    predicted: int
    recall: float | None
    precision: float | None

    @property
    def never_predicted(self) -> bool:
        """True where the class has rows, and no row at all was predicted as it."""
        return self.rows > 0 and self.predicted == 0


class ClassifierReport(NamedTuple):
    """Metrics over the ``rows`` labeled rows whose class the classifier knows.

    accuracy: the share predicted correctly. balanced_accuracy: the mean recall of the classes with rows.
    macro_precision: their mean precision, as scikit-learn's with zero_division=0. All three are None without rows.
    confusion (n_classes, n_classes): true classes down, predicted classes across. unseen (m, n_classes): the same for
    the classes that the classifier does not know, which count in no other metric. Both are None for more than
    MOST_CONFUSED classes. unseen_rows: the number of rows per unknown class.
    """

    rows: int
    accuracy: float | None
    balanced_accuracy: float | None
    macro_precision: float | None
    classes: list[ClassReport]
    confusion: Tensor | None
    unseen: Tensor | None
    unseen_rows: list[int]


class Interval(NamedTuple):
    """A 95 % confidence interval of a share."""

    low: float
    high: float


def wilson(share: float | None, rows: int) -> Interval | None:
    """The 95 % interval of the share of all rows, where ``share`` is that of ``rows`` of them; None without rows.

    (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n). Wilson (1927), Probable inference, the law of succession, and
    statistical inference, JASA 22.
    """
    if share is None or not rows:
        return None
    square = NORMAL_95**2 / rows
    half = NORMAL_95 * math.sqrt(share * (1 - share) / rows + square / (4 * rows))
    low, high = (share + square / 2 - half) / (1 + square), (share + square / 2 + half) / (1 + square)
    return Interval(max(0.0, min(share, low)), min(1.0, max(share, high)))  # rounding aside


def with_interval(name: str, share: float | None, rows: int) -> dict[str, float | None]:
    """The share as JSON data under that name, with its interval as NAME_low and NAME_high."""
    found = wilson(share, rows)
    low, high = (None, None) if found is None else found
    return {name: share, f"{name}_low": low, f"{name}_high": high}


def accuracy_text(share: float | None, rows: int | None, what: str = "") -> str:
    """Write a share with its rows (``what`` they are), where their number is known, and its interval."""
    text, of = "-" if share is None else f"{100 * share:.2f} %", "" if rows is None else f" of {rows:,}{what}"
    found = wilson(share, rows or 0)
    if found is None:
        return text + of * bool(what)
    return f"{text}{of} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def classifier_report(y: Tensor, predicted: Tensor, n_classes: int) -> ClassifierReport:
    """Report on predicted (n,), below n_classes, against y (n,) int64 from 0; classes from n_classes on are unknown."""
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
    """1 − balanced accuracy: the mean error rate of the classes with rows; y (n,) int64, wrong (n,) bool."""
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
    """P(s₊ > s₋) + ½ P(s₊ = s₋): the area under the ROC curve; None unless there are positive and negative rows.

    1 is perfect separation, ½ is chance. scores (n,), positive (n,) bool.

    Hanley & McNeil (1982); the statistic of Mann & Whitney (1947), divided by the number of pairs.
    """
    from sklearn.metrics import roc_auc_score

    if bool(positive.all()) or not bool(positive.any()):
        return None
    return float(roc_auc_score(positive, _ranks(scores)))


def average_precision(scores: Tensor, positive: Tensor) -> float | None:
    """Σ_k (R_k − R_{k−1}) P_k over the distinct scores t_k from the highest: precision and recall of the rows >= t_k.

    scores (n,), positive (n,) bool; None where no row is positive.
    """
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(positive, _ranks(scores))) if bool(positive.any()) else None


def _ranks(scores: Tensor) -> Tensor:
    """Rank each score among the distinct ones, NaN with the highest: scikit-learn takes only finite numbers."""
    ranks: Tensor
    _, ranks = torch.unique(scores.nan_to_num(torch.inf, torch.inf, -torch.inf), return_inverse=True)
    return ranks


def r_squared(predicted: Tensor, y: Tensor) -> float | None:
    """1 − Σ (ŷ − y)² / Σ (y − ȳ)²: 1 is perfect, 0 no better than the mean of y; None where all y are equal."""
    y, predicted = y.double(), predicted.double()
    spread = float((y - y.mean()).square().sum())
    return 1 - float((predicted - y).square().sum()) / spread if spread > 0 else None


def cluster_accuracy(classes: np.ndarray, clusters: np.ndarray) -> float:
    """max over one-to-one maps m of the share of rows whose class is m(cluster); both (n,) integers from 0.

    Yang, Xu, Nie, Yan & Zhuang (2010), Image clustering using local discriminant models and global integration.
    """
    from scipy.optimize import linear_sum_assignment

    size = int(max(classes.max(), clusters.max())) + 1
    counts = np.bincount(classes * size + clusters, minlength=size * size).reshape(size, size)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(classes))
