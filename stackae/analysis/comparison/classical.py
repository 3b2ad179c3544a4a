"""The contenders of scikit-learn: each is chosen by cross-validation on its own labelled rows, then fitted on all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stackae.apart import apart
from stackae.data.kept_labels import kept_labels
from stackae.random import Purpose, permutation

FOLDS, MOST = 3, 0.8
MOST_SEARCHED = 2000  # labelled rows that choose settings; more rows choose the same ones and take far longer
COSTS = (0.01, 0.1, 1.0, 10.0, 100.0)
RIDGES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
ROUNDS, RATE = 50, 0.2  # of boosting: twice the rate and half the rounds of scikit-learn's defaults, in half the time
LEAF, LEAVES = 20, 20  # rows of a leaf of boosted trees: at most LEAF, and a LEAVES-th of the labels

Found = tuple[float, Any]


def grids_of(name: str, labels: int, seed: int) -> tuple[Any, Mapping[str, Sequence[Any]]]:
    """Return the model of a contender for so many labels, and the settings to choose from."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.svm import SVC, SVR

    leaf = max(1, min(LEAF, labels // LEAVES))
    trees = {"max_iter": ROUNDS, "learning_rate": RATE, "min_samples_leaf": leaf, "early_stopping": False}
    trees["random_state"] = seed % 2**32
    models: dict[str, tuple[Any, Mapping[str, Sequence[Any]]]] = {
        "logistic": (LogisticRegression(max_iter=500), {"C": COSTS}),
        "ridge": (Ridge(), {"alpha": RIDGES}),
        "svc": (SVC(), {"C": COSTS[2:]}),
        "svr": (SVR(), {"C": COSTS[1:]}),
        "boosting": (HistGradientBoostingClassifier(**trees), {}),
        "boosting-numbers": (HistGradientBoostingRegressor(**trees), {}),
    }
    return models[name]


@apart
def fitted(name: str, x: np.ndarray, y: np.ndarray, seed: int) -> Found:
    """Choose the model's settings by cross-validation, then fit it on all rows x (n, d) with y (n,) or (n, k).

    Returns the cross-validated score (0 where no fold can be made) and the model.
    """
    from sklearn.multioutput import MultiOutputRegressor

    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    order = permutation(len(x), seed=seed, purpose=Purpose.SPLIT).numpy()
    x, y = x[order], y[order]
    model, grid = grids_of(name, len(x), seed)
    if y.ndim == 2 and name != "ridge":
        model, grid = MultiOutputRegressor(model), {f"estimator__{key}": values for key, values in grid.items()}
    score, settings = _searched(model, grid, x, y, seed)
    return score, model.set_params(**settings).fit(x, y)


def _searched(
    model: Any, grid: Mapping[str, Sequence[Any]], x: np.ndarray, y: np.ndarray, seed: int
) -> tuple[float, dict[str, Any]]:
    from sklearn.model_selection import GridSearchCV

    folds = folds_of(y)
    if not grid or folds < 2:
        return 0.0, {}
    if len(x) > MOST_SEARCHED:
        some = kept_labels(y, max(MOST_SEARCHED, len(np.unique(y)) if y.dtype.kind == "i" else 1), seed)
        x, y = x[some], y[some]
    search = GridSearchCV(model, dict(grid), cv=folds, refit=False).fit(x, y)
    return float(search.best_score_), dict(search.best_params_)


def folds_of(y: np.ndarray) -> int:
    """Return the number of folds, up to FOLDS, that labels (n,) or targets allow; 1 where there can be none.

    MOST of the rows are of classes that every fold has; a class that is too rare for that hinders none.
    """
    if y.dtype.kind != "i":
        return max(1, min(FOLDS, len(y) // 2))
    counts = np.unique(y, return_counts=True)[1]
    return next((folds for folds in range(FOLDS, 1, -1) if counts[counts >= folds].sum() >= MOST * len(y)), 1)
