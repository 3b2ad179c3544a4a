"""The classifier: a softmax layer on the encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from stackae.autoencoders.dense import Dense
from stackae.autoencoders.parameters import fill
from stackae.config import PretrainConfig
from stackae.data import Part, Rows, in_order
from stackae.data.labels import MOST_CLASSES
from stackae.data.rows import subset
from stackae.errors import DataError, argument
from stackae.metrics import ClassifierReport, balanced_error, classifier_report
from stackae.models.files import check_numbers
from stackae.models.heads.base import Finetuned, FinetuneObjective, HeadTask, Prepared, dense_numbers, unfilled
from stackae.models.stack import ROWS_AT_ONCE, in_batches
from stackae.objectives.base import links
from stackae.ops.step import DenseLayer


class Classifier(Finetuned):
    """p(class | x) = softmax(head(encoders(x))); ``forward`` gives logits (batch, n_classes)."""

    head: Dense

    @classmethod
    def prepared(cls, task: HeadTask) -> Prepared[Self]:
        """Prepare for classes y (n,) from 0; rows with y = -1 are skipped; a single class raises DataError, unless a
        classifier is trained on."""
        config, n_classes = task.config, task.n_classes
        x, y = labelled_rows(task.train, n_classes, may_lack=task.begun is not None)
        held_out, held_y = (None, y) if task.validation is None else labelled_rows(task.validation, n_classes, True)
        weight = class_weights(y, n_classes) if config.class_weight == "balanced" else None
        return Prepared(
            cls(task.encoders, task.dense(n_classes)),
            x,
            held_out,
            lambda one, read, _: ClassificationObjective(
                one, read, y.to(read.device), weight=weight, outputs=config.outputs, max_norm=config.max_norm
            ),
            lambda one, read, _: classification_loss(one, read, held_y, weight, config.outputs),
            y,
            weight,
        )

    @classmethod
    def most_numbers(cls, config: PretrainConfig) -> int:
        return dense_numbers(config, MOST_CLASSES)

    @classmethod
    def read(
        cls, tensors: Mapping[str, Tensor], description: Mapping[str, Any], config: PretrainConfig, engine: str
    ) -> tuple[Self, tuple[str, ...]]:
        classes = tuple(str(name) for name in description["classes"])
        sizes = (*config.layer_sizes, len(classes))
        if tuple(description["sizes"]) != sizes:
            raise ValueError(f"sizes {description['sizes']} instead of {list(sizes)}")
        check_numbers(tensors, dense_numbers(config, len(classes)), (sizes[-2] + 1) * sizes[-1])
        model = cls(*unfilled(config, len(classes), engine))
        fill(model, tensors)
        return model, classes

    def described(self, names: Sequence[str]) -> dict[str, Any]:
        return {"kind": "classifier", "classes": names}

    def report(self, x: Rows, y: Tensor | None) -> ClassifierReport:
        """Report on y (n,) int64: rows with y = -1 are skipped, and classes from n_classes on are reported as unseen.

        ``match_classes`` numbers the classes so.
        """
        known = y >= 0 if y is not None else torch.zeros(len(x), dtype=torch.bool)
        if y is None or not bool(known.any()):
            raise DataError("labels: expected labelled rows to evaluate a classifier on, got none")
        predicted = in_batches(self.predict, subset(x, known))
        return classifier_report(y[known], predicted, self.layer_sizes[-1])

    def answers(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities (n, n_classes), and the most probable class of each row (n,) int64."""
        return outputs.softmax(dim=1), outputs.argmax(dim=1)

    def predict_proba(self, x: Tensor) -> Tensor:
        """x (batch, n_visible) -> probabilities (batch, n_classes); rows sum to 1."""
        return self.forward(x).softmax(dim=1)

    def predict(self, x: Tensor) -> Tensor:
        """x (batch, n_visible) -> (batch,) int64 class indices."""
        return self.forward(x).argmax(dim=1)


@dataclass(frozen=True)
class ClassificationObjective(FinetuneObjective):
    """(1/B) Σ_i w(y_i) ℓ_i, with ℓ of ``row_losses``; ``weight`` is w (n_classes,), None means 1."""

    y: Tensor
    weight: Tensor | None = field(default=None, kw_only=True)
    outputs: str = field(default="softmax", kw_only=True)
    loss: str = field(default="cross_entropy", kw_only=True)

    @property
    def labels(self) -> Tensor:
        return self.y.contiguous()

    @property
    def row_weights(self) -> Tensor | None:
        if self.outputs == "softmax":
            return None if self.weight is None else self.weight[self.y]
        return torch.full_like(self.y, 0.5, dtype=torch.float32) * (1 if self.weight is None else self.weight[self.y])

    @property
    def kernel_loss(self) -> str:
        return "cross_entropy" if self.outputs == "softmax" else "mse"

    @property
    def chain(self) -> list[DenseLayer]:
        dense = links(self.network.parts, self.loss)
        if self.outputs == "sigmoid":
            dense[-1:] = [each._replace(activation="sigmoid") for each in dense[-1:]]
        return dense

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        logits, y = self.network.head(self.code(rows, step)), self.y[rows].to(self.network.device)
        if self.weight is None and self.outputs == "softmax":
            return F.cross_entropy(logits, y)
        losses = row_losses(logits, y, self.outputs)
        return (losses if self.weight is None else self.weight.to(logits)[y] * losses).sum() / max(1, len(rows))


def row_losses(logits: Tensor, y: Tensor, outputs: str) -> Tensor:
    """ℓ (batch,) of logits (batch, n_classes) and classes y (batch,).

    softmax: −ln p_y, in nats. sigmoid: ½ Σ_c (σ(z_c) − [c = y])², one output per class against all others.
    """
    if outputs == "softmax":
        return F.cross_entropy(logits, y, reduction="none")
    return (logits.sigmoid() - F.one_hot(y, logits.shape[1]).to(logits)).square().sum(dim=1) / 2


def labelled_rows(data: Part, n_classes: int, may_lack: bool = False) -> tuple[Rows, Tensor]:
    """Select the rows that have a label, with their labels.

    Raises:
        DataError: targets that are numbers; or fewer than two classes, which ``may_lack`` permits.
    """
    labels = data.y if data.y is not None else torch.full((len(data.x),), -1)
    if labels.is_floating_point():
        raise DataError(
            "labels: expected the class of each row to train a classifier, got numbers; use "
            f"{argument('head', 'regressor', 'multilabel')}, or read them with {argument('target_kind', 'classes')}"
        )
    known = labels >= 0
    x, y = (data.x, labels) if bool(known.all()) else (subset(data.x, known), labels[known])
    if may_lack:
        return x, y
    if len(y) == 0:
        raise DataError(
            "labels: expected labels to train a classifier, got none; "
            f"use data that has them (npz with y, or csv with {argument('target')} COLUMN)"
        )
    if n_classes < 2 or bool((y == y[0]).all()):
        raise DataError(
            f"labels: expected at least two classes, got one alone among {len(y)} labelled training rows; "
            f"{_remedy(int((~known).sum()))}"
        )
    return x, y


def _remedy(unlabelled: int) -> str:
    if not unlabelled:
        return "give rows of another class too"
    return (
        f"{unlabelled:,} training rows have no label (-1, or an empty cell): where -1 is a class, as in labels of +1 "
        "for normal rows and -1 for outliers, write it as 0 or by a name"
    )


def class_weights(y: Tensor, n_classes: int) -> Tensor:
    """w_c = n / (k n_c), float32 (n_classes,): n rows, n_c of class c, k classes with rows; w_c = 1 where n_c = 0.

    The mean weight over the rows is 1, and every class has the same total weight. King & Zeng (2001), Logistic
    regression in rare events data; scikit-learn's class_weight="balanced".
    """
    counts = y.bincount(minlength=n_classes).double()
    present = counts > 0
    return torch.where(present, len(y) / (present.sum() * counts.clamp(min=1)), 1.0).float()


@torch.no_grad()
def classification_loss(
    model: Finetuned, x: Rows, y: Tensor, weight: Tensor | None = None, outputs: str = "softmax"
) -> tuple[float, float]:
    """Compute the loss per row, by ``row_losses``, and the error rate; x (n, n_visible), y (n,).

    With ``weight`` (n_classes,) the loss is (1/n) Σ_i w(y_i) ℓ_i, and the error 1 − balanced accuracy.
    """
    loss, wrong = 0.0, torch.empty(len(y), dtype=torch.bool)
    for part in in_order(len(x), ROWS_AT_ONCE):
        logits, labels = model(x[part].to(model.device)), y[part].to(model.device)
        losses = row_losses(logits, labels, outputs)
        loss += float((losses if weight is None else weight.to(logits)[labels] * losses).sum())
        wrong[part] = (logits.argmax(dim=1) != labels).cpu()
    error = float(wrong.sum()) / len(x) if weight is None else balanced_error(y.cpu(), wrong)
    return loss / len(x), error
