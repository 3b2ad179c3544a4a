"""What is compared: rows with their labels, the settings of the networks, and what is known of each fit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stackae.config import FinetuneConfig, PretrainConfig
from stackae.data import Part
from stackae.data.kept_labels import kept_labels
from stackae.data.order.held_out import SPLIT_SEED, VALIDATION, hold_out
from stackae.data.rows import Rows, subset
from stackae.errors import DataError, argument


class Cell(NamedTuple):
    """One fit: a contender, the number of labels it learns from, and the seed of their draw and of its weights."""

    contender: str
    labels: int
    seed: int


class Fit(NamedTuple):
    """The error of each test row (n,) float32; the seconds of the labelled training, its epochs (0 where it has none),
    and the seconds of the unsupervised training before it, which serves all numbers of labels."""

    errors: np.ndarray
    seconds: float
    epochs: int = 0
    before: float = 0.0


@dataclass(frozen=True, eq=False)
class Task:
    """A comparison on fixed rows.

    Attributes:
        train: all rows that may be learned from, with their labels or targets; a row without any counts as unlabelled.
        test: the labelled rows that measure the error.
        classes: the number of classes, 0 for targets that are numbers.
        pretrain, finetune: settings of the networks, every ``auto`` of the former settled; seeds are set per cell.
        held_out: share of the training rows that choose the best epoch of unsupervised training.
        held: (n,) bool, which of them do, where they must not be drawn: windows share rows, groups are whole.
        budget: epochs (every network is fine-tuned for as many) or seconds (a network without pretraining is
            fine-tuned for as long as the pretrained one was trained in all).
        image_shape: (h, w) or (h, w, channels) of rows that are images.
    """

    train: Part
    test: Part
    classes: int
    pretrain: PretrainConfig
    finetune: FinetuneConfig
    held_out: float = 0.1
    budget: str = "epochs"
    image_shape: tuple[int, ...] | None = None
    held: np.ndarray | None = None

    @cached_property
    def y(self) -> np.ndarray:
        """Labels (n,) int64 or targets (n, k) float of the training rows."""
        assert self.train.y is not None
        return self.train.y.numpy()

    @cached_property
    def parts(self) -> tuple[Rows, Rows]:
        """The rows of unsupervised training, and those that choose its best epochs."""
        if self.held is None:
            kept, held = hold_out(None, len(self.train.x), self.held_out, SPLIT_SEED, VALIDATION - 1)
        else:
            kept, held = np.flatnonzero(~self.held), np.flatnonzero(self.held)
        return subset(self.train.x, torch.from_numpy(kept)), subset(self.train.x, torch.from_numpy(held))

    def divided(self, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Labelled rows to learn from, and those of them that choose the best epoch; the latter may be none."""
        if self.held is not None:
            held = self.held[rows]
            return (rows, rows[:0]) if held.all() else (rows[~held], rows[held])
        kept, chosen = hold_out(self.y[rows] if self.classes else None, len(rows), self.held_out, seed, VALIDATION - 1)
        return rows[kept], rows[chosen]

    def rows_of(self, cell: Cell) -> np.ndarray:
        """The rows whose labels a cell learns from, the same ones for every contender."""
        return kept_labels(self.y, cell.labels, cell.seed)

    def few(self, cell: Cell) -> tuple[np.ndarray, np.ndarray]:
        """Rows x (labels, d) and their labels or targets, as scikit-learn takes them."""
        rows = self.rows_of(cell)
        x = self.train.x[torch.from_numpy(rows)]
        return x.numpy().astype(np.float64), self.y[rows]

    @cached_property
    def test_x(self) -> np.ndarray:
        return self.test.x[:].numpy().astype(np.float64)

    @property
    def chance(self) -> float:
        """The error of always answering the most frequent class of the training rows, or the mean of their targets."""
        known = labelled(self.train).y
        assert known is not None and self.test.y is not None
        answer = known.mode().values if self.classes else known.double().mean(dim=0)
        return float(self.errors(answer.expand(self.test.y.shape)).mean(dtype=np.float64))

    def errors(self, predicted: np.ndarray | Tensor) -> np.ndarray:
        """The error of each test row: 1 where the class is wrong; for targets (ŷ − y)² / variance, mean over targets.

        The mean over rows is the error rate, or 1 − R², averaged over the targets.
        """
        said = np.asarray(predicted)
        assert self.test.y is not None
        true = self.test.y.numpy()
        if self.classes:
            return np.asarray(said != true, dtype=np.float32)
        spread = true.var(axis=0)
        square = np.square(said.reshape(true.shape).astype(np.float64) - true) / np.where(spread > 0, spread, 1.0)
        return np.asarray(square.mean(axis=1), dtype=np.float32)


def complete(part: Part) -> Part:
    """Return the part in which a row that lacks a target counts as unlabelled: it has none."""
    if part.y is None or not part.y.is_floating_point():
        return part
    missing = part.y.isnan().any(dim=1, keepdim=True)
    return part._replace(y=torch.where(missing, torch.nan, part.y))


def labelled(part: Part) -> Part:
    """Return the rows that have a label, or all targets."""
    if part.y is None:
        return Part(part.x[:0], None)
    known = part.y >= 0 if not part.y.is_floating_point() else ~part.y.isnan().any(dim=1)
    return part if bool(known.all()) else Part(subset(part.x, known), part.y[known])


def check_labels(name: str, train: Part, test: Part) -> None:
    """Raise DataError unless training and test rows have labels, of two classes at least."""
    for part, what in ((train, "training"), (test, "test")):
        if not len(labelled(part).x):
            raise DataError(
                f"{name}: expected {what} rows with labels to compare by, got none; name their column with "
                f"{argument('target')}, or give data that have labels"
            )
    y = labelled(train).y
    assert y is not None
    if not y.is_floating_point() and len(torch.unique(y)) < 2:
        raise DataError(
            f"{name}: expected labels of at least two classes to compare by, got one class; give rows of another too"
        )
