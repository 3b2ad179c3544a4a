"""Scores of rows by every method, with their thresholds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from stackae.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from stackae.anomaly import Performance, ReconstructionError, Score
    from stackae.stack import StackedAutoencoder

    from .scored_rows import RowsToScore


class Method(NamedTuple):
    """Scores of the validation rows and of all rows, and the threshold that follows from the former."""

    calibration: Tensor
    scores: Tensor
    threshold: float

    @property
    def flagged(self) -> Tensor:
        return self.scores > self.threshold


class Scored(NamedTuple):
    """Rows with their scores by method, and the mean error of each feature in the first group (d,)."""

    rows: RowsToScore
    score: ReconstructionError
    rate: float
    methods: dict[str, Method]
    errors: Tensor

    @property
    def layer(self) -> int:
        return self.score.layer or len(self.score.stack.autoencoders)

    @property
    def scores(self) -> Tensor:
        """The autoencoder's."""
        return self.methods["autoencoder"].scores

    def most_suspicious(self, count: int, kind: int | None = None) -> Tensor:
        """Indices of rows with the highest scores, highest first: of all, or of normal rows (0) or anomalies (1)."""
        order = self.scores.argsort(descending=True, stable=True)
        if kind is not None and self.rows.anomaly is not None:
            order = order[self.rows.anomaly[order] == kind]
        return order[:count]

    def performance(self, name: str) -> Performance | None:
        """How well a method tells anomalies, where they are known."""
        from stackae.anomaly import performance

        if self.rows.anomaly is None:
            return None
        method = self.methods[name]
        normal, anomalous = (method.scores[self.rows.anomaly == kind] for kind in (0, 1))
        return performance(normal, anomalous, method.threshold)


def score_all(stack: StackedAutoencoder, rows: RowsToScore, layer: int | None, rate: float, baselines: bool) -> Scored:
    """Fits the baselines on the training rows, finds the thresholds on the validation rows, and scores all rows."""
    import torch

    from stackae.anomaly import ReconstructionError, calibrated, feature_errors, fit_scores, score_rows

    from .console import Meter, progress_note

    if baselines:
        progress_note("fitting PCA and Mahalanobis distance on the training rows")
    try:
        scores = fit_scores(stack, rows.train, layer, baselines=baselines)
    except DataError as error:  # of a covariance that the memory does not hold
        raise DataError(f"{error}; or leave out PCA and Mahalanobis distance by --no-baselines") from None
    everything = [group.x for group in rows.groups]
    total = len(scores) * (len(rows.validation) + sum(map(len, everything)))
    methods = {}
    with Meter("scoring") as meter:
        passed = _Passed(total, meter.update)
        for name, score in scores.items():
            counted = passed.counted(score)
            calibration = score_rows(counted, rows.validation)
            found = torch.cat([score_rows(counted, x) for x in everything])
            methods[name] = Method(calibration, found, calibrated(calibration, rate))
    score = ReconstructionError(stack, layer)
    return Scored(rows, score, rate, methods, feature_errors(score, everything[0]))


class _Passed:
    """Tells how many of all rows have been scored."""

    def __init__(self, total: int, tell: Callable[[float], None]) -> None:
        self._total, self._tell, self._done = total, tell, 0

    def counted(self, score: Score) -> Score:
        def function(x: Tensor) -> Tensor:
            self._done += len(x)
            self._tell(self._done / max(1, self._total))
            return score(x)

        return function


def why_known(scored: Scored) -> str:
    """What to do where the run was trained on rows of the classes that count as anomalies; "" where it was not."""
    count = scored.rows.anomalies_trained_on
    if not count:
        return ""
    return (
        f"trained on  {count:,} rows of the classes that count as anomalies, so that such rows come back well; "
        "pretrain with --leave-out to tell whether they are found unseen"
    )


def why_no_threshold(scored: Scored) -> str:
    """What to do where the validation rows are too few for a threshold; "" where they are enough."""
    from stackae.anomaly import fewest_rows

    count, fewest = len(scored.rows.validation), fewest_rows(scored.rate)
    if count >= fewest:
        return ""
    least = math.ceil(1e4 / (count + 1)) / 1e4
    remedy = f"ask for --false-alarm-rate {least:g} or more, or " if count else ""
    return (
        f"threshold   expected at least {fewest:,} validation rows for a false-alarm rate of {scored.rate:g}, got "
        f"{count:,}, so no row is flagged; {remedy}pretrain with a larger --validation-fraction"
    )
