"""Evaluate a run on rows: each of its heads, and the reconstruction error of every layer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from stackae.config.heads import HEADS
from stackae.data import Part
from stackae.data.classes import match_classes
from stackae.data.labels import named
from stackae.data.run_rows import RowsRead
from stackae.errors import DataError, argument, legible
from stackae.metrics import ClassifierReport, accuracy_text, with_interval
from stackae.models.evaluation import ReconstructionReport, evaluate_reconstruction
from stackae.models.heads.classifier import Classifier
from stackae.models.heads.multilabel import MultilabelClassifier
from stackae.models.heads.reconstruction import DeepAutoencoder
from stackae.models.heads.regressor import Regressor
from stackae.models.stack import StackedAutoencoder
from stackae.plots import runs as pictures
from stackae.ranks.turns import dividing
from stackae.runs import Run, open_run
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.inputs import DataRequest, rows_of
from stackae.workflows.outputs import shared_rows
from stackae.workflows.stacks import following

SHOWN = 20


class EvaluateResult(NamedTuple):
    """The metrics, as appended to metrics.jsonl, and the files of the run that were written.

    ``targets`` are the metrics of the regressor and the multilabel head by the name of the head; ``balanced`` says
    whether the last fine-tuning weighted the classes equally.
    """

    metrics: dict[str, Any]
    targets: dict[str, Any]
    files: list[str]
    balanced: bool

    @property
    def run(self) -> Path:
        return Path(self.metrics["run"])

    @property
    def next_command(self) -> str:
        """Return a command that shows what a head has learned, or else one that fits the labels of the rows."""
        return "stackae report" if "accuracy" in self.metrics or self.targets else following(Run(self.run))


def evaluate_run(
    run: Run | Path | str | None = None,
    *,
    part: str | None = None,
    data: DataRequest | str | None = None,
    engine: str = "auto",
    callbacks: Callbacks | None = None,
) -> EvaluateResult:
    """Evaluate a run on rows: its heads if the rows have labels or targets, and the reconstruction by each layer.

    The metrics are appended to metrics.jsonl of the run, and a classifier's confusion matrix is drawn into it.

    Arguments, and errors, are those of ``stackae.workflows.score``.
    """
    callbacks = callbacks or Callbacks()
    opened = open_run(run)
    stack = opened.load_stack(engine)
    read = rows_of(opened, DataRequest.of(data), part, callbacks)
    models = _models(opened, stack, engine, read)
    with shared_rows([read], partial(measured, models)):
        found = measured(models, read)
    metrics: dict[str, Any] = {"run": str(opened.path), "data": read.name, "part": read.part, "rows": len(read.x)}
    metrics |= {"which": read.which, "left_out_rows": read.bad_rows}
    pictures: dict[str, bytes] = {}
    if found.classes is not None:
        figures, pictures = class_metrics(found.classes, read.part)
        metrics |= figures
        if not figures["labelled_rows"]:
            callbacks.note(_strangers(figures))
    metrics |= found.targets
    metrics["reconstruction"] = [_figures_of(layer) for layer in found.layers]
    if found.deep is not None:
        metrics["finetuned_reconstruction"] = _figures_of(found.deep)
    opened.publish({"metrics.jsonl": opened.metrics_with([{"event": "evaluation", **metrics}])} | pictures)
    settings = opened.config.finetune
    balanced = settings is not None and settings.class_weight == "balanced"
    return EvaluateResult(metrics, found.targets, [*pictures, "metrics.jsonl"], balanced)


class Models(NamedTuple):
    """What of a run is measured on rows: its stack, by its loss, and those of its heads that the rows have targets of.

    classifier has the classes and those left out beside it, ``targets`` the names of the outputs by head.
    """

    stack: StackedAutoencoder
    loss: str
    classifier: tuple[Classifier, tuple[str, ...], set[str]] | None
    targets: dict[str, tuple[Regressor | MultilabelClassifier, tuple[str, ...]]]
    deep: DeepAutoencoder | None


class Measures(NamedTuple):
    """What ``measured`` finds: a report per layer, and per head."""

    layers: list[ReconstructionReport]
    classes: ClassesReport | None
    targets: dict[str, Any]
    deep: ReconstructionReport | None


def measured(models: Models, read: RowsRead) -> Measures:
    """Measure the models on rows, which ranks that share the work divide: all find the same."""
    rows = read.xy
    with dividing():
        layers = evaluate_reconstruction(models.stack, rows.x, models.loss)
        classes = None
        if models.classifier is not None:
            model, names, left_out = models.classifier
            classes = report_classes(model, names, rows, read.classes, left_out)
        targets = {head: model.metrics(names, rows) for head, (model, names) in models.targets.items()}
        deep = None if models.deep is None else models.deep.report(rows.x, loss=models.loss)
    return Measures(layers, classes, targets, deep)


def _models(run: Run, stack: StackedAutoencoder, engine: str, read: RowsRead) -> Models:
    y, classifier = read.y, None
    if run.has_head("classifier") and y is not None and y.dim() == 1 and bool((y >= 0).any()):
        model, classes = run.load_head("classifier", engine)
        classifier = model, classes, _left_out(run, classes)
    deep = run.load_head("reconstruction", engine)[0] if run.has_head("reconstruction") else None
    targets = _of_targets(run, engine, y, read.targets)
    return Models(stack, run.pretrain_config.layers[0].loss, classifier, targets, deep)


def _figures_of(report: ReconstructionReport) -> dict[str, Any]:
    """Return the report as JSON, without the cross-entropy where that is not what was trained."""
    return {name: figure for name, figure in report._asdict().items() if figure is not None}


def _strangers(found: dict[str, Any]) -> str:
    """Return a note that no row is of a class that the classifier knows."""
    theirs, own = [each["class"] for each in found["unseen_classes"]], found["classes"]
    listed = (", ".join(map(legible, names[:SHOWN])) for names in (theirs, own))
    return "labels      none of {} is a class of the classifier: {}; name their column by {}".format(
        *listed, argument("target")
    )


def _left_out(run: Run, classes: tuple[str, ...]) -> set[str]:
    """Return the classes that a classifier's training left out: runs of earlier versions have outputs for them."""
    text = (run.config.finetune_data or run.config.data).leave_out
    return set() if text is None else set(named(text, classes))


def _of_targets(
    run: Run, engine: str, y: Tensor | None, targets: tuple[str, ...]
) -> dict[str, tuple[Any, tuple[str, ...]]]:
    """Load the regressor and the multilabel head with the names of their outputs, for rows that have their targets."""
    found = {}
    for head in (name for name, row in HEADS.items() if row.targets == "numbers"):
        if not run.has_head(head) or y is None or y.dim() == 1 or bool(y.isnan().all()):
            continue
        model, names = run.load_head(head, engine)
        if names == targets:
            found[head] = model, names
        elif run.config.finetune is not None and run.config.finetune.head == head:
            wanted, got = (", ".join(map(legible, each[:20])) for each in (names, targets))
            raise DataError(f"targets: expected {wanted}, got {got}; name them by {argument('target')}, in this order")
    return found


def target_figures(run: Run, rows: Part, targets: tuple[str, ...], engine: str = "auto") -> dict[str, Any]:
    """Return the metrics of the regressor and the multilabel head by the name of the head, for rows with ``targets``.

    Raises:
        DataError: the head that was trained last has other targets.
    """
    found = _of_targets(run, engine, rows.y, targets)
    return {head: model.metrics(names, rows) for head, (model, names) in found.items()}


def classifier_figures(run: Run, rows: Part, labels: tuple[str, ...], engine: str = "auto") -> dict[str, Any]:
    """Return the metrics of a run's classifier on rows, {} where it has none or no row has a label; draw nothing."""
    if not run.has_head("classifier") or rows.y is None or rows.y.dim() != 1 or not bool((rows.y >= 0).any()):
        return {}
    model, classes = run.load_head("classifier", engine)
    found = report_classes(model, classes, rows, labels, _left_out(run, classes))
    return class_figures(found.report, found.classes, found.unseen)


class ClassesReport(NamedTuple):
    """The report of a classifier on rows, its classes, and those of the rows that it does not know."""

    report: ClassifierReport
    classes: tuple[str, ...]
    unseen: Sequence[str]


def report_classes(
    model: Classifier,
    classes: tuple[str, ...],
    rows: Part,
    labels: tuple[str, ...],
    left_out: Collection[str] = (),
) -> ClassesReport:
    """Report on a classifier; ``labels`` are the names that the rows' y index, ``left_out`` its classes without
    training rows."""
    matched = match_classes(rows.y, labels, classes, left_out)
    return ClassesReport(model.cpu().report(rows.x, matched.y), classes, matched.unseen)


def class_metrics(found: ClassesReport, part: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the metrics of a classifier on rows, and confusion-PART.png unless there are too many classes."""
    report, classes, unseen = found
    figures = class_figures(report, classes, unseen)
    if report.confusion is None or report.unseen is None:
        return figures, {}
    title = f"{part}: {accuracy_text(report.accuracy, report.rows)}"
    picture = pictures.confusion_matrix(report.confusion, classes, title, report.unseen, unseen)
    return figures, {f"confusion-{part}.png": picture}


def class_figures(report: ClassifierReport, classes: Sequence[str], unseen: Sequence[str]) -> dict[str, Any]:
    """Return the metrics per class as JSON: shares from 0 to 1, null where the denominator is zero."""
    each = list(zip(classes, report.classes, strict=True))
    strangers = [{"class": name, "rows": rows} for name, rows in zip(unseen, report.unseen_rows, strict=True)]
    return {
        **with_interval("accuracy", report.accuracy, report.rows),
        "labelled_rows": report.rows,
        "balanced_accuracy": report.balanced_accuracy,
        "macro_precision": report.macro_precision,
        "never_predicted": [name for name, one in each if one.never_predicted],
        "per_class": [{"class": name, **one._asdict()} for name, one in each],
        "unseen_classes": strangers,
        "classes": list(classes),
        "confusion": None if report.confusion is None else report.confusion.tolist(),
        "unseen_confusion": None if report.unseen is None else report.unseen.tolist(),
    }
