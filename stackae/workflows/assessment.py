"""How heads do on rows: metrics for programs, and pictures."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from stackae.data import Part
from stackae.evaluation import TargetReport, evaluate_classifier, evaluate_multilabel, evaluate_regressor, match_classes
from stackae.metrics import ClassifierReport
from stackae.models.heads.classifier import Classifier
from stackae.models.heads.others import Regressor
from stackae.plots import runs as pictures


def assess_classifier(
    model: Classifier,
    classes: tuple[str, ...],
    rows: Part,
    part: str,
    labels: tuple[str, ...],
    left_out: Collection[str] = (),
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What `evaluate` and `finetune` say of a classifier; and confusion-PART.png, where classes are few enough.

    ``labels`` are the names that the y of the rows index; ``left_out`` are classes of the classifier's that it was not
    trained on.
    """
    matched = match_classes(rows.y, labels, classes, left_out)
    report = evaluate_classifier(model.cpu(), rows.x, matched.y)
    figures = class_figures(report, classes, matched.unseen)
    if report.confusion is None or report.unseen is None:
        return figures, {}
    right = "-" if report.accuracy is None else f"{100 * report.accuracy:.2f} %"
    title = f"{part}: {right} of {report.rows:,} right"
    picture = pictures.confusion_matrix(report.confusion, classes, title, report.unseen, matched.unseen)
    return figures, {f"confusion-{part}.png": picture}


def class_figures(report: ClassifierReport, classes: Sequence[str], unseen: Sequence[str]) -> dict[str, Any]:
    """For programs: shares from 0 to 1, null where there is no row to take them of."""
    each = list(zip(classes, report.classes, strict=True))
    strangers = [{"class": name, "rows": rows} for name, rows in zip(unseen, report.unseen_rows, strict=True)]
    return {
        "accuracy": report.accuracy,
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


def target_figures(model: Any, names: tuple[str, ...], rows: Part) -> dict[str, Any]:
    """What `evaluate` and `finetune` say of a regressor or a multilabel classifier, with the figures of each target."""
    if isinstance(model, Regressor):
        nothing = dict.fromkeys(TargetReport._fields)
        reports = zip(names, evaluate_regressor(model, rows.x, rows.y), strict=True)
        each = [{"target": name} | (report._asdict() if report else nothing | {"rows": 0}) for name, report in reports]
        return {"targets": each}
    report = evaluate_multilabel(model, rows.x, rows.y)
    labels = zip(names, report.labels, strict=True)
    return {
        "labelled_rows": report.rows,
        "subset_accuracy": report.subset_accuracy,
        "labels": [{"label": name} | (one._asdict() if one else {"rows": 0}) for name, one in labels],
    }
