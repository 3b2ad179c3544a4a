"""Fine-tuning: a head on the pretrained encoders, trained alone or together with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from stackae.autoencoders.base import Encoder
from stackae.autoencoders.dense import Dense
from stackae.config import FinetuneConfig
from stackae.data import Part, Rows, in_order
from stackae.data.placement import placed
from stackae.data.rows import subset
from stackae.errors import ConfigError, DataError, argument
from stackae.evaluation import match_classes
from stackae.metrics import balanced_error
from stackae.models.heads.classifier import Classifier, Finetuned
from stackae.models.heads.others import DeepAutoencoder
from stackae.models.stack import ROWS_AT_ONCE, StackedAutoencoder
from stackae.objectives.heads import ClassificationObjective, UnrolledObjective
from stackae.objectives.losses import LOSSES
from stackae.ops.engine import StepChoice, choose_device
from stackae.training.callbacks import Callback, EpochRecord, NoCallback
from stackae.training.checkpointing import Checkpointer, NoCheckpoints
from stackae.training.choice import head_step
from stackae.training.head import HEAD_NUMBER, fit_head
from stackae.training.stage import Validation

ModelT = TypeVar("ModelT", bound=Finetuned)


class FinetuneResult(NamedTuple, Generic[ModelT]):
    """The trained model, the record of every epoch, and the step that trained it."""

    model: ModelT
    history: list[EpochRecord]
    step: StepChoice


def finetune_classifier(
    stack: StackedAutoencoder,
    train: Part,
    config: FinetuneConfig,
    *,
    n_classes: int,
    validation: Part | None = None,
    callback: Callback | None = None,
    checkpointer: Checkpointer | None = None,
) -> FinetuneResult[Classifier]:
    """Trains a classifier that starts from the stack's encoders; the stack itself is left as it is.

    Args:
        stack: gives the layer sizes and, with ``config.init == "pretrained"``, the weights.
        train: the rows to learn from, x (n, n_visible) and y (n,); unlabelled ones (y = -1) are passed over.
        config: ``train="head"`` leaves the encoders alone, ``"all"`` trains every layer, ``"gradual"`` begins with the
            head, and the layers join it from the top, an equal share of the epochs each. ``class_weight="balanced"``
            weighs the loss by ``class_weights``, in training and in validation.
        n_classes: width of the head.
        validation: rows that choose the best epoch: by error (with balanced weights, its mean over the classes), then
            by loss.
        callback: told of every batch and epoch.
        checkpointer: saves where training is, and resumes from there.

    Raises:
        DataError: no labels, or labels of a single class.
        DivergedError: a step would have made a loss or a weight infinite or NaN; it was not taken.
        StoppedError: the checkpointer was asked to end the training.
    """
    device, step = choose_device(config.device), head_step(stack, config)
    x, y = labelled_rows(train, n_classes)
    held_out, held_y = labelled_rows(validation, n_classes, may_lack=True) if validation is not None else (None, y)
    model = Classifier(new_encoders(stack, config), new_head(stack, config, n_classes)).to(device)
    x, weight = placed(x, device), class_weights(y, n_classes) if config.class_weight == "balanced" else None
    history = fit_head(
        model,
        x,
        _placed(held_out, device),
        config,
        step=step,
        objective=lambda one, rows: ClassificationObjective(
            one, rows, y.to(rows.device), weight=weight, max_norm=config.max_norm
        ),
        validate=lambda one, rows: classification_loss(one, rows, held_y, weight),
        callback=callback or NoCallback(),
        checkpointer=checkpointer or NoCheckpoints(),
    )
    return FinetuneResult(model, history, step)


def finetune_reconstruction(
    stack: StackedAutoencoder,
    train: Rows,
    config: FinetuneConfig,
    *,
    loss: str = "mse",
    validation: Rows | None = None,
    callback: Callback | None = None,
    checkpointer: Checkpointer | None = None,
) -> FinetuneResult[DeepAutoencoder]:
    """Unrolls the stack into one deep autoencoder and trains that; the stack itself is left as it is.

    Args:
        stack: gives the layers and, with ``config.init == "pretrained"``, the weights.
        train: (n, n_visible) rows to learn from.
        config: of ``train``, the head are the decoders.
        loss: mse or bce, what the first layer was trained for.
        validation: (n_validation, n_visible) rows that choose the best epoch.
        callback, checkpointer: as ``finetune_classifier`` has them.

    Raises:
        ConfigError: loss bce with an output other than a sigmoid.
        DataError: no rows.
        DivergedError, StoppedError: as ``finetune_classifier``.

    Hinton & Salakhutdinov (2006), Reducing the dimensionality of data with neural networks.
    """
    device, step = choose_device(config.device), head_step(stack, config)
    output = stack.autoencoders[0].output_activation
    if loss == "bce" and output != "sigmoid":
        raise ConfigError(f"loss bce: expected a sigmoid output of layer 1, got {output}; use loss mse")
    if not len(train):
        raise DataError("data: expected at least one training row, got none")
    model = DeepAutoencoder.unrolled(_start(stack, config), config.engine).to(device)
    x, held_out = placed(train, device), _placed(validation, device)
    history = fit_head(
        model,
        x,
        held_out,
        config,
        step=step,
        objective=lambda one, rows: UnrolledObjective(one, rows, x, loss=loss, max_norm=config.max_norm),
        validate=lambda one, rows: reconstruction_loss(one, rows, held_out if held_out is not None else rows, loss),
        callback=callback or NoCallback(),
        checkpointer=checkpointer or NoCheckpoints(),
    )
    return FinetuneResult(model, history, step)


def labelled_rows(data: Part, n_classes: int, may_lack: bool = False) -> tuple[Rows, Tensor]:
    """The rows that have a label, with their labels."""
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


def trained_classes(y: Tensor | None, classes: Sequence[str]) -> tuple[str, ...]:
    """The classes that some training row is of: those that a head is made for. y (n,) indexes ``classes``."""
    if y is None or y.is_floating_point():
        return tuple(classes)
    rows = torch.bincount(y[y >= 0], minlength=len(classes)).tolist()
    return tuple(name for name, count in zip(classes, rows, strict=True) if count)


def of_classes(part: Part, names: Sequence[str], classes: Sequence[str]) -> Part:
    """The part with y that indexes ``classes`` in the place of ``names``; rows of others have no label (-1)."""
    y = match_classes(part.y, names, classes).y
    return part if y is None else part._replace(y=torch.where(y < len(classes), y, -1))


def class_weights(y: Tensor, n_classes: int) -> Tensor:
    """w_c = n / (k n_c), float32 (n_classes,): n rows, n_c of class c, k classes with rows; 1 for a class without.

    Their mean over the rows is 1, and every class has the same share of the sum. King & Zeng (2001), Logistic
    regression in rare events data; scikit-learn's class_weight="balanced".
    """
    counts = y.bincount(minlength=n_classes).double()
    present = counts > 0
    return torch.where(present, len(y) / (present.sum() * counts.clamp(min=1)), 1.0).float()


def new_head(stack: StackedAutoencoder, config: FinetuneConfig, outputs: int) -> Dense:
    """A linear layer on the top code, untrained."""
    return Dense.initialised(
        stack.layer_sizes[-1], outputs, "linear", seed=config.seed, layer=HEAD_NUMBER, engine=config.engine
    )


def new_encoders(stack: StackedAutoencoder, config: FinetuneConfig) -> list[Encoder]:
    """Copies of the stack's, or of untrained ones like them."""
    return [each.encoder_alone(config.engine) for each in _start(stack, config).autoencoders]


def _start(stack: StackedAutoencoder, config: FinetuneConfig) -> StackedAutoencoder:
    if config.init == "pretrained":
        return stack
    return StackedAutoencoder(each.anew(config.seed, number) for number, each in enumerate(stack.autoencoders, start=1))


def _placed(x: Rows | None, device: torch.device) -> Rows | None:
    return placed(x, device) if x is not None and len(x) else None


@torch.no_grad()
def classification_loss(model: Classifier, x: Rows, y: Tensor, weight: Tensor | None = None) -> Validation:
    """Cross-entropy per row and share misclassified; x (n, n_visible), y (n,).

    With ``weight`` (n_classes,) the loss is (1/n) Σ_i w(y_i) ℓ_i, and the error 1 − balanced accuracy.
    """
    loss, wrong = 0.0, torch.empty(len(y), dtype=torch.bool)
    for part in in_order(len(x), ROWS_AT_ONCE):
        logits, labels = model(x[part].to(model.device)), y[part].to(model.device)
        if weight is None:
            loss += F.cross_entropy(logits, labels, reduction="sum").item()
        else:
            loss += float((weight.to(logits)[labels] * F.cross_entropy(logits, labels, reduction="none")).sum())
        wrong[part] = (logits.argmax(dim=1) != labels).cpu()
    error = float(wrong.sum()) / len(x) if weight is None else balanced_error(y.cpu(), wrong)
    return Validation(loss / len(x), error)


@torch.no_grad()
def reconstruction_loss(model: DeepAutoencoder, x: Rows, target: Rows, loss: str) -> Validation:
    """The loss per row of decode(encode(x)); x (n, n_in) are the targets (n, n_visible), or their codes."""
    total = 0.0
    for part in in_order(len(x), ROWS_AT_ONCE):
        code = model.encode(x[part].to(model.device))
        total += LOSSES[loss](model, code, target[part].to(model.device)).item() * len(code)
    return Validation(total / len(x))
