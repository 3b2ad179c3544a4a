"""The multilabel classifier: a row may have several labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from stackae.autoencoders.dense import Dense
from stackae.autoencoders.parameters import fill
from stackae.config import PretrainConfig
from stackae.data import Part, Rows
from stackae.errors import DataError, argument
from stackae.metrics import auroc, average_precision, with_interval
from stackae.models.heads.base import Finetuned, HeadTask, Prepared, unfilled
from stackae.models.heads.targets import (
    TargetsObjective,
    held_out_rows,
    known_rows,
    most_numbers,
    rows_with_targets,
    targets_loss,
    targets_of,
)
from stackae.models.stack import in_batches


class LabelReport(NamedTuple):
    """Metrics over the ``rows`` whose label is known.

    auroc is None where no row, or every row, has the label; average_precision is None where no row has it.
    """

    rows: int
    positives: int
    accuracy: float
    auroc: float | None
    average_precision: float | None

    @property
    def figures(self) -> dict[str, Any]:
        """Return the metrics as JSON data, the accuracy with its interval."""
        return self._asdict() | with_interval("accuracy", self.accuracy, self.rows)


class MultilabelReport(NamedTuple):
    """One report per label, and the share of the ``rows`` rows whose known labels are all predicted correctly."""

    rows: int
    subset_accuracy: float
    labels: list[LabelReport | None]


class MultilabelClassifier(Finetuned):
    """p(label j | x) = sigmoid(head(encoders(x)))_j; ``forward`` gives logits (batch, n_labels)."""

    head: Dense

    @classmethod
    def prepared(cls, task: HeadTask) -> Prepared[Self]:
        """Prepare for y (n, n_labels) of 0 and 1, NaN where one is missing; rows without any are skipped."""
        x, y = known_rows(task.train, "a multilabel head")
        rows, held_y = held_out_rows(task.validation, "a multilabel head", y.shape[1]) or (None, y)
        check_binary(y)
        check_binary(held_y)
        norm = task.config.max_norm
        return Prepared(
            cls(task.encoders, task.dense(y.shape[1])),
            x,
            rows,
            lambda one, read, _: MultilabelObjective(one, read, y.to(read.device), max_norm=norm),
            lambda one, read, _: targets_loss(one, read, held_y, cross_entropy),
        )

    @classmethod
    def most_numbers(cls, config: PretrainConfig) -> int:
        return most_numbers(config)

    @classmethod
    def read(
        cls, tensors: Mapping[str, Tensor], description: Mapping[str, Any], config: PretrainConfig, engine: str
    ) -> tuple[Self, tuple[str, ...]]:
        targets = targets_of(tensors, description, config, "multilabel")
        model = cls(*unfilled(config, len(targets), engine))
        fill(model, tensors)
        return model, targets

    def described(self, names: Sequence[str]) -> dict[str, Any]:
        return {"kind": "multilabel", "targets": names}

    def report(self, x: Rows, y: Tensor | None) -> MultilabelReport:
        """Report on y (n, n_labels) of 0 and 1, NaN where one is missing."""
        x, y = rows_with_targets(self, x, y)
        scores, known = in_batches(self, x), ~y.isnan()
        wrong = ((scores > 0) != (y > 0.5)) & known
        labels = list[LabelReport | None]()
        for column in range(y.shape[1]):
            rows = known[:, column]
            mine, true = scores[rows, column], y[rows, column] > 0.5
            counts = len(true), int(true.sum()), 1 - float(wrong[rows, column].double().mean())
            scored = auroc(mine, true), average_precision(mine, true)
            labels.append(LabelReport(*counts, *scored) if len(true) else None)
        return MultilabelReport(len(y), 1 - float(wrong.any(dim=1).double().mean()), labels)

    def answers(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return each label's probability (n, n_labels), and its prediction int64, 1 where the probability is > ½."""
        return outputs.sigmoid(), (outputs > 0).to(torch.int64)

    def metrics(self, names: Sequence[str], rows: Part) -> dict[str, Any]:
        """Return ``report`` as JSON data: one ``LabelReport`` per label, with its name."""
        report = self.report(rows.x, rows.y)
        labels = zip(names, report.labels, strict=True)
        return {
            "labelled_rows": report.rows,
            **with_interval("subset_accuracy", report.subset_accuracy, report.rows),
            "labels": [{"label": name} | (one.figures if one else {"rows": 0}) for name, one in labels],
        }

    def predict_proba(self, x: Tensor) -> Tensor:
        """x (batch, n_visible) -> probabilities (batch, n_labels)."""
        return self.forward(x).sigmoid()

    def predict(self, x: Tensor) -> Tensor:
        """x (batch, n_visible) -> (batch, n_labels) int64, 1 where the probability is > ½."""
        return (self.forward(x) > 0).to(torch.int64)


@dataclass(frozen=True)
class MultilabelObjective(TargetsObjective):
    """−(1/B) Σ_i Σ_j y_ij ln p_ij + (1−y_ij) ln(1−p_ij) over the known labels, in nats.

    y (n, n_labels) is 0, 1, or NaN where unknown.
    """

    loss: str = field(default="bce", kw_only=True)

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        z = self.network.head(self.code(rows, step))
        return cross_entropy(z, self.y[rows].to(z)) / max(1, len(rows))


def cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    """Σ −y ln σ(z) − (1−y) ln(1−σ(z)) over the entries where y is not NaN; both (batch, n) -> scalar."""
    each = F.binary_cross_entropy_with_logits(z, y.nan_to_num(), reduction="none")
    return torch.where(y.isnan(), 0.0, each).sum()


def check_binary(y: Tensor) -> None:
    """Raise DataError unless every known label is 0 or 1."""
    wrong = y[~(y.isnan() | (y == 0) | (y == 1))]
    if len(wrong):
        raise DataError(
            f"targets: expected labels that are 0 or 1, or missing, got {wrong[0].item():g}; use "
            f"{argument('head', 'regressor')} for numbers, or write 0 and 1"
        )
