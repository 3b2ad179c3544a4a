"""What heads do on rows: figures for programs, tables and pictures for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from stackae.classifier import Classifier
    from stackae.confusion import ClassifierReport
    from stackae.data import Part

SHOWN, FEW = 20, 5
SHARES = ("recall", "precision")


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
    from stackae.evaluate import evaluate_classifier, match_classes
    from stackae.pictures import confusion_matrix

    matched = match_classes(rows.y, labels, classes, left_out)
    report = evaluate_classifier(model.cpu(), rows.x, matched.y)
    figures = class_figures(report, classes, matched.unseen)
    if report.confusion is None or report.unseen is None:
        return figures, {}
    title = f"{part}: {percent(report.accuracy)} of {report.rows:,} right"
    picture = confusion_matrix(report.confusion, classes, title, report.unseen, matched.unseen)
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


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def show_classes(figures: dict[str, Any], part: str, balanced: bool) -> None:
    """A table with a row per class, the worst where there are many; and a sentence on what is not predicted, with a
    remedy where training was not ``balanced``."""
    from stackae.errors import legible

    from .console import say, table

    each = [one for one in figures["per_class"] if one["rows"] or one["predicted"]]
    shown, title = each, f"Classes of {part} rows"
    if len(each) > SHOWN:
        shown = sorted(each, key=lambda one: (one["recall"] is None, one["recall"]))[:SHOWN]
        title += f": the {SHOWN} of {len(each):,} with the lowest recall"
    lines = [
        [legible(one["class"]), f"{one['rows']:,}", f"{one['predicted']:,}", *(percent(one[n]) for n in SHARES)]
        for one in shown
    ]
    table(title, ["class", "rows", "predicted", *SHARES], lines)
    never = [one for one in each if one["rows"] and not one["predicted"]]
    for one in never[:SHOWN]:
        say(
            f"note        class '{legible(one['class'])}' is never predicted: none of its {one['rows']:,} rows is found"
        )
    if never and not balanced:
        say("            `stackae finetune --class-weight balanced` trains every class with the same weight")
    _show_unseen(figures, part)


def _show_unseen(figures: dict[str, Any], part: str) -> None:
    """Classes that the classifier was not trained on, and where their rows went."""
    from stackae.errors import legible

    from .console import table

    strangers = figures["unseen_classes"]
    if not strangers:
        return
    lines = []
    for index, one in enumerate(strangers[:SHOWN]):
        went = "-"
        if figures.get("unseen_confusion"):
            counts = zip(figures["unseen_confusion"][index], figures["classes"], strict=True)
            found = sorted(((count, name) for count, name in counts if count), key=lambda pair: -pair[0])
            went = ", ".join(f"{legible(name)} ({count:,})" for count, name in found[:FEW])
            went += f", {len(found) - FEW:,} more" if len(found) > FEW else ""
        lines.append([legible(one["class"]), f"{one['rows']:,}", went])
    more = f", the first {SHOWN} of {len(strangers):,}" if len(strangers) > SHOWN else ""
    title = f"Classes that were not trained, which count in no figure{more}"
    table(title, ["class", f"{part} rows", "predicted as"], lines)


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
