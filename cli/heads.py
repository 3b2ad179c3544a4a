"""Each head of a fine-tuning: how it is trained, what of it is kept, and how it does on the test part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from stackae.config import FinetuneConfig
    from stackae.data import Dataset
    from stackae.finetune import FinetuneResult
    from stackae.runs import Run
    from stackae.training.callbacks import Callback
    from stackae.training.checkpointing import Checkpointer

SHOWN = 20


class Tested(NamedTuple):
    """On the test part: figures for programs, cells of a table by their titles for people, and pictures."""

    figures: dict[str, Any]
    cells: dict[str, str]
    pictures: dict[str, bytes]


def rows_to_learn_from(dataset: Dataset, settings: FinetuneConfig) -> str:
    from stackae.data.labels import named
    from stackae.finetune import trained_classes

    y = dataset.train.y
    if settings.head == "reconstruction":
        return f"{len(dataset.train.x):,} training rows"
    if settings.head in ("regressor", "multilabel"):
        known = 0 if y is None else int((~y.isnan()).any(dim=1).sum())
        return f"{known:,} training rows with targets {_listed(list(dataset.targets))}"
    labelled, classes = 0 if y is None else int((y >= 0).sum()), trained_classes(y, dataset.classes)
    background = set(named(dataset.config.unlabelled or "", dataset.classes)) & set(dataset.classes)
    others = [name for name in dataset.classes if name not in {*classes, *background}]
    told = f"{labelled:,} labelled training rows, {len(classes)} classes"
    if background:
        told += f"; unlabelled are those of class {_listed(sorted(background))}"
    return told + (f"; no training row is of class {_listed(others)}" if others and labelled else "")


def _listed(names: list[str]) -> str:
    from stackae.errors import legible

    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(map(legible, names[:SHOWN])) + more


def train_head(
    run: Run, settings: FinetuneConfig, dataset: Dataset, callback: Callback, checkpointer: Checkpointer
) -> tuple[FinetuneResult[Any], dict[str, bytes]]:
    """Trains it on the run's stack; with its file."""
    from stackae.finetune import finetune_classifier, finetune_reconstruction, of_classes, trained_classes
    from stackae.finetune_targets import finetune_multilabel, finetune_regressor
    from stackae.runs.run import classifier_file, reconstruction_file, targets_file

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


def assess_head(run: Run, settings: FinetuneConfig, model: Any, dataset: Dataset) -> Tested:
    """How it does on the test part, where that has what it takes."""
    if settings.head in ("regressor", "multilabel"):
        return _targets(model.cpu(), dataset)
    test = {"reconstruction": _reconstruction, "classifier": _classifier}[settings.head]
    return test(run, settings, model.cpu(), dataset)


def _classifier(run: Run, settings: FinetuneConfig, model: Any, dataset: Dataset) -> Tested:
    from stackae.finetune import trained_classes
    from stackae.workflows.assessment import assess_classifier

    from .console import percent

    labels = dataset.test.y
    if labels is None or not bool((labels >= 0).any()):
        return Tested({}, {"test accuracy": "-"}, {})
    classes = trained_classes(dataset.train.y, dataset.classes)
    figures, pictures = assess_classifier(model, classes, dataset.test, "test", dataset.classes)
    del figures["confusion"]
    cells = {"test accuracy": percent(figures["accuracy"]), "balanced": percent(figures["balanced_accuracy"])}
    return Tested({"test_rows": figures.pop("labelled_rows"), **figures}, cells, pictures)


def _reconstruction(run: Run, settings: FinetuneConfig, model: Any, dataset: Dataset) -> Tested:
    """Beside that of the stack as it was pretrained."""
    from stackae.evaluate import evaluate_reconstruction, evaluate_unrolled

    x = dataset.test.x
    if not len(x):
        return Tested({}, {"test error, pretrained": "-", "fine-tuned": "-"}, {})
    before, after = evaluate_reconstruction(run.load_stack(settings.engine), x)[-1], evaluate_unrolled(model, x)
    figures = {
        "test_rows": len(x),
        "pretrained_squared_error": before.squared_error,
        "squared_error": after.squared_error,
        "explained": after.explained,
    }
    cells = {"test error, pretrained": f"{before.squared_error:.4g}", "fine-tuned": f"{after.squared_error:.4g}"}
    return Tested(figures, cells, {})


def _targets(model: Any, dataset: Dataset) -> Tested:
    from stackae.workflows.assessment import target_figures

    y = dataset.test.y
    if y is None or bool(y.isnan().all()):
        return Tested({}, {"test": "-"}, {})
    figures = target_figures(model, dataset.targets, dataset.test)
    if "subset_accuracy" in figures:
        return Tested(figures, {"test, all labels right": f"{100 * figures['subset_accuracy']:.2f} %"}, {})
    found = [target["r2"] for target in figures["targets"] if target["r2"] is not None]
    return Tested(figures, {"test R2, mean": f"{sum(found) / len(found):.4f}" if found else "-"}, {})
