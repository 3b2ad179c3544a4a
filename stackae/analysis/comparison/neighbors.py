"""Contenders that read nearest neighbors: label spreading over a graph of all rows, and means of neighbors' targets."""

from __future__ import annotations

import numpy as np

from stackae.analysis.comparison.classical import folds_of
from stackae.apart import apart
from stackae.random import Purpose, permutation

NEIGHBORS = (5, 10, 20)
USUAL = 10  # where labels are too few to choose by
ALPHA = 0.2  # of label spreading: how much of a label may come from neighbors


class Graph:
    """The nearest neighbors of training rows (n, m) and of test rows, found once for any labels.

    Zhou et al. (2004), Learning with local and global consistency.
    """

    @apart
    def __init__(self, train: np.ndarray, test: np.ndarray) -> None:
        from sklearn.neighbors import NearestNeighbors

        self._rows = np.zeros((len(train), 1))  # what scikit-learn counts; the graph alone is read
        most = min(max(NEIGHBORS), len(train) - 1)
        nearest = NearestNeighbors(n_neighbors=most).fit(train)
        self._own = nearest.kneighbors(return_distance=False)
        self._test = nearest.kneighbors(test, return_distance=False)

    @apart
    def spread(self, rows: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
        """Spread the labels y (k,) of some training rows to all, and return the classes of the test rows (n_test,).

        The number of neighbors is chosen by cross-validation on the labelled rows, among NEIGHBORS.
        """
        labels = np.full(len(self._own), -1)
        labels[rows] = y
        count = max(NEIGHBORS, key=lambda each: self._cross_validated(rows, y, seed, each))
        return np.asarray(self._fitted(labels, count, self._test))

    def _cross_validated(self, rows: np.ndarray, y: np.ndarray, seed: int, count: int) -> float:
        folds = folds_of(y)
        if folds < 2:
            return float(count == USUAL)
        order = permutation(len(rows), seed=seed, purpose=Purpose.SPLIT).numpy()
        order = order[np.argsort(y[order], kind="stable")]  # every class goes round the folds
        right = 0
        for fold in range(folds):
            held = order[fold::folds]
            labels = np.full(len(self._own), -1)
            labels[rows] = y
            labels[rows[held]] = -1
            right += int((self._fitted(labels, count, self._own[rows[held]]) == y[held]).sum())
        return right / len(rows)

    def _fitted(self, labels: np.ndarray, count: int, asked: np.ndarray) -> np.ndarray:
        """Return the classes of rows whose nearest training rows are ``asked`` (m, most)."""
        from sklearn.semi_supervised import LabelSpreading

        own = _matrix(self._own[:, :count], len(self._own))
        model = LabelSpreading(kernel=lambda x, y: own, alpha=ALPHA)
        model.fit(self._rows, labels)
        said = np.nan_to_num(model.label_distributions_)[asked[:, :count]].sum(axis=1)
        classes: np.ndarray = model.classes_[said.argmax(axis=1)]
        return classes


def _matrix(neighbors: np.ndarray, width: int) -> object:
    """Return the sparse adjacency (n, width) of neighbors (n, k), where each row is a neighbor of its neighbors too."""
    from scipy.sparse import csr_matrix

    n, k = neighbors.shape
    ends = np.arange(0, n * k + 1, k)
    own = csr_matrix((np.ones(n * k), neighbors.ravel(), ends), shape=(n, width))
    return own.maximum(own.T)


@apart
def neighbors_mean(x: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Predict targets of test rows (n, m) as means over the nearest labelled rows; cross-validation says how many."""
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KNeighborsRegressor

    folds = folds_of(y)
    counts = [each for each in (1, 2, *NEIGHBORS) if each <= len(x) * (folds - 1) // max(1, folds)]
    model = KNeighborsRegressor(weights="distance", n_neighbors=1)
    if counts and folds > 1:
        model = GridSearchCV(model, {"n_neighbors": counts}, cv=folds)
    return np.asarray(model.fit(x, y).predict(test))
