"""Fine-tuning trains a head on the pretrained encoders, alone or together with them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from stackae.config import FinetuneConfig
from stackae.data import Part
from stackae.data.placement import placed
from stackae.models.heads import HEADS
from stackae.models.heads.base import HeadTask
from stackae.models.stack import StackedAutoencoder
from stackae.ops.engine import StepChoice, choose_device
from stackae.semisupervised.training import fit_unlabelled, settled_method
from stackae.training.callbacks import Callback, EpochRecord, NoCallback
from stackae.training.checkpointing import Checkpointer, NoCheckpoints
from stackae.training.choice import head_step
from stackae.training.head import fit_head


class FinetuneResult(NamedTuple):
    """The trained model (an instance of the head's class), one record per epoch, and the step that trained it.

    ``validation_rows`` counts the rows that chose the best epoch.
    """

    model: Any
    history: list[EpochRecord]
    step: StepChoice
    validation_rows: int = 0


def finetune_stack(
    stack: StackedAutoencoder,
    train: Part,
    config: FinetuneConfig,
    *,
    n_classes: int = 0,
    loss: str = "mse",
    validation: Part | None = None,
    callback: Callback | None = None,
    checkpointer: Checkpointer | None = None,
) -> FinetuneResult:
    """Train the head that ``config`` names on copies of the stack's encoders; the stack itself is unchanged.

    Args:
        stack: gives the layer sizes and, with ``config.init == "pretrained"``, the weights.
        train: the training rows x (n, n_visible) and their targets y. A classifier takes classes (n,) from 0, -1 for
            none; a regressor numbers (n, n_targets) or (n,), and a multilabel head 0 and 1 (n, n_labels), both NaN
            where a target is missing; a reconstruction takes None. Rows without any target are skipped.
        config: ``train="head"`` freezes the encoders, ``"all"`` trains every layer, ``"gradual"`` begins with the head
            and unfreezes one layer after the other from the top, for an equal share of the epochs each. The decoders
            are the head of a reconstruction. ``class_weight="balanced"`` weighs a classifier's loss by
            ``class_weights``, in training and in validation.
        n_classes: width of a classifier.
        loss: mse or bce, for a reconstruction: the loss that the first layer was trained with.
        validation: rows that choose the best epoch: by error where the head has one (the mean over the classes, with
            balanced weights), then by loss.
        callback: called after every batch and epoch.
        checkpointer: saves snapshots and resumes from them.

    Raises:
        DataError: no rows, no labels, labels of a single class, a target without any number, or targets of another
            kind than the head's.
        ConfigError: loss bce with an output other than a sigmoid.
        DivergedError: a step would have made a loss or a weight infinite or NaN; it was not taken.
        StoppedError: a signal requested that the checkpointer end training.
    """
    known = rows_with_labels(train)
    method = settled_method(config, stack, int(known.sum()), len(known))
    config = config.model_copy(update={"unlabelled": method.name})
    device, step = choose_device(config.device), head_step(stack, config)
    task = HeadTask(stack, train, validation, config, n_classes, loss)
    head = HEADS[config.head].prepared(task)
    held_out = None if head.held_out is None or not len(head.held_out) else placed(head.held_out, device)
    head = head._replace(model=head.model.to(device), x=placed(head.x, device), held_out=held_out)
    callback, checkpointer = callback or NoCallback(), checkpointer or NoCheckpoints()
    if config.learns_unlabelled:
        history = fit_unlabelled(head, task.start, placed(train.x, device), known, config, callback, checkpointer)
    else:
        history = fit_head(head, config, step, callback, checkpointer)
    return FinetuneResult(head.model, history, step, 0 if held_out is None else len(held_out))


def rows_with_labels(train: Part) -> Tensor:
    """Return which rows have a label, or at least one target: (n,) bool."""
    if train.y is None:
        return torch.zeros(len(train.x), dtype=torch.bool)
    if train.y.is_floating_point():
        return ~train.y.reshape(len(train.y), -1).isnan().all(dim=1)
    return train.y >= 0
