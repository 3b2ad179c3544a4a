"""The rows that a head learns from: labels are kept of as many as requested, and held out only where they are many."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stackae.config import FinetuneConfig
from stackae.config.heads import HeadRow
from stackae.config.values import labels_asked
from stackae.data.division import TRAIN, VALIDATION
from stackae.data.kept_labels import kept_labels
from stackae.data.loading import Dataset, Part
from stackae.data.rows import ByteRows, Rows, subset

SCARCE = 50  # rows per class, below which none is held out
SCARCE_NUMBERS = 500  # rows with a number to be learned
MOST_SCARCE = 5000  # labelled rows; a tenth of more is many, however few a class has


class Parts(NamedTuple):
    """Training and validation rows; ``order`` sorts both together, train first, as their source has them.

    order is None where the validation rows are given apart: they are then never trained on.
    """

    train: Part
    validation: Part
    order: Tensor | None

    @property
    def y(self) -> Tensor | None:
        """Return the targets of all rows that may be trained on, in the order of their source."""
        if self.order is None or self.train.y is None or self.validation.y is None:
            return self.train.y
        return torch.cat((self.train.y, self.validation.y))[self.order]

    def with_targets(self, y: Tensor) -> Parts:
        """Return the same rows with these targets in the place of ``self.y``."""
        if self.order is None:
            return self._replace(train=self.train._replace(y=y))
        both = torch.empty_like(y)
        both[self.order] = y
        first, second = both[: len(self.train.x)], both[len(self.train.x) :]
        return self._replace(train=self.train._replace(y=first), validation=self.validation._replace(y=second))

    @property
    def pooled(self) -> Parts:
        """Return all rows as training rows, in the order of their source, and none to validate on."""
        if self.order is None or not len(self.validation.x):
            return self
        none = Part(self.validation.x[:0], None)
        x = subset(_joined(self.train.x, self.validation.x), self.order)
        return Parts(Part(x, self.y), none, None)


def learned_parts(parts: Parts, settings: FinetuneConfig) -> Parts:
    """Keep as many labels as ``settings.labels`` says, and hold none out where they are scarce.

    Raises:
        DataError: as ``kept_labels``.
    """
    row, y = settings.row, parts.y
    if not row.predicts or y is None:
        return parts
    count, per_class = labels_asked(settings.labels)
    if count is not None and bool((~y.isnan() if y.is_floating_point() else y >= 0).any()):
        kept = torch.from_numpy(kept_labels(y.numpy(), count, settings.labels_seed, per_class))
        y, full = torch.full_like(y, torch.nan if y.is_floating_point() else -1), y
        y[kept] = full[kept]
        parts = parts.with_targets(y)
    return parts.pooled if is_scarce(y, row) else parts


def learned_dataset(dataset: Dataset, settings: FinetuneConfig) -> Dataset:
    """Return the dataset with ``learned_parts``; its test part and division are as they were."""
    division = dataset.division
    assert division is not None
    places = [division.rows_of(part, 0, len(division.parts)) for part in (TRAIN, VALIDATION)]
    order = torch.cat([torch.from_numpy(each) for each in places]).argsort()
    train, validation, _ = learned_parts(Parts(dataset.train, dataset.validation, order), settings)
    return dataset._replace(train=train, validation=validation)


def is_scarce(y: Tensor, row: HeadRow) -> bool:
    """Whether a part of these targets, held out, would be too few to choose by, and would be missed in training.

    Of classes (n,), and of labels (n, k), the rarest counts, of those that are there: fewer than SCARCE rows, unless
    MOST_SCARCE have a label. Of numbers (n, k), the target that the fewest rows have: fewer than SCARCE_NUMBERS.
    """
    if not y.is_floating_point():
        counts = y[y >= 0].bincount()
        return 0 < int(counts.sum()) < MOST_SCARCE and int(counts[counts > 0].min()) < SCARCE
    y = y[:, None] if y.dim() == 1 else y
    known = ~y.isnan()
    if not row.has_error:
        return int(known.sum(dim=0).min()) < SCARCE_NUMBERS
    ones = (y > 0.5).sum(dim=0)
    counts = torch.cat((ones, known.sum(dim=0) - ones))
    rows = int(known.any(dim=1).sum())
    return 0 < rows < MOST_SCARCE and int(counts[counts > 0].min()) < SCARCE


def few_of(row: HeadRow) -> str:
    """Describe scarce labels of a head."""
    return f"fewer than {SCARCE} are of one class" if row.has_error else f"they are fewer than {SCARCE_NUMBERS}"


def _joined(first: Rows, second: Rows) -> Rows:
    if isinstance(first, ByteRows) and isinstance(second, ByteRows):
        return ByteRows(torch.cat((first.raw, second.raw)), first.scaling)
    return torch.cat((first[:], second[:]))
