"""Scores of rows by every method, with their thresholds, and their JSON document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from stackae.analysis.anomaly import Performance, ReconstructionError, calibrated, performance, score_rows
from stackae.analysis.calibration import CalibratedScore, Calibration
from stackae.data import Dataset, Rows, Scaling
from stackae.data.run_rows import RowsRead

TITLES = {
    "combined": "combined",
    "autoencoder": "reconstruction",
    "pca": "PCA",
    "mahalanobis": "Mahalanobis",
    "isolation_forest": "IsolationForest",
    "lof": "LOF",
}
"""Methods as a person reads them."""


class Group(NamedTuple):
    """Rows of one data set, scaled as the run's; ``rows`` (n,) are their numbers in its file, ``ids``
    named cells of each that are no features."""

    name: str
    x: Rows
    y: Tensor | None
    classes: tuple[str, ...]
    rows: np.ndarray
    which: str
    ids: Mapping[str, np.ndarray | Sequence[str]] = {}


class RowsToScore(NamedTuple):
    """Groups of rows to score (those of --against second), with the calibration to score them by.

    ``own`` are the run's own data, if they were read: for their test part, for a run without calibration, for baselines
    that are too large to store, or to fit other detectors where anomalies are known.
    anomaly (n,) int64, over all groups, is 1 for anomalies, 0 for normal rows, −1 for unknown ones; None if all are
    unknown. ``column_names`` are those of the features in the run's order, if the rows or the run have names.
    ``anomalies_trained_on`` counts the training rows of the classes that are named as anomalies. ``reads`` are the
    groups as they were read.
    """

    groups: list[Group]
    part: str
    anomaly: Tensor | None
    calibration: Calibration | None
    own: Dataset | None
    scaling: Scaling
    column_names: tuple[str, ...]
    anomalies_trained_on: int
    reads: Sequence[RowsRead]

    def feature_name(self, place: int) -> str:
        return self.column_names[place] if self.column_names else str(place)

    def place_of(self, index: int) -> tuple[Group, int]:
        """Return the group of a row, and its index in the group, by its index over all groups."""
        first = self.groups[0]
        return (first, index) if index < len(first.x) else (self.groups[1], index - len(first.x))

    def number_of(self, index: int) -> int:
        """Return the number of a row in its file, by its index over all groups."""
        group, place = self.place_of(index)
        return int(group.rows[place])


class Method(NamedTuple):
    """Scores of the validation rows and of all rows, and the threshold that follows from the former."""

    calibration: Tensor
    scores: Tensor
    threshold: float

    @property
    def flagged(self) -> Tensor:
        return self.scores > self.threshold


class Scored(NamedTuple):
    """Rows with their scores by method, the default first, and the mean error per feature in the first group (d,), NaN
    where all of its cells are missing.

    ``left_out`` maps methods that were requested and are missing to the reason.
    """

    rows: RowsToScore
    calibration: Calibration
    score: ReconstructionError
    rate: float
    methods: dict[str, Method]
    errors: Tensor
    left_out: dict[str, str]

    @property
    def layer(self) -> int:
        return self.score.layer or len(self.score.stack.autoencoders)

    @property
    def scores(self) -> Tensor:
        """Return the scores of the default method."""
        return self.methods[self.default].scores

    @property
    def default(self) -> str:
        """Return the name of the method whose scores and flags count."""
        return next(iter(self.methods))

    @property
    def validation_rows(self) -> int:
        """Return the number of validation rows that set the thresholds."""
        return self.calibration.layers.shape[1]

    @property
    def beyond(self) -> Tensor:
        """Return the indices of rows whose score overflows."""
        return self.scores.isinf().nonzero().flatten()

    def most_suspicious(self, count: int, kind: int | None = None) -> Tensor:
        """Return the indices of the ``count`` highest finite scores, highest first.

        Of all rows; with ``kind``, of normal rows (0) or anomalies (1).
        """
        order = self.scores.argsort(descending=True, stable=True)
        order = order[self.scores[order].isfinite()]
        if kind is not None and self.rows.anomaly is not None:
            order = order[self.rows.anomaly[order] == kind]
        return order[:count]

    def performance(self, name: str) -> Performance | None:
        """Measure how well a method detects the anomalies; None if they are unknown."""
        if self.rows.anomaly is None:
            return None
        method = self.methods[name]
        normal, anomalous = (method.scores[self.rows.anomaly == kind] for kind in (0, 1))
        return performance(normal, anomalous, method.threshold)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `stackae score`."""
        rows = self.rows
        order = self.errors.nan_to_num(nan=-1.0).argsort(descending=True)[:5]
        worst = order[~self.errors[order].isnan()].tolist()

        def named(index: int) -> dict[str, Any]:
            return {"data": rows.place_of(index)[0].name, "row": rows.number_of(index)}

        document: dict[str, Any] = {
            "data": rows.groups[0].name,
            "part": rows.part,
            "which": rows.groups[0].which,
            "rows": len(rows.groups[0].x),
            "layer": self.layer,
            "false_alarm_rate": self.rate,
            "validation_rows": self.validation_rows,
            "method": self.default,
            "baselines_left_out": "; ".join(dict.fromkeys(self.left_out.values())) or None,
            "methods": {name: self._method(name) for name in self.methods},
            "worst_features": [
                {"feature": rows.feature_name(place), "mean_error": float(self.errors[place])} for place in worst
            ],
            "most_suspicious": [
                named(index) | {"score": float(self.scores[index])} for index in self.most_suspicious(5, 0).tolist()
            ],
            "beyond": [named(index) for index in self.beyond.tolist()],
        }
        if rows.anomaly is not None:
            document["against"] = rows.groups[1].name if len(rows.groups) > 1 else None
            document["normal_rows"] = int((rows.anomaly == 0).sum())
            document["anomalous_rows"] = int((rows.anomaly == 1).sum())
            document["anomalous_rows_trained_on"] = rows.anomalies_trained_on
        return document

    def _method(self, name: str) -> dict[str, Any]:
        method, anomaly, found = self.methods[name], self.rows.anomaly, self.performance(name)
        normal = method.scores if anomaly is None else method.scores[anomaly == 0]
        return {
            "threshold": _finite(method.threshold),
            "flagged": int(method.flagged.sum()),
            "normal_median": _finite(float(normal.median())),
            **(found._asdict() if found else {}),
        }


def _finite(value: float) -> float | None:
    """Return None for an infinite value: JSON has none."""
    return value if isfinite(value) else None


def score_all(
    scores: Mapping[str, CalibratedScore], groups: Sequence[Rows], rate: float, tell: Callable[[float], None]
) -> dict[str, Method]:
    """Find each score's threshold, and score all rows; ``tell`` is called with the share of rows that is done."""
    done, total = 0, max(1, len(scores) * sum(map(len, groups)))
    methods = {}

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        tell(done / total)

    for name, (score, validation) in scores.items():
        found = torch.cat([score_rows(score, x, count) for x in groups])
        methods[name] = Method(validation, found, calibrated(validation, rate))
    return methods
