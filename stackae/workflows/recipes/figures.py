"""The figures that recipes compare, computed on a run that a recipe trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stackae.autoencoders.corruption import Corruption
from stackae.autoencoders.dense import Autoencoder
from stackae.config.recipe import CheckConfig
from stackae.data import Dataset, Part
from stackae.data.rows import Rows
from stackae.metrics import ClassifierReport, cluster_accuracy
from stackae.models.evaluation import reconstruction_report
from stackae.models.stack import in_batches
from stackae.objectives.kinds import KINDS
from stackae.runs import Run
from stackae.training.callbacks import EpochRecord
from stackae.training.resampling import dead_units

KMEANS_STARTS, SVM_C = 20, 1.0


class Trained(NamedTuple):
    """A run that a recipe trained, its data, the records of its training so far, and the head that came last."""

    run: Run
    dataset: Dataset
    history: list[EpochRecord]
    head: str | None = None


def measure(check: CheckConfig, trained: Trained) -> float:
    """Compute the figure of a check, in its unit; errors and accuracies are in percent."""
    return _FIGURES[check.figure](check, trained)


def _rows(check: CheckConfig, trained: Trained) -> Part:
    part: Part = getattr(trained.dataset, check.part)
    if not check.rows:
        return part
    return Part(part.x[: check.rows], None if part.y is None else part.y[: check.rows])


def _in_unit(check: CheckConfig, loss: float, width: int) -> float:
    return loss / {"row": 1, "feature": width, "half": 2}[check.unit]


def _loss(check: CheckConfig, trained: Trained) -> float:
    """The reconstruction loss of one layer on the codes below it, clean or corrupted as in training."""
    stack, config = trained.run.load_stack(), trained.run.pretrain_config
    number = check.layer or len(config.layers)
    layer, network = config.layers[number - 1], stack.autoencoders[number - 1]

    def below(x: Rows) -> Rows:
        return x if number == 1 else in_batches(partial(stack.encode, layer=number - 1), x)

    x, whole = below(_rows(check, trained).x), below(trained.dataset.train.x)
    noise = Corruption(layer.corruption.kind, layer.corruption.level, float(whole.min()), float(whole.max()))
    objective = KINDS[layer.kind].objective.of(network, x, layer, noise, seed=config.seed, number=number)
    loss = objective.corrupted_loss(x) if check.corrupted else objective.clean_loss(x)
    return _in_unit(check, loss, network.n_visible)


def _reconstruction(check: CheckConfig, trained: Trained) -> float:
    """The loss of the way to a layer and back, or of the fine-tuned network: the first layer's, or squared error."""
    x, config = _rows(check, trained).x, trained.run.pretrain_config
    if check.layer == 0 and trained.head == "reconstruction":
        model = trained.run.load_head("reconstruction")[0]
        rebuilt, logits = model.reconstruct, model.logits
    else:
        stack, layer = trained.run.load_stack(), check.layer or None
        rebuilt, logits = partial(stack.reconstruct, layer=layer), partial(stack.logits, layer=layer)
    nats = config.layers[0].loss == "bce" and check.figure == "reconstruction"
    report = reconstruction_report(0, 0, rebuilt, x, 1.0, logits if nats else None)
    loss = report.squared_error if report.cross_entropy is None else report.cross_entropy
    return _in_unit(check, loss, config.n_visible)


def _error(check: CheckConfig, trained: Trained) -> float:
    """The share of wrong rows of the classifier, in percent: of validation rows by epoch, or of a part."""
    records = [record for record in trained.history if record.stage == "classifier"]
    if check.part == "validation":
        kept = records[check.epoch - 1] if check.epoch else [record for record in records if record.best][-1]
        return 100 * float(kept.validation_error if kept.validation_error is not None else torch.nan)
    model, rows = trained.run.load_head("classifier")[0], _rows(check, trained)
    report: ClassifierReport = model.report(rows.x, rows.y)
    return torch.nan if report.accuracy is None else 100 * (1 - report.accuracy)


def _codes(check: CheckConfig, trained: Trained, rows: Rows) -> Tensor:
    return in_batches(partial(trained.run.load_stack().encode, layer=check.layer or None), rows)


def _mean_code(check: CheckConfig, trained: Trained) -> float:
    """The mean activation of a layer's code."""
    return float(_codes(check, trained, _rows(check, trained).x).double().mean())


def _dead(check: CheckConfig, trained: Trained) -> float:
    """The share of dead units of a dense layer, in percent, on rows through the layers below."""
    stack, x = trained.run.load_stack(), _rows(check, trained).x
    number = check.layer or len(stack.autoencoders)
    codes = x[:] if number == 1 else in_batches(partial(stack.encode, layer=number - 1), x)
    one = stack.autoencoders[number - 1]
    if not isinstance(one, Autoencoder):
        raise TypeError(f"dead units of {type(one).__name__}")
    return 100 * float(dead_units(one, codes).float().mean())


def _clusters(check: CheckConfig, trained: Trained) -> float:
    """The accuracy of k-means on codes, each cluster being the class that suits all of them best, in percent."""
    from sklearn.cluster import KMeans

    rows, seed = _rows(check, trained), trained.run.pretrain_config.seed
    known = _classes(rows)
    codes = _codes(check, trained, rows.x).double().numpy()
    found = KMeans(len(trained.dataset.classes), n_init=KMEANS_STARTS, random_state=seed).fit_predict(codes)
    return 100 * cluster_accuracy(known, found)


def _svm(check: CheckConfig, trained: Trained) -> float:
    """The error of a linear SVM that learned the codes of the training rows, in percent."""
    from sklearn.svm import LinearSVC

    train, rows, seed = trained.dataset.train, _rows(check, trained), trained.run.pretrain_config.seed
    machine = LinearSVC(C=SVM_C, dual=False, random_state=seed)
    machine.fit(_codes(check, trained, train.x).numpy(), _classes(train))
    wrong = machine.predict(_codes(check, trained, rows.x).numpy()) != _classes(rows)
    return 100 * float(np.mean(wrong))


def _classes(part: Part) -> np.ndarray:
    if part.y is None:
        raise TypeError("classes of rows without labels")
    return part.y.numpy()


def _seconds(check: CheckConfig, trained: Trained) -> float:
    """The seconds of all epochs so far, with their validation."""
    return sum(record.seconds for record in trained.history)


_FIGURES: dict[str, Callable[[CheckConfig, Trained], float]] = {
    "loss": _loss,
    "reconstruction": _reconstruction,
    "squared_error": _reconstruction,
    "error": _error,
    "mean_code": _mean_code,
    "dead": _dead,
    "clusters": _clusters,
    "svm": _svm,
    "seconds": _seconds,
}
