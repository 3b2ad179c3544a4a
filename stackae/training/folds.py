"""Cross-validation of a head: what a training is worth on rows that it was not given, without a part held out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stackae.data import Part
from stackae.data.rows import subset
from stackae.data.targets import groups_of
from stackae.models.heads.base import HeadTask
from stackae.random import Purpose, permutation
from stackae.training.callbacks import Callback, EpochRecord
from stackae.training.stage import Validation

FOLDS = 5
ROWS_JUDGED = 300  # of rows that few folds judge, more than once, by other folds each time
MOST_REPEATS = 5
FIRST_STREAM = 2  # of Purpose.SPLIT; those before it divide the rows of a source


class Folded(NamedTuple):
    """Loss per row and error rate on the rows of each fold, by what was trained on the others; means over rows."""

    loss: float
    error: float | None

    @property
    def score(self) -> tuple[float, ...]:
        """The score by which trainings are compared; lower is better."""
        return Validation(self.loss, self.error).score


def cross_validated(
    task: HeadTask, title: str, fit: Callable[[HeadTask], Sequence[Validation]], repeats: int, callback: Callback
) -> list[Folded]:
    """Score the trainings that ``fit`` does of a task, each by the validation rows of the task.

    Returns:
        One score per training, in their order.
    """
    rows = labelled(task.train)
    parts = list(folds(rows.y, repeats, task.config.seed))
    callback.start_stage(f"{task.config.head}-folds", title, 1, len(rows.x), len(parts), 0)
    found, weights = list[Sequence[Validation]](), list[int]()
    for number, (kept, held) in enumerate(parts, start=1):
        started = time.perf_counter()
        found.append(fit(task._replace(train=rows_at(rows, kept), validation=rows_at(rows, held))))
        weights.append(len(held))
        best, seconds = min(found[-1], key=lambda each: each.score), time.perf_counter() - started
        callback.batch(len(rows.x), best.loss)
        callback.epoch({0: _record(task, number, best, len(rows.x), seconds)})
    return [_mean(each, weights) for each in zip(*found, strict=True)]


def folds(y: Tensor | None, repeats: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (kept, held) int64 indices of FOLDS stratified folds, ``repeats`` times, drawn by (seed, repeat) alone.

    Every row is held once per repeat, and the folds' counts of any class differ by at most one.
    """
    groups = groups_of(None if y is None else y.numpy())
    assert groups is not None
    for repeat in range(repeats):
        fold, place = np.empty(len(groups), dtype=np.int64), 0
        for name in np.unique(groups).tolist():
            members = np.flatnonzero(groups == name)
            layer = FIRST_STREAM + repeat
            order = permutation(len(members), seed=seed, purpose=Purpose.SPLIT, layer=layer, counter=name).numpy()
            fold[members[order]] = (place + np.arange(len(members))) % FOLDS
            place += len(members)
        for number in range(FOLDS):
            kept, held = fold != number, fold == number
            yield torch.from_numpy(np.flatnonzero(kept)), torch.from_numpy(np.flatnonzero(held))


def can_fold(y: Tensor | None) -> bool:
    """Whether every fold leaves two classes, or two rows with each target, to train on."""
    if y is None:
        return False
    if not y.is_floating_point():
        counts = y[y >= 0].bincount()
        return int(counts.sum()) >= 2 * FOLDS and int((counts >= 2).sum()) >= 2
    return int((~y.isnan()).sum(dim=0).min()) >= 2 * FOLDS


def repeats_of(rows: int) -> int:
    """As many as it takes for ROWS_JUDGED rows to be judged, at most MOST_REPEATS."""
    return max(1, min(MOST_REPEATS, math.ceil(ROWS_JUDGED / rows)))


def labelled(part: Part) -> Part:
    """Return the rows that have a label, or any target."""
    known = rows_with_labels(part)
    return part if bool(known.all()) else rows_at(part, known)


def labels_of(part: Part | None) -> int:
    """Count the rows that have a label, or any target."""
    return 0 if part is None else int(rows_with_labels(part).sum())


def rows_with_labels(part: Part) -> Tensor:
    """Return which rows have a label, or at least one target: (n,) bool."""
    if part.y is None:
        return torch.zeros(len(part.x), dtype=torch.bool)
    if not part.y.is_floating_point():
        return part.y >= 0
    return ~part.y.isnan() if part.y.dim() == 1 else ~part.y.isnan().all(dim=1)


def rows_at(part: Part, index: Tensor) -> Part:
    return Part(subset(part.x, index), None if part.y is None else part.y[index])


def _record(task: HeadTask, number: int, best: Validation, rows: int, seconds: float) -> EpochRecord:
    return EpochRecord(
        stage=f"{task.config.head}-folds",
        epoch=number,
        loss=best.loss,
        validation_loss=best.loss,
        validation_error=best.error,
        learning_rate=0.0,
        seconds=seconds,
        rows_per_second=rows / seconds,
        best=False,
    )


def _mean(each: Sequence[Validation], weights: Sequence[int]) -> Folded:
    errors = [one.error for one in each if one.error is not None]
    return Folded(
        float(np.average([one.loss for one in each], weights=weights)),
        float(np.average(errors, weights=weights)) if errors else None,
    )
