"""What heads do on rows: figures for programs, tables and pictures for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stackae.classifier import Classifier
    from stackae.data import Part
    from stackae.evaluate import ClassifierReport


def assess_classifier(
    model: Classifier, classes: tuple[str, ...], rows: Part, part: str, labels: tuple[str, ...] | None = None
) -> tuple[ClassifierReport, dict[str, bytes]]:
    """Evaluates the classifier and draws confusion-PART.png. ``labels`` are the names that the y of the rows index."""
    from stackae.evaluate import evaluate_classifier, match_classes
    from stackae.pictures import confusion_matrix

    y = match_classes(rows.y, labels or classes, classes)
    report = evaluate_classifier(model.cpu(), rows.x, y)
    title = f"{part}: {100 * report.accuracy:.2f} % of {report.rows:,} right"
    return report, {f"confusion-{part}.png": confusion_matrix(report.confusion, classes, title)}


def target_figures(model: Any, names: tuple[str, ...], rows: Part) -> dict[str, Any]:
    """What `evaluate` and `finetune` say of a regressor or a multilabel classifier, with the figures of each target."""
    from stackae.evaluate import TargetReport, evaluate_multilabel, evaluate_regressor
    from stackae.heads import Regressor

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


def show_targets(figures: dict[str, Any], part: str) -> None:
    """A table with a row a target."""
    from stackae.errors import legible

    from .console import table

    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.4g}"

    if "targets" in figures:
        rows = [
            [legible(each["target"]), f"{each['rows']:,}", shown(each["rmse"]), shown(each["r2"])]
            for each in figures["targets"]
        ]
        table(f"Regression of {part} rows", ["target", "rows", "RMSE", "R2"], rows)
        return
    names = ("accuracy", "auroc", "average_precision")
    rows = [
        [legible(one["label"]), f"{one['rows']:,}", f"{one.get('positives', 0):,}", *(shown(one.get(n)) for n in names)]
        for one in figures["labels"]
    ]
    title = f"Labels of {figures['labelled_rows']:,} {part} rows, all right in {100 * figures['subset_accuracy']:.2f} %"
    table(title, ["label", "rows", "with it", "accuracy", "AUROC", "average precision"], rows)
