"""Fine-tuning: a head on the pretrained encoders, trained alone or together with them."""

from __future__ import annotations

from typing import Any, NamedTuple

from stackae.config import FinetuneConfig
from stackae.data import Part
from stackae.data.placement import placed
from stackae.models.heads import HEADS
from stackae.models.heads.base import HeadTask
from stackae.models.stack import StackedAutoencoder
from stackae.ops.engine import StepChoice, choose_device
from stackae.training.callbacks import Callback, EpochRecord, NoCallback
from stackae.training.checkpointing import Checkpointer, NoCheckpoints
from stackae.training.choice import head_step
from stackae.training.head import fit_head


class FinetuneResult(NamedTuple):
    """The trained model, of the head's class, the record of every epoch, and the step that trained it."""

    model: Any
    history: list[EpochRecord]
    step: StepChoice


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
    """Train the head of ``config`` from the stack's encoders, or decoders too; the stack itself is left as it is.

    Args:
        stack: gives the layer sizes and, with ``config.init == "pretrained"``, the weights.
        train: the rows to learn from, x (n, n_visible), and y: of a classifier (n,) classes from 0, -1 for none; of a
            regressor (n, n_targets) or (n,) numbers, and of a multilabel head (n, n_labels) of 0 and 1, NaN where one
            is missing; of a reconstruction None. Rows that lack all are skipped.
        config: ``train="head"`` leaves the encoders alone, ``"all"`` trains every layer, ``"gradual"`` begins with the
            head, and the layers join it from the top, an equal share of the epochs each. Of a reconstruction, the head
            are the decoders. ``class_weight="balanced"`` weighs the loss of a classifier by ``class_weights``, in
            training and in validation.
        n_classes: width of a classifier.
        loss: of a reconstruction, mse or bce: what the first layer was trained for.
        validation: rows that choose the best epoch: by error, where the head has one (with balanced weights, its mean
            over the classes), then by loss.
        callback: called after every batch and epoch.
        checkpointer: saves where training is, and resumes from there.

    Raises:
        DataError: nothing to learn from: no rows, no labels or labels of a single class, no number of some target, or
            targets of another kind than the head's.
        ConfigError: loss bce with an output other than a sigmoid.
        DivergedError: a step would have made a loss or a weight infinite or NaN; it was not taken.
        StoppedError: the checkpointer was asked to end the training.
    """
    device, step = choose_device(config.device), head_step(stack, config)
    head = HEADS[config.head].prepared(HeadTask(stack, train, validation, config, n_classes, loss))
    held_out = None if head.held_out is None or not len(head.held_out) else placed(head.held_out, device)
    head = head._replace(model=head.model.to(device), x=placed(head.x, device), held_out=held_out)
    history = fit_head(head, config, step, callback or NoCallback(), checkpointer or NoCheckpoints())
    return FinetuneResult(head.model, history, step)
