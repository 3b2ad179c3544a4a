"""Heads that are trained on a run's stack: how each is trained, what of it is kept, how it does on the test part."""

from __future__ import annotations

from typing import Any, NamedTuple

from stackae.config import FinetuneConfig
from stackae.data import Dataset
from stackae.data.fingerprint import fingerprint
from stackae.evaluate import evaluate_reconstruction, evaluate_unrolled
from stackae.finetune import (
    FinetuneResult,
    finetune_classifier,
    finetune_reconstruction,
    of_classes,
    trained_classes,
)
from stackae.finetune_targets import finetune_multilabel, finetune_regressor
from stackae.footprint import check_finetuning
from stackae.runs import Checkpoint, Run, Work
from stackae.runs.kept_data import data_files
from stackae.runs.records import epoch_of
from stackae.runs.run import classifier_file, config_file, head_file, reconstruction_file, targets_file
from stackae.training.callbacks import Callback, EpochRecord
from stackae.training.checkpointing import Checkpointer
from stackae.workflows.assessment import assess_classifier, target_figures
from stackae.workflows.pictures import curves
from stackae.workflows.session import Session


class Tested(NamedTuple):
    """On the test part: figures, which are none where it lacks what they take; and pictures by the name of the file."""

    figures: dict[str, Any]
    pictures: dict[str, bytes]


class FinetunedRun(NamedTuple):
    """A run with a head that was trained on it, the record of every epoch, and how it does on the test part."""

    run: Run
    settings: FinetuneConfig
    result: FinetuneResult[Any]
    tested: Tested

    @property
    def kept(self) -> EpochRecord:
        """The last best epoch, whose weights the model has."""
        return [record for record in self.result.history if record.best][-1]

    @property
    def files(self) -> list[str]:
        """Names of the head's and of the pictures that were drawn."""
        return [head_file(self.settings.head), "curves.png", *self.tested.pictures]


def finetuning_work(run: Run, settings: FinetuneConfig, dataset: Dataset) -> Work:
    config = run.config
    other = None if dataset.config == config.data else dataset.config
    whole = config.model_copy(update={"finetune": settings, "finetune_data": other})
    return Work(command="finetune", runs=("",), settings=(whole,), data=fingerprint(dataset))


def check_memory(run: Run, dataset: Dataset, settings: FinetuneConfig) -> None:
    """Raises ConfigError where the training of the head does not fit into the memory."""
    of_head = {"classifier": len(dataset.classes), "reconstruction": 0}
    outputs = of_head.get(settings.head, len(dataset.targets))
    check_finetuning(settings, run.pretrain_config, len(dataset.train.x), len(dataset.validation.x), outputs)


def train_head(
    run: Run,
    work: Work,
    settings: FinetuneConfig,
    dataset: Dataset,
    session: Session,
    left: Checkpoint | None = None,
) -> FinetunedRun:
    """Train the head, test it, save and draw it."""
    for _ in run.each_metric():  # damaged ones are found before there is anything to add
        pass
    checkpointer = session.checkpointer(run, work, left)
    try:
        with session.callbacks.training(1) as told:
            result, file = _train(run, settings, dataset, told, checkpointer)
    except BaseException:
        checkpointer.abandon()
        raise
    metrics = run.metrics_with(map(epoch_of, result.history), left is None, session.callbacks.note)
    kept = config_file(work.settings[0]) | data_files(dataset, "finetune-")
    run.publish(file | kept | {"metrics.jsonl": metrics})
    tested = _assess(run, settings, result.model.cpu(), dataset)
    run.publish(curves(run) | tested.pictures, checkpointer.number)
    checkpointer.finish()
    return FinetunedRun(run, settings, result, tested)


def _train(
    run: Run, settings: FinetuneConfig, dataset: Dataset, callback: Callback, checkpointer: Checkpointer
) -> tuple[FinetuneResult[Any], dict[str, bytes]]:
    """With the file of the head."""
    stack = run.load_stack(settings.engine)
    train, held_out = dataset.train, dataset.validation
    told: dict[str, Any] = {"callback": callback, "checkpointer": checkpointer}
    if settings.head == "reconstruction":
        loss = run.pretrain_config.layers[0].loss
        deep = finetune_reconstruction(stack, train.x, settings, loss=loss, validation=held_out.x, **told)
        return deep, reconstruction_file(deep.model, stack)
    if settings.head in ("regressor", "multilabel"):
        finetune: Any = finetune_regressor if settings.head == "regressor" else finetune_multilabel
        tuned = finetune(stack, train, settings, validation=held_out, **told)
        return tuned, targets_file(tuned.model, settings.head, dataset.targets)
    classes = trained_classes(train.y, dataset.classes)
    train, held_out = (of_classes(part, dataset.classes, classes) for part in (train, held_out))
    result = finetune_classifier(stack, train, settings, n_classes=len(classes), validation=held_out, **told)
    return result, classifier_file(result.model, classes)


def _assess(run: Run, settings: FinetuneConfig, model: Any, dataset: Dataset) -> Tested:
    """On the test part, where that has what it takes."""
    x, y = dataset.test
    if settings.head == "reconstruction":
        return Tested(_reconstruction(run, settings, model, dataset) if len(x) else {}, {})
    if settings.head in ("regressor", "multilabel"):
        lacks = y is None or bool(y.isnan().all())
        return Tested({} if lacks else target_figures(model, dataset.targets, dataset.test), {})
    if y is None or not bool((y >= 0).any()):
        return Tested({}, {})
    classes = trained_classes(dataset.train.y, dataset.classes)
    figures, pictures = assess_classifier(model, classes, dataset.test, "test", dataset.classes)
    del figures["confusion"]
    return Tested({"test_rows": figures.pop("labelled_rows"), **figures}, pictures)


def _reconstruction(run: Run, settings: FinetuneConfig, model: Any, dataset: Dataset) -> dict[str, Any]:
    """Beside that of the stack as it was pretrained."""
    x = dataset.test.x
    before, after = evaluate_reconstruction(run.load_stack(settings.engine), x)[-1], evaluate_unrolled(model, x)
    return {
        "test_rows": len(x),
        "pretrained_squared_error": before.squared_error,
        "squared_error": after.squared_error,
        "explained": after.explained,
    }
