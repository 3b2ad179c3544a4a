"""Fine-tuning for targets: numbers, or labels of which a row may have several; some may be missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from stackae.config import FinetuneConfig
from stackae.data import Part, Rows, in_order
from stackae.data.placement import placed
from stackae.data.rows import subset
from stackae.errors import DataError, argument
from stackae.finetuning import FinetuneResult, new_encoders, new_head
from stackae.models.heads.others import MultilabelClassifier, Regressor
from stackae.models.stack import ROWS_AT_ONCE, StackedAutoencoder
from stackae.objectives.heads import MultilabelObjective, RegressionObjective, cross_entropy, squared_error
from stackae.ops.engine import StepChoice, choose_device
from stackae.training.callbacks import Callback, NoCallback
from stackae.training.checkpointing import Checkpointer, NoCheckpoints
from stackae.training.choice import head_step
from stackae.training.head import fit_head
from stackae.training.stage import Validation

TargetsModelT = TypeVar("TargetsModelT", Regressor, MultilabelClassifier)


def finetune_regressor(
    stack: StackedAutoencoder,
    train: Part,
    config: FinetuneConfig,
    *,
    validation: Part | None = None,
    callback: Callback | None = None,
    checkpointer: Checkpointer | None = None,
) -> FinetuneResult[Regressor]:
    """Trains a regressor that starts from the stack's encoders, for the squared error of standardised targets.

    Args:
        train: x (n, n_visible) and y (n, n_targets) or (n,) numbers, NaN where one is missing: that has no influence,
            and rows without any target are passed over.
        stack, config, callback, checkpointer: as ``finetune_classifier`` has them.
        validation: rows that choose the best epoch.

    Raises:
        DataError: no targets, none known of one of them, or classes in their place.
        DivergedError, StoppedError: as ``finetune_classifier``.
    """
    x, y = known_rows(train, "a regressor")
    kept = torch.float64 if train.y is not None and train.y.dtype == torch.float64 else torch.float32
    mean = y.nanmean(dim=0)
    deviation = (y - mean).square().nanmean(dim=0).sqrt()
    scale = torch.where(deviation > 0, deviation, 1.0)
    head = new_head(stack, config, y.shape[1])
    model = Regressor(new_encoders(stack, config), head, mean.to(kept), scale.to(kept))
    held_out = _held_out(validation, "a regressor", y.shape[1])
    standardised = None if held_out is None else (held_out[0], model.standardised(held_out[1]))
    chosen, known = head_step(stack, config), (x, model.standardised(y))
    return _fit(model, known, standardised, config, chosen, _regression, squared_error, callback, checkpointer)


def finetune_multilabel(
    stack: StackedAutoencoder,
    train: Part,
    config: FinetuneConfig,
    *,
    validation: Part | None = None,
    callback: Callback | None = None,
    checkpointer: Checkpointer | None = None,
) -> FinetuneResult[MultilabelClassifier]:
    """Trains a sigmoid for each label on the stack's encoders, for their cross-entropy.

    Args:
        train: x (n, n_visible) and y (n, n_labels) of 0 and 1, NaN where one is missing; as ``finetune_regressor``.
        validation: rows that choose the best epoch, by the share of labels that are wrong, then by loss.

    Raises:
        DataError: as ``finetune_regressor``, or labels other than 0 and 1.
    """
    x, y = known_rows(train, "a multilabel head")
    held_out = _held_out(validation, "a multilabel head", y.shape[1])
    check_binary(y)
    if held_out is not None:
        check_binary(held_out[1])
    model = MultilabelClassifier(new_encoders(stack, config), new_head(stack, config, y.shape[1]))
    chosen = head_step(stack, config)
    return _fit(model, (x, y), held_out, config, chosen, _multilabel, cross_entropy, callback, checkpointer)


def known_rows(data: Part, what: str, may_lack: bool = False) -> tuple[Rows, Tensor]:
    """The rows that have a target, with their targets (n, n_targets) float64."""
    y = data.y
    if y is not None and not y.is_floating_point():
        raise DataError(
            f"targets: expected numbers to train {what}, got classes; read them with "
            f"{argument('target_kind', 'numbers')}, or use {argument('head', 'classifier')}"
        )
    y = torch.full((len(data.x), 1), torch.nan) if y is None else y.reshape(len(y), -1)
    known = ~y.isnan().all(dim=1)
    x, y = (data.x, y) if bool(known.all()) else (subset(data.x, known), y[known])
    lacking = y.isnan().all(dim=0).nonzero().flatten().tolist()
    if lacking and not may_lack:
        found = "none" if len(y) == 0 else f"none for target {lacking[0] + 1} of {y.shape[1]}"
        raise DataError(
            f"targets: expected numbers to train {what}, got {found}; use data that has them (npz with y, or csv with "
            f"{argument('target')} COLUMN,COLUMN)"
        )
    return x, y.double()


def check_binary(y: Tensor) -> None:
    """DataError unless every label that is known is 0 or 1."""
    wrong = y[~(y.isnan() | (y == 0) | (y == 1))]
    if len(wrong):
        raise DataError(
            f"targets: expected labels that are 0 or 1, or missing, got {wrong[0].item():g}; use "
            f"{argument('head', 'regressor')} for numbers, or write 0 and 1"
        )


def _held_out(data: Part | None, what: str, targets: int) -> tuple[Rows, Tensor] | None:
    if data is None or data.y is None:
        return None
    x, y = known_rows(data, what, may_lack=True)
    if y.shape[1] != targets:
        raise DataError(f"targets: expected {targets} a row for validation as for training, got {y.shape[1]}")
    return (x, y) if len(x) else None


Make = Callable[[TargetsModelT, Rows, Tensor, float], RegressionObjective | MultilabelObjective]


def _regression(model: Regressor, x: Rows, y: Tensor, max_norm: float) -> RegressionObjective:
    return RegressionObjective(model, x, y, max_norm=max_norm)


def _multilabel(model: MultilabelClassifier, x: Rows, y: Tensor, max_norm: float) -> MultilabelObjective:
    return MultilabelObjective(model, x, y, max_norm=max_norm)


def _fit(
    model: TargetsModelT,
    train: tuple[Rows, Tensor],
    held_out: tuple[Rows, Tensor] | None,
    config: FinetuneConfig,
    step: StepChoice,
    make: Make[TargetsModelT],
    loss: Callable[[Tensor, Tensor], Tensor],
    callback: Callback | None,
    checkpointer: Checkpointer | None,
) -> FinetuneResult[TargetsModelT]:
    device = choose_device(config.device)
    model.to(device)
    rows, held_y = (None, train[1]) if held_out is None else held_out
    history = fit_head(
        model,
        placed(train[0], device),
        None if rows is None else placed(rows, device),
        config,
        step=step,
        objective=lambda one, x: make(one, x, train[1].to(x.device), config.max_norm),
        validate=lambda one, x: _validation(one, x, held_y, loss),
        callback=callback or NoCallback(),
        checkpointer=checkpointer or NoCheckpoints(),
    )
    return FinetuneResult(model, history, step)


@torch.no_grad()
def _validation(
    model: Regressor | MultilabelClassifier, x: Rows, y: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
) -> Validation:
    """The loss per row; of labels, the share of the known ones that is wrong too."""
    total = wrong = 0.0
    for part in in_order(len(x), ROWS_AT_ONCE):
        z = model(x[part].to(model.device))
        targets = y[part].to(z)
        total += loss(z, targets).item()
        wrong += float((((z > 0) != (targets > 0.5)) & ~targets.isnan()).sum())
    known = int((~y.isnan()).sum())
    return Validation(total / len(x), wrong / known if isinstance(model, MultilabelClassifier) else None)
