"""An anomaly detector that needs only the files of a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stackae.analysis.anomaly import calibrated, score_rows
from stackae.analysis.calibration import CalibratedScore
from stackae.data.arraylike import ArrayLike
from stackae.data.given_rows import UNKNOWN, scaled_known
from stackae.data.provenance import KnownData
from stackae.data.scaling import Scaling
from stackae.errors import ConfigError, nearest


@dataclass(frozen=True, eq=False)
class Detector:
    """Score rows in the data's own units, and flag those above a threshold; made by ``Run.load_detector``.

    ``methods`` maps combined, autoencoder, pca and mahalanobis, as far as the run stores them, to scores of scaled
    rows; the first is the default, None.
    """

    scaling: Scaling
    methods: Mapping[str, CalibratedScore]
    known: KnownData = UNKNOWN

    @torch.no_grad()
    def scores(self, x: ArrayLike, method: str | None = None) -> Tensor:
        """x (n, d), n >= 1 -> (n,) float64; higher is more anomalous, Inf where the score overflows.

        x is in the data's own units, with columns in the order that the run was trained on.

        Raises:
            DataError: x has another width than the run's data, or holds NaN or Inf. ConfigError: a method that the
                detector does not have.
        """
        return score_rows(self._of(method).score, scaled_known("x", x, self.known, self.scaling))

    def threshold(self, false_alarm_rate: float = 0.01, method: str | None = None) -> float:
        """Return the threshold for which at most ``false_alarm_rate`` of rows like the validation rows score above it.

        The rate holds in expectation (``anomaly.calibrated``). Inf if there are too few validation rows: no row is
        flagged. Raises ConfigError as ``scores``, and for a rate that is not between 0 and 1.
        """
        return calibrated(self._of(method).validation, false_alarm_rate)

    def flagged(self, x: ArrayLike, false_alarm_rate: float = 0.01, method: str | None = None) -> Tensor:
        """x (n, d) -> (n,) bool: whether each score is above the threshold. Errors as ``scores`` and ``threshold``."""
        return self.scores(x, method) > self.threshold(false_alarm_rate, method)

    def _of(self, method: str | None) -> CalibratedScore:
        method = next(iter(self.methods)) if method is None else method
        if method not in self.methods:
            names = ", ".join(self.methods)
            raise ConfigError(f"method: expected one of {names}, got '{method}'{nearest(method, tuple(self.methods))}")
        return self.methods[method]
