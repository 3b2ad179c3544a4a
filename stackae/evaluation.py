"""How good a stack is: accuracy and confusion of its classifier, reconstruction error of each of its layers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from stackae.data.minibatches import in_order
from stackae.data.rows import Rows, subset
from stackae.errors import DataError
from stackae.metrics import ClassifierReport, auroc, average_precision, classifier_report, r_squared
from stackae.models.heads.classifier import Classifier, Finetuned
from stackae.models.heads.others import DeepAutoencoder, MultilabelClassifier, Regressor
from stackae.models.stack import ROWS_AT_ONCE, StackedAutoencoder, in_batches


class ReconstructionReport(NamedTuple):
    """Encoding up to ``layer`` and decoding back to the input, averaged over rows.

    squared_error: ‖z − x‖² a row. mean_squared_error: the same a feature. explained: 1 − squared_error / that of
    always answering the mean row, so 0 is no better than the mean and 1 is perfect.
    """

    layer: int
    n_hidden: int
    squared_error: float
    mean_squared_error: float
    explained: float


class TargetReport(NamedTuple):
    """Over the ``rows`` whose target is known: √ of the mean squared error, in its units, and R²; None: all alike."""

    rows: int
    rmse: float
    r2: float | None


class LabelReport(NamedTuple):
    """Over the ``rows`` whose label is known; auroc and average_precision are None where none, or all, have it."""

    rows: int
    positives: int
    accuracy: float
    auroc: float | None
    average_precision: float | None


class MultilabelReport(NamedTuple):
    """Each label, and over ``rows`` rows the share of those of which no known label is wrong."""

    rows: int
    subset_accuracy: float
    labels: list[LabelReport | None]


def evaluate_regressor(model: Regressor, x: Rows, y: Tensor | None) -> list[TargetReport | None]:
    """A report a target, None where it is known of no row; x (n, n_visible), y (n, n_targets) with NaN for missing.

    Raises:
        DataError: no row has a target, or not as many as the model.
    """
    x, y = _with_targets(model, x, y)
    predicted, reports = in_batches(model.predict, x), list[TargetReport | None]()
    for column in range(y.shape[1]):
        known = ~y[:, column].isnan()
        mine, true = predicted[known, column].double(), y[known, column].double()
        rmse = float((mine - true).square().mean().sqrt())
        reports.append(TargetReport(len(true), rmse, r_squared(mine, true)) if len(true) else None)
    return reports


def evaluate_multilabel(model: MultilabelClassifier, x: Rows, y: Tensor | None) -> MultilabelReport:
    """x (n, n_visible), y (n, n_labels) of 0 and 1, NaN for missing.

    Raises:
        DataError: as ``evaluate_regressor``.
    """
    x, y = _with_targets(model, x, y)
    scores, known = in_batches(model, x), ~y.isnan()
    wrong = ((scores > 0) != (y > 0.5)) & known
    labels = list[LabelReport | None]()
    for column in range(y.shape[1]):
        rows = known[:, column]
        mine, true = scores[rows, column], y[rows, column] > 0.5
        figures = len(true), int(true.sum()), 1 - float(wrong[rows, column].double().mean())
        scored = auroc(mine, true), average_precision(mine, true)
        labels.append(LabelReport(*figures, *scored) if len(true) else None)
    return MultilabelReport(len(y), 1 - float(wrong.any(dim=1).double().mean()), labels)


def _with_targets(model: Finetuned, x: Rows, y: Tensor | None) -> tuple[Rows, Tensor]:
    y = None if y is None or not y.is_floating_point() else y.reshape(len(y), -1)
    known = torch.zeros(len(x), dtype=torch.bool) if y is None else ~y.isnan().all(dim=1)
    if y is None or not bool(known.any()):
        raise DataError("targets: expected rows with targets to evaluate on, got none")
    if y.shape[1] != model.layer_sizes[-1]:
        raise DataError(
            f"targets: expected {model.layer_sizes[-1]} a row, as it was trained on, got {y.shape[1]}; name those"
        )
    return subset(x, known), y[known]


def evaluate_classifier(model: Classifier, x: Rows, y: Tensor | None) -> ClassifierReport:
    """x (n, n_visible), y (n,) int64; rows with y = -1 are passed over, and those of classes beyond the classifier's
    (``match_classes``) are told apart.

    Raises:
        DataError: no row has a label.
    """
    known = y >= 0 if y is not None else torch.zeros(len(x), dtype=torch.bool)
    if y is None or not bool(known.any()):
        raise DataError("labels: expected labelled rows to evaluate a classifier on, got none")
    predicted = in_batches(model.predict, subset(x, known))
    return classifier_report(y[known], predicted, model.layer_sizes[-1])


def evaluate_reconstruction(stack: StackedAutoencoder, x: Rows) -> list[ReconstructionReport]:
    """One report a layer, for x (n, n_visible) with n >= 1."""
    spread = _spread(x)
    return [
        _report(layer, stack.layer_sizes[layer], partial(stack.reconstruct, layer=layer), x, spread)
        for layer in range(1, len(stack.layer_sizes))
    ]


def evaluate_unrolled(model: DeepAutoencoder, x: Rows) -> ReconstructionReport:
    """Of the whole of it, for x (n, n_visible) with n >= 1."""
    top = len(model.encoders)
    return _report(top, model.layer_sizes[top], model.reconstruct, x, _spread(x))


@torch.no_grad()
def _report(
    layer: int, n_hidden: int, reconstruct: Callable[[Tensor], Tensor], x: Rows, spread: float
) -> ReconstructionReport:
    total = 0.0
    for part in in_order(len(x), ROWS_AT_ONCE):
        rows = x[part]
        total += (reconstruct(rows) - rows).double().square().sum().item()
    error = total / len(x)
    explained = 1 - error / spread if spread > 0 else float(error == 0)
    return ReconstructionReport(layer, n_hidden, error, error / x.shape[1], explained)


def _spread(x: Rows) -> float:
    """‖x − mean row‖², averaged over rows; in float64, so that equal rows give exactly 0."""
    if len(x) == 0:
        raise DataError("data: expected rows to reconstruct, got none")
    parts = list(in_order(len(x), ROWS_AT_ONCE))
    mean = torch.stack([x[part].double().sum(0) for part in parts]).sum(0) / len(x)
    return sum((x[part].double() - mean).square().sum().item() for part in parts) / len(x)


class Matched(NamedTuple):
    """Labels y (n,) of the classifier's classes from 0, then of ``unseen``, the names of others that rows are of."""

    y: Tensor | None
    unseen: tuple[str, ...] = ()


def match_classes(
    y: Tensor | None, names: Sequence[str], classes: Sequence[str], left_out: Collection[str] = ()
) -> Matched:
    """Labels that index ``names``, as labels that index the classifier's ``classes``; -1 stays -1.

    Classes that it was not trained on, those of ``left_out`` among them, come after its own, in their order.
    """
    if y is None:
        return Matched(None)
    place = {name: index for index, name in enumerate(classes) if name not in left_out}
    present = torch.bincount(y[y >= 0], minlength=len(names)).tolist()
    unseen = tuple(name for name, rows in zip(names, present, strict=True) if rows and name not in place)
    place |= {name: len(classes) + index for index, name in enumerate(unseen)}
    index = torch.tensor([place.get(name, -1) for name in names] + [-1])
    return Matched(index[y], unseen)
