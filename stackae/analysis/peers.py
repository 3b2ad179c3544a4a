"""scikit-learn's detectors of novelties, fitted on the training rows: what the stack's score is compared with."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stackae.analysis.calibration import CalibratedScore, calibration_scores
from stackae.analysis.combined import MOST_VALIDATION, NEIGHBOURS
from stackae.data.rows import Rows, evenly

MOST_ROWS = 10_000  # training rows of LOF, whose time grows with them for every row that is scored
FURTHEST = 1e18  # scaled values beyond it, whose squares 32 bits cannot hold, count as it


def fit_peers(train: Rows, validation: Rows, seed: int) -> dict[str, CalibratedScore]:
    """Fit IsolationForest and LocalOutlierFactor on training rows (n, d), with scikit-learn's settings for novelties.

    Of more than MOST_ROWS as many are read, at even distances. LOF needs two rows, and is left out without them.
    ``seed`` is the forest's.

    Raises:
        DataError: a validation row has no finite score.

    Liu, Ting & Zhou (2008), Isolation forest; Breunig, Kriegel, Ng & Sander (2000), LOF.
    """
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import LocalOutlierFactor

    rows, held_out = _numbers(evenly(train, MOST_ROWS)[:]), evenly(validation, MOST_VALIDATION)
    detectors = {"isolation_forest": IsolationForest(random_state=seed % (1 << 32))}
    if len(rows) > 1:
        detectors["lof"] = LocalOutlierFactor(n_neighbors=min(NEIGHBOURS, len(rows) - 1), novelty=True)
    found = {}
    for name, detector in detectors.items():
        score = partial(_score, detector.fit(rows))
        found[name] = CalibratedScore(score, calibration_scores(score, held_out))
    return found


def _score(detector: Any, x: Tensor) -> Tensor:
    if not len(x):
        return torch.empty(0, dtype=torch.float64)
    return torch.from_numpy(-detector.score_samples(_numbers(x))).double()


def _numbers(x: Tensor) -> np.ndarray:
    numbers: np.ndarray = x.clamp(-FURTHEST, FURTHEST).numpy()
    return numbers
