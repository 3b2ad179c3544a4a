"""Tables of the metrics of heads."""

from __future__ import annotations

from typing import Any

from stackae.errors import legible

from ..console import percent, say, table

SHOWN, FEW = 20, 5
SHARES = ("recall", "precision")


def show_classes(figures: dict[str, Any], part: str, balanced: bool) -> None:
    """Print one row per class, the worst where there are many, and a note on classes that are never predicted.

    The note gives a remedy if training was not ``balanced``.
    """
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
    """Print the classes that the classifier was not trained on, and which classes their rows were predicted as."""
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


def show_targets(figures: dict[str, Any], part: str) -> None:
    """Print one row per target."""
    from stackae.metrics import accuracy_text

    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.4g}"

    if "targets" in figures:
        rows = [
            [legible(each["target"]), f"{each['rows']:,}", shown(each["rmse"]), shown(each["r2"])]
            for each in figures["targets"]
        ]
        table(f"Regression of {part} rows", ["target", "rows", "RMSE", "R2"], rows)
        return
    rows = [
        [
            legible(one["label"]),
            f"{one.get('positives', 0):,}",
            accuracy_text(one.get("accuracy"), one["rows"]),
            *(shown(one.get(name)) for name in ("auroc", "average_precision")),
        ]
        for one in figures["labels"]
    ]
    right = accuracy_text(figures["subset_accuracy"], figures["labelled_rows"])
    title = f"Labels of {part} rows: all are right in {right}"
    table(title, ["label", "rows with it", "accuracy", "AUROC", "average precision"], rows)
