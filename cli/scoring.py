"""Scores of rows by every method, with their thresholds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from stackae.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from stackae.anomaly import Performance, ReconstructionError, Score
    from stackae.calibration import CalibratedScore, Calibration
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
    """Rows with their scores by method, and the mean error of each feature in the first group (d,).

    ``left_out`` says why there are no baselines, where they were asked for.
    """

    rows: RowsToScore
    calibration: Calibration
    score: ReconstructionError
    rate: float
    methods: dict[str, Method]
    errors: Tensor
    left_out: str

    @property
    def layer(self) -> int:
        return self.score.layer or len(self.score.stack.autoencoders)

    @property
    def scores(self) -> Tensor:
        """The autoencoder's."""
        return self.methods["autoencoder"].scores

    @property
    def validation_rows(self) -> int:
        """How many the thresholds follow from."""
        return self.calibration.layers.shape[1]

    @property
    def beyond(self) -> Tensor:
        """Indices of rows whose score is beyond the numbers."""
        return self.scores.isinf().nonzero().flatten()

    def most_suspicious(self, count: int, kind: int | None = None) -> Tensor:
        """Indices of rows with the highest finite scores, highest first.

        Of all rows, or of normal ones (0) or anomalies (1).
        """
        order = self.scores.argsort(descending=True, stable=True)
        order = order[self.scores[order].isfinite()]
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


def score_all(
    stack: StackedAutoencoder,
    rows: RowsToScore,
    calibration: Calibration,
    layer: int | None,
    rate: float,
    baselines: bool,
) -> Scored:
    """Finds the thresholds, and scores all rows."""
    import torch

    from stackae.anomaly import ReconstructionError, calibrated, feature_errors, score_rows

    from .progress import Shown

    scores = calibration.scores(stack, layer, baselines=baselines)
    left_out = ""
    if baselines and calibration.baselines is None:
        large, left_out = _large_baselines(stack, rows, layer)
        scores |= large
    everything = [group.x for group in rows.groups]
    methods = {}
    with Shown().progress("scoring") as told:
        passed = _Passed(len(scores) * sum(map(len, everything)), told)
        for name, (score, validation) in scores.items():
            counted = passed.counted(score)
            found = torch.cat([score_rows(counted, x) for x in everything])
            methods[name] = Method(validation, found, calibrated(validation, rate))
    score = ReconstructionError(stack, layer)
    return Scored(rows, calibration, score, rate, methods, feature_errors(score, everything[0]), left_out)


def calibration_of(stack: StackedAutoencoder, rows: RowsToScore) -> Calibration:
    """The run's own, or where it keeps none what the data say that it was trained on."""
    from stackae.calibration import calibrations

    from .console import progress_note

    if rows.calibration is not None or rows.own is None:
        assert rows.calibration is not None  # where there is none, the data were read
        return rows.calibration
    progress_note("fitting PCA and Mahalanobis distance on the training rows")
    return next(calibrations([stack], rows.own))


def _large_baselines(
    stack: StackedAutoencoder, rows: RowsToScore, layer: int | None
) -> tuple[dict[str, CalibratedScore], str]:
    """Those that the run does not keep, or why they are left out."""
    from stackae.calibration import fit_calibrated
    from stackae.faults import explained

    from .console import progress_note

    if rows.own is None:
        return {}, "they are too large to be kept in the run, and its training data cannot be read"
    progress_note("fitting PCA and Mahalanobis distance on the training rows")
    try:
        return fit_calibrated(stack, rows.own.train.x, rows.own.validation.x, layer), ""
    except (DataError, MemoryError, RuntimeError) as error:  # of what the memory does not hold
        reason = error if isinstance(error, DataError) else explained(error)
        if reason is None:
            raise
        return {}, str(reason)


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
