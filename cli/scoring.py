"""Scores of rows by every method, with their thresholds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from stackae.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from stackae.anomaly import Performance, ReconstructionError, Score
    from stackae.calibration import CalibratedScore, Calibration
    from stackae.data.spread import Outlier
    from stackae.stack import StackedAutoencoder

    from .scored_rows import RowsToScore


SHOWN = 10  # rows that a note names
FEWEST_STRANGE = 10  # rows of which it is told that most are strange: fewer may be what someone wanted to look at


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

    from .console import Meter

    scores = calibration.scores(stack, layer, baselines=baselines)
    left_out = ""
    if baselines and calibration.baselines is None:
        large, left_out = _large_baselines(stack, rows, layer)
        scores |= large
    everything = [group.x for group in rows.groups]
    methods = {}
    with Meter("scoring") as meter:
        passed = _Passed(len(scores) * sum(map(len, everything)), meter.update)
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


def warnings_of(scored: Scored) -> list[str]:
    """What a person should know of these scores."""
    found = (
        _why_no_threshold(scored),
        _why_known(scored),
        _why_left_out(scored),
        _why_beyond(scored),
        _why_strange(scored),
    )
    return [each for each in found if each] + _about_flattened(scored)


def _why_left_out(scored: Scored) -> str:
    """Why PCA and Mahalanobis distance are not there; "" where they are, or were not asked for."""
    return f"baselines   PCA and Mahalanobis distance are left out: {scored.left_out}" if scored.left_out else ""


def _why_beyond(scored: Scored) -> str:
    """Which rows have no number for a score; "" where all have one."""
    numbers = [scored.rows.number_of(index) for index in scored.beyond.tolist()]
    if not numbers:
        return ""
    shown = ", ".join(map(str, numbers[:SHOWN]))
    more = f" and {len(numbers) - SHOWN:,} more" if len(numbers) > SHOWN else ""
    return (
        f"beyond      row{'s' if len(numbers) > 1 else ''} {shown}{more}: too far from what the run was trained on for "
        "a number; the score counts as infinite"
    )


def _why_strange(scored: Scored) -> str:
    """That the rows as a whole are no such rows as the run was trained on; "" where they may be, or are known."""
    calibration, scores = scored.methods["autoencoder"].calibration, scored.scores
    above = int((scores > calibration.max()).sum()) if len(calibration) else 0
    if scored.rows.anomaly is not None or len(scores) < FEWEST_STRANGE or 2 * above <= len(scores):
        return ""
    return (
        f"strange     {above:,} of {len(scores):,} rows score above every validation row: check that their columns are "
        "those that the run was trained on, in the same units"
    )


def _about_flattened(scored: Scored) -> list[str]:
    """Columns that outliers flatten: in what the run was trained on, and in the rows that are scored."""
    from stackae.data.telling import about_outliers

    names = scored.rows.column_names
    blind = "pretrain with --scale robust, or without them: else a score hardly sees these columns"
    decides = "where such a value is a mistake, correct it: it decides the score of its row"
    trained, rows = scored.calibration.flattened, _flattened(scored.rows)
    return [
        *(f"training    of the training rows, {each}" for each in about_outliers(trained, names, blind)),
        *(f"rows        {each}" for each in about_outliers(rows, names, decides)),
    ]


def _flattened(rows: RowsToScore) -> list[Outlier]:
    """Of the first group, in the units of the data."""
    import numpy as np
    import torch

    from stackae.data.spread import Outlier, outliers

    x = rows.groups[0].x
    if not isinstance(x, torch.Tensor):  # bytes have none
        return []

    def unscaled(column: int, value: float) -> float:
        offset, scale = (float(each[column]) for each in (rows.scaling.offset, rows.scaling.scale))
        return float(f"{value * scale + offset:.6g}")  # what 32 bits keep of it

    return [
        Outlier(column, rows.number_of(row), *(unscaled(column, each) for each in values))
        for column, row, *values in outliers(x.numpy(), np.arange(len(x)))
    ]


def _why_known(scored: Scored) -> str:
    """What to do where the run was trained on rows of the classes that count as anomalies; "" where it was not."""
    count = scored.rows.anomalies_trained_on
    if not count:
        return ""
    return (
        f"trained on  {count:,} rows of the classes that count as anomalies, so that such rows come back well; "
        "pretrain with --leave-out to tell whether they are found unseen"
    )


def _why_no_threshold(scored: Scored) -> str:
    """What to do where the validation rows are too few for a threshold; "" where they are enough."""
    from stackae.anomaly import fewest_rows

    count, fewest = scored.validation_rows, fewest_rows(scored.rate)
    if count >= fewest:
        return ""
    least = math.ceil(1e4 / (count + 1)) / 1e4
    remedy = f"ask for --false-alarm-rate {least:g} or more, or " if count else ""
    return (
        f"threshold   expected at least {fewest:,} validation rows for a false-alarm rate of {scored.rate:g}, got "
        f"{count:,}, so no row is flagged; {remedy}pretrain with a larger --validation-fraction"
    )
