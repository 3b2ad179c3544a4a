"""Fine-tuning: a softmax head on the pretrained encoders, trained alone or together with them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stackae.autoencoders.dense import Dense
from stackae.classifier import Classifier
from stackae.config import FinetuneConfig
from stackae.data import Part, Rows, in_order
from stackae.data.placement import placed
from stackae.data.rows import subset
from stackae.engine import choose_device, choose_step
from stackae.errors import DataError
from stackae.stack import ROWS_AT_ONCE, StackedAutoencoder, in_batches
from stackae.training.fused import classification, fused_population, is_dense
from stackae.training.history import EpochRecord, Listener, Silent
from stackae.training.keeping import Forgetful, Keeper
from stackae.training.loop import Stage, fit, settled_epochs
from stackae.training.members import Member, Validation, alone
from stackae.training.optimizers import make_optimizer
from stackae.training.step import ClassificationObjective, EagerStep, OneByOne, PopulationStep

FEWEST_STEPS = 900  # where epochs are auto; measured by benchmarks/pretraining.py
HEAD_NUMBER = 1000  # keeps the head's random streams apart from every layer's


class FinetuneResult(NamedTuple):
    """The trained classifier and the record of every epoch."""

    model: Classifier
    history: list[EpochRecord]


def finetune_classifier(
    stack: StackedAutoencoder,
    train: Part,
    config: FinetuneConfig,
    *,
    n_classes: int,
    validation: Part | None = None,
    listener: Listener | None = None,
    keeper: Keeper | None = None,
) -> FinetuneResult:
    """Trains a classifier that starts from the stack's encoders; the stack itself is left as it is.

    Args:
        stack: gives the layer sizes and, with ``config.init == "pretrained"``, the weights.
        train: the rows to learn from, x (n, n_visible) and y (n,); unlabelled ones (y = -1) are passed over.
        config: ``train="head"`` leaves the encoders alone, ``"all"`` trains every layer.
        n_classes: width of the head.
        validation: rows that choose the best epoch (by error, then by loss).
        listener: told of every batch and epoch.
        keeper: keeps where training is, and goes on from there.

    Raises:
        DataError: no labels, or labels of a single class.
        DivergedError: a step would have made a loss or a weight infinite or NaN; it was not taken.
        StoppedError: the keeper was asked to end the training.
    """
    device = choose_device(config.device)
    x, y = labelled_rows(train, n_classes)
    held_out = labelled_rows(validation, n_classes, may_lack=True) if validation is not None else None
    model = _starting_point(stack, config, n_classes).to(device)
    x = placed(x, device)
    held_out = (placed(held_out[0], device), held_out[1]) if held_out is not None and len(held_out[0]) else None

    trained = model
    if config.train == "head":  # the encoders stand still: their codes are computed once
        trained = Classifier([], model.head)
        x = in_batches(model.encode, x, device)
        held_out = (in_batches(model.encode, held_out[0], device), held_out[1]) if held_out is not None else None
    objective = ClassificationObjective(trained, x, y.to(x.device))
    step: PopulationStep
    if is_dense(trained) and choose_step(config.engine, device, config.precision).fused:
        step = fused_population([classification(objective, config, config.weight_decay)], config.precision)
    else:
        optimizer = make_optimizer(trained, config, config.learning_rate, config.weight_decay)
        step = OneByOne([EagerStep(objective, optimizer)])

    def validate() -> Validation | None:
        return classification_loss(trained, *held_out) if held_out is not None else None

    stage = Stage(
        name="classifier",
        title=f"classifier {'-'.join(map(str, model.layer_sizes))}",
        number=HEAD_NUMBER,
        rows=len(x),
        members=[Member(trained, x, config.seed, config.learning_rate, validate)],
        step=step,
        max_epochs=settled_epochs(config.max_epochs, len(x), config.batch_size, FEWEST_STEPS),
        batch_size=config.batch_size,
        patience=config.patience,
        schedule=config.schedule,
    )
    return FinetuneResult(model, alone(fit(stage, listener or Silent(), keeper or Forgetful())))


def labelled_rows(data: Part, n_classes: int, may_lack: bool = False) -> tuple[Rows, Tensor]:
    """The rows that have a label, with their labels."""
    labels = data.y if data.y is not None else torch.full((len(data.x),), -1)
    known = labels >= 0
    x, y = (data.x, labels) if bool(known.all()) else (subset(data.x, known), labels[known])
    if may_lack:
        return x, y
    if len(y) == 0:
        raise DataError(
            "labels: expected labels to train a classifier, got none; "
            "use data that has them (npz with y, or csv with --target COLUMN)"
        )
    if n_classes < 2 or bool((y == y[0]).all()):
        raise DataError(f"labels: expected at least two classes, got one alone among {len(y)} labelled training rows")
    return x, y


def _starting_point(stack: StackedAutoencoder, config: FinetuneConfig, n_classes: int) -> Classifier:
    encoders = []
    for number, autoencoder in enumerate(stack.autoencoders, start=1):
        source = autoencoder if config.init == "pretrained" else autoencoder.anew(config.seed, number)
        encoders.append(source.encoder_alone(config.engine))
    head = Dense.initialised(
        stack.layer_sizes[-1], n_classes, "linear", seed=config.seed, layer=HEAD_NUMBER, engine=config.engine
    )
    return Classifier(encoders, head)


@torch.no_grad()
def classification_loss(model: Classifier, x: Rows, y: Tensor) -> Validation:
    """Cross-entropy per row and share misclassified; x (n, n_visible), y (n,)."""
    loss = wrong = 0.0
    for part in in_order(len(x), ROWS_AT_ONCE):
        logits, labels = model(x[part].to(model.device)), y[part].to(model.device)
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        wrong += float((logits.argmax(dim=1) != labels).sum())
    return Validation(loss / len(x), wrong / len(x))
