"""A detector of unusual rows, from what a run folder holds alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stackae.analysis.anomaly import calibrated, score_rows
from stackae.analysis.calibration import CalibratedScore
from stackae.data.arraylike import ArrayLike, scaled
from stackae.data.scaling import Scaling
from stackae.errors import ConfigError, nearest


@dataclass(frozen=True, eq=False)
class Detector:
    """Scores rows in the data's own units, and flags those above a threshold; ``Run.load_detector`` makes one.

    ``methods`` are scores of scaled rows by name, autoencoder, pca and mahalanobis, or the first alone.
    """

    scaling: Scaling
    methods: Mapping[str, CalibratedScore]

    @torch.no_grad()
    def scores(self, x: ArrayLike, method: str = "autoencoder") -> Tensor:
        """x (n, d), n >= 1 -> (n,) float64: the larger, the stranger; Inf beyond the numbers.

        x is in the data's own units, and in the order of the columns that the run was trained on.

        Raises:
            DataError: x is not of the width that the run was trained on, or holds NaN or Inf. ConfigError: a method
                that the detector does not have.
        """
        return score_rows(self._of(method).score, scaled("x", x, self.scaling))

    def threshold(self, false_alarm_rate: float = 0.01, method: str = "autoencoder") -> float:
        """Of rows like the validation rows at most that share scores above it, on average (``anomaly.calibrated``).

        Inf where the validation rows are too few for that; then no row is flagged. ConfigError as ``scores``, and for a
        rate that is not between 0 and 1.
        """
        return calibrated(self._of(method).validation, false_alarm_rate)

    def flagged(self, x: ArrayLike, false_alarm_rate: float = 0.01, method: str = "autoencoder") -> Tensor:
        """x (n, d) -> (n,) bool: which scores are above the threshold. Errors as both have them."""
        return self.scores(x, method) > self.threshold(false_alarm_rate, method)

    def _of(self, method: str) -> CalibratedScore:
        if method not in self.methods:
            names = ", ".join(self.methods)
            raise ConfigError(f"method: expected one of {names}, got '{method}'{nearest(method, tuple(self.methods))}")
        return self.methods[method]
