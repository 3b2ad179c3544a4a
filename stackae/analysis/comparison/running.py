"""Fit the cells of a comparison one after another; what several cells share is computed once."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from stackae.analysis.comparison.classical import Found, fitted
from stackae.analysis.comparison.contenders import PRETRAINED, Contender
from stackae.analysis.comparison.neighbors import Graph, neighbors_mean
from stackae.analysis.comparison.networks import Starts, codes_of, finetuned
from stackae.analysis.comparison.task import Cell, Fit, Task
from stackae.apart import Once, side_by_side
from stackae.autoencoders.pca import principal_components_of
from stackae.models.stack import in_batches

WIDTHS = (10, 20, 50)  # principal components to choose from; neighbors are found among the most
PCA = -1  # among features, which are numbered by the seed of their codes


def cells_of(
    contenders: Mapping[str, Contender], counts: Sequence[int], seeds: Sequence[int], total: int
) -> list[Cell]:
    """List the fits of a comparison, fewest labels first; with all labels, what no seed changes is fitted once."""
    return [
        Cell(name, count, seed)
        for count in counts
        for seed in seeds
        for name, contender in contenders.items()
        if contender.drawn or count < total or seed == seeds[0]
    ]


class Runner:
    """Fits cells; keeps the stacks of each seed (``starts``, which has to have the pretrained ones before), principal
    components and graphs of neighbors for the next ones."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.starts = Starts(task)
        self._graphs, self._components = Once[int, Graph](), Once[int, tuple[np.ndarray, np.ndarray]]()

    def fit(self, cell: Cell, known: Mapping[Cell, Fit]) -> Fit:
        """Fit one cell. ``known`` holds the pretrained network's of the same labels and seed, where seconds are equal.

        Raises:
            DivergedError: a network left the finite numbers.
        """
        starts = self.starts
        if starts.makes(cell.contender):
            start = starts.of(cell.contender, cell.seed)
            epochs = self._epochs(cell, start.seconds, known) if self.task.budget == "seconds" else None
            return finetuned(self.task, cell, start, epochs)
        begun = time.perf_counter()
        predicted = self._models[cell.contender](cell)
        return Fit(self.task.errors(predicted), time.perf_counter() - begun)

    def _epochs(self, cell: Cell, before: float, known: Mapping[Cell, Fit]) -> int | None:
        """The epochs that a network can be fine-tuned for in the seconds that the pretrained one took in all."""
        if cell.contender == PRETRAINED:
            return None
        own = known[cell._replace(contender=PRETRAINED)]
        per_epoch = own.seconds / own.epochs
        return max(own.epochs, int((own.before + own.seconds - before) / per_epoch))

    @cached_property
    def _models(self) -> dict[str, Callable[[Cell], np.ndarray]]:
        classes = bool(self.task.classes)
        return {
            "logistic": lambda cell: self._plain("logistic", cell),
            "ridge": lambda cell: self._plain("ridge", cell),
            "svm": lambda cell: self._plain("svc" if classes else "svr", cell),
            "boosting": lambda cell: self._plain("boosting" if classes else "boosting-numbers", cell),
            "pca-logistic": lambda cell: self._on_components("logistic", cell),
            "pca-ridge": lambda cell: self._on_components("ridge", cell),
            "spread-pca": lambda cell: self._spread(cell, PCA),
            "spread-codes": lambda cell: self._spread(cell, cell.seed),
            "neighbors-pca": lambda cell: neighbors_mean(*self._rows(cell, PCA)),
            "neighbors-codes": lambda cell: neighbors_mean(*self._rows(cell, cell.seed)),
        }

    def _plain(self, name: str, cell: Cell) -> np.ndarray:
        x, y = self.task.few(cell)
        return _predicted(fitted(name, x, y, cell.seed), self.task.test_x)

    def _on_components(self, name: str, cell: Cell) -> np.ndarray:
        """Fit on as many principal components of all training rows as cross-validation chooses, the most at a tie."""
        x, y, test = self._rows(cell, PCA)
        widths = sorted({min(width, x.shape[1]) for width in WIDTHS}, reverse=True)
        found = [(width, fitted(name, x[:, :width], y, cell.seed)) for width in widths]
        width, best = max(found, key=lambda each: each[1][0])
        return _predicted(best, test[:, :width])

    def _spread(self, cell: Cell, which: int) -> np.ndarray:
        graph = self._graphs.get(which, lambda: Graph(*self._features(which)))
        rows = self.task.rows_of(cell)
        return graph.spread(rows, self.task.y[rows], cell.seed)

    def _rows(self, cell: Cell, which: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The labelled rows' features, their labels, and the test rows' features."""
        (train, test), rows = self._features(which), self.task.rows_of(cell)
        return train[rows], self.task.y[rows], test

    def _features(self, which: int) -> tuple[np.ndarray, np.ndarray]:
        """Features of the training and the test rows: their principal components for PCA, or the codes of a seed."""
        if which == PCA:
            return self._components.get(which, self._principal)
        stack = self.starts.of(PRETRAINED, which).stack
        return codes_of(stack, self.task.train.x), codes_of(stack, self.task.test.x)

    def _principal(self) -> tuple[np.ndarray, np.ndarray]:
        """The first principal components (n, m) of all training rows, and of the test rows."""
        found = principal_components_of(self.task.train.x)
        axes = found.components[: max(WIDTHS)].t()
        parts = (self.task.train.x, self.task.test.x)
        train, test = (in_batches(lambda x: (x.double() - found.mean) @ axes, x).numpy() for x in parts)
        return train, test


def _predicted(found: Found, x: np.ndarray) -> np.ndarray:
    return np.asarray(found[1].predict(x))


def run_cells(
    runner: Runner,
    cells: Iterable[Cell],
    known: Mapping[Cell, Fit],
    threads: int,
    idle: Callable[[], None] | None = None,
) -> Iterator[tuple[Cell, Fit]]:
    """Fit the cells; with several threads, side by side, in no order, and ``known`` is not read; so with ``idle``,
    which is called now and then."""
    from threadpoolctl import threadpool_limits

    def alone(cell: Cell) -> Fit:
        with threadpool_limits(1):  # OpenMP counts by thread
            return runner.fit(cell, {})

    with warnings.catch_warnings(), threadpool_limits(1 if threads > 1 or idle is not None else None):
        warnings.simplefilter("ignore")  # of scikit-learn: searches that did not converge, rows that no label reaches
        if threads > 1 or idle is not None:
            yield from side_by_side(alone, cells, threads, idle or (lambda: None))
            return
        fits = dict(known)
        for cell in cells:
            fits[cell] = runner.fit(cell, fits)
            yield cell, fits[cell]
