"""Fine-tuning trains a head on the pretrained encoders, alone or together with them."""

from __future__ import annotations

from typing import Any, NamedTuple

from stackae.config import FinetuneConfig
from stackae.data import Part
from stackae.data.paired import PairedRows
from stackae.data.placement import placed
from stackae.data.rows import inputs_of
from stackae.models.heads.base import Finetuned, HeadTask, Prepared
from stackae.models.stack import StackedAutoencoder
from stackae.ops.engine import StepChoice, choose_device
from stackae.ranks import here
from stackae.semisupervised.training import fit_unlabelled, settled_method, spread_labels
from stackae.training.callbacks import Callback, EpochRecord, NoCallback
from stackae.training.candidates import Choice, can_compare_head, choose, head_by_folds
from stackae.training.checkpointing import Checkpointer, NoCheckpoints
from stackae.training.choice import head_step
from stackae.training.folds import rows_with_labels
from stackae.training.head import fit_head
from stackae.training.solved_head import fit_solved, prepared_on, solve


class FinetuneResult(NamedTuple):
    """The trained model (an instance of the head's class), one record per epoch, and the step that trained it.

    ``validation_rows`` counts the rows that chose the best epoch; ``choice`` says what was trained, and why.
    """

    model: Any
    history: list[EpochRecord]
    step: StepChoice
    choice: Choice
    validation_rows: int = 0

    @property
    def kept(self) -> EpochRecord:
        """Return the best epoch, whose weights the model has where steps trained it."""
        return best_of(self.history)

    @property
    def validation_error(self) -> float | None:
        """Return the error rate of the model on the validation rows; None without them, or without an error."""
        solved = self.choice.decay is not None and self.choice.alone is not None
        return self.choice.alone.error if solved and self.choice.alone else self.kept.validation_error


def finetune_stack(
    stack: StackedAutoencoder,
    train: Part,
    config: FinetuneConfig,
    *,
    n_classes: int = 0,
    loss: str = "mse",
    validation: Part | None = None,
    image_shape: tuple[int, ...] | None = None,
    callback: Callback | None = None,
    checkpointer: Checkpointer | None = None,
    start: Finetuned | None = None,
) -> FinetuneResult:
    """Train the head that ``config`` names on copies of the stack's encoders; the stack itself is unchanged.

    Args:
        stack: gives the layer sizes and, with ``config.init == "pretrained"``, the weights.
        train: the training rows x (n, n_visible) and their targets y. A classifier takes classes (n,) from 0, -1 for
            none; a regressor numbers (n, n_targets) or (n,), and a multilabel head 0 and 1 (n, n_labels), both NaN
            where a target is missing; a reconstruction takes None. Rows without any target are skipped.
        config: ``train="auto"`` trains what ``choose`` chooses; ``"head"`` freezes the encoders, ``"all"`` trains every
            layer, ``"gradual"`` begins with the head and unfreezes one layer after the other from the top, for an equal
            share of the epochs each. The decoders are the head of a reconstruction. ``class_weight="balanced"`` weighs
            a classifier's loss by ``class_weights``, in training and in validation.
        n_classes: width of a classifier.
        loss: mse or bce, for a reconstruction: the loss that the first layer was trained with.
        validation: rows that choose the best epoch: by error where the head has one (the mean over the classes, with
            balanced weights), then by loss.
        image_shape: (h, w) or (h, w, channels) of rows that are images, by which unlabelled ones may be compared.
        callback: called after every batch and epoch.
        checkpointer: saves snapshots and resumes from them.
        start: a model of the same head and shape, from whose weights all layers are trained on by labels; None is a new
            head.

    Raises:
        DataError: no rows, no labels, labels of a single class, a target without any number, or targets of another
            kind than the head's.
        ConfigError: loss bce with an output other than a sigmoid.
        DivergedError: a step would have made a loss or a weight infinite or NaN; it was not taken.
        StoppedError: a signal requested that the checkpointer end training.
    """
    paired = not config.row.predicts and isinstance(train.x, PairedRows)
    if not paired:
        train = Part(inputs_of(train.x), train.y)
        validation = None if validation is None else Part(inputs_of(validation.x), validation.y)
    known, callback, checkpointer = rows_with_labels(train), callback or NoCallback(), checkpointer or NoCheckpoints()
    method = settled_method(config, stack, int(known.sum()), len(known))
    labels_alone = config.model_copy(update={"unlabelled": "none"})
    task = HeadTask(stack, train, validation, labels_alone, n_classes, loss, start)
    doubting = config.unlabelled == "auto"
    if start is not None:
        return _by_labels(task, Choice("all"), paired, callback, checkpointer)
    if method.name == "none":
        return _by_labels(task, here().agreed(choose(task, callback)), paired, callback, checkpointer)
    alone = head_by_folds(task, callback) if doubting and can_compare_head(task) else None
    settled = config.model_copy(update={"unlabelled": method.name, "train": "all"})
    head, x = prepared_on(task._replace(config=settled)), placed(train.x, choose_device(config.device))
    spreading = spread_labels(head, x, known, settled, callback, image_shape)
    method = spreading.decided(method, doubting, None if alone is None else alone.right)
    if method.name == "none":
        choice = here().agreed(choose(task, callback, alone))
        choice = choice._replace(why="; ".join(filter(None, (method.reason, choice.why))))
        return _by_labels(task, choice, paired, callback, checkpointer)
    settled = settled.model_copy(update={"unlabelled": method.name})
    history = fit_unlabelled(head, task.start, x, spreading, settled, callback, checkpointer)
    choice = Choice("all", f"{method.name}, as {method.reason}")
    return FinetuneResult(head.model, history, head_step(stack, settled, paired), choice, _held_out(head))


def _by_labels(
    task: HeadTask, choice: Choice, paired: bool, callback: Callback, checkpointer: Checkpointer
) -> FinetuneResult:
    """Train on the labelled rows alone what was chosen."""
    settled = task.config.model_copy(update={"train": choice.train})
    task, step = task._replace(config=settled), head_step(task.stack, settled, paired)
    head = prepared_on(task)
    rows = _held_out(head)
    if choice.train == "head" and choice.decay is not None:
        history = fit_solved(head, settled, choice.decay, callback, checkpointer)
        return FinetuneResult(head.model, history, step, choice, rows)
    history = fit_head(head, settled, step, callback, checkpointer)
    if choice.decay is not None:
        choice = choice.after(best_of(history))
        if choice.decay is not None:
            head = prepared_on(task)
            solve(head, settled, choice.decay)
    return FinetuneResult(head.model, history, step, choice, rows)


def _held_out(head: Prepared[Any]) -> int:
    return 0 if head.held_out is None else len(head.held_out)


def best_of(history: list[EpochRecord]) -> EpochRecord:
    """Return the last of the records that was the best until then."""
    return [record for record in history if record.best][-1]
