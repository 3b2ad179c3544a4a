"""What the head and the scores do on rows: confusion, targets, labels, and the histogram of anomaly scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from stackae.errors import legible
from stackae.metrics import auroc
from stackae.pages.bars import Bar, bars
from stackae.pages.charts import Points, Reference, histogram, points
from stackae.pages.markup import Markup, joined, table, tag
from stackae.pages.matrix import confusion
from stackae.pages.page import Section, figure
from stackae.pages.scales import number, percent
from stackae.workflows.reporting.facts import Facts, Scores

MOST_DRAWN, MOST_ROWS = 60, 200


def head_section(facts: Facts) -> Section | None:
    """Show the head on its test rows: a confusion matrix, or a bar per target or label."""
    figures = facts.figures
    if figures.get("per_class"):
        return Section("head", "Classifier on test rows", "", tag("div", _classes(figures), class_="cards"))
    if figures.get("targets"):
        return Section(
            "head",
            "Regressor on test rows",
            "",
            tag(
                "div",
                _targets(figures),
                [_predictions(*each) for each in facts.measured.predicted if len(each[1])],
                class_="cards",
            ),
        )
    if figures.get("labels"):
        return Section("head", "Labels on test rows", "", tag("div", _labels(figures), class_="cards"))
    return None


def _classes(figures: Mapping[str, Any]) -> Markup:
    columns = ("class", "rows", "predicted", "recall", "precision")
    each = [one for one in figures["per_class"] if one["rows"] or one["predicted"]][:MOST_ROWS]
    rows = [
        (one["class"], f"{one['rows']:,}", f"{one['predicted']:,}", percent(one["recall"]), percent(one["precision"]))
        for one in each
    ]
    listed = tag("div", table(columns, rows, "Recall and precision by class"), _strangers(figures), class_="card wide")
    counts, names = figures.get("confusion"), [str(name) for name in figures["classes"]]
    if not counts or len(names) > MOST_DRAWN:
        return listed
    right = sum(counts[place][place] for place in range(len(names)))
    told = f"{right:,} of {figures['labelled_rows']:,} rows lie on the diagonal, where they are right"
    drawn = confusion("Confusion matrix", told, counts, names)
    wrong = sorted(
        ((counts[i][j], i, j) for i in range(len(names)) for j in range(len(names)) if i != j and counts[i][j]),
        reverse=True,
    )
    worst = [(names[i], names[j], f"{count:,}") for count, i, j in wrong[:MOST_ROWS]] or [("none", "", "0")]
    chart = figure("Confusion matrix", drawn, ("true", "taken for", "rows"), worst, under=told,
                   legend=[("right", "s3 dot"), ("wrong", "s2 dot")])  # fmt: skip
    return joined(chart, listed)


def _strangers(figures: Mapping[str, Any]) -> Markup | None:
    others = figures.get("unseen_classes") or []
    if not others:
        return None
    names = ", ".join(f"{legible(one['class'])} ({one['rows']:,})" for one in others[:20])
    return tag("p", f"Rows of classes that were not trained, which count in no number here: {names}.", class_="note")


def _targets(figures: Mapping[str, Any]) -> Markup:
    each = figures["targets"][:MOST_ROWS]
    known = [one for one in each if one.get("r2") is not None][:MOST_DRAWN]
    rows = [(one["target"], f"{one['rows']:,}", number(one.get("r2")), number(one.get("rmse"))) for one in each]
    columns = ("target", "rows", "R²", "RMSE, units of the target")
    if not known:
        return tag("div", table(columns, rows), class_="card")
    shown = [Bar(legible(one["target"], 40), max(0.0, one["r2"]), f"R² {number(one['r2'], 3)}") for one in known]
    drawn = bars("Variance explained by target", "; ".join(f"{bar.name}: {bar.label}" for bar in shown), shown)
    return figure("Variance explained by target", drawn, columns, rows, under="1 is perfect, 0 no better than the mean")


def _predictions(name: str, both: np.ndarray) -> Markup:
    """Draw predicted over true values of one target, with the line on which they are equal."""
    told = f"{len(both):,} test rows; on the line a prediction is right"
    ends = float(both.min()), float(both.max())
    cloud = Points("", [(float(x), float(y)) for x, y in both], "s1")
    drawn = points(f"Predictions of {legible(name)}", told, [cloud], "true", "predicted", names=False, equal=ends)
    errors = np.abs(both[:, 1] - both[:, 0])
    rows = [(f"{share} %", number(float(np.quantile(errors, share / 100)))) for share in (25, 50, 75, 90, 100)]
    return figure(
        f"{legible(name, 40)}: predicted over true", drawn, ("of the rows", "are off by at most"), rows, under=told
    )


def _labels(figures: Mapping[str, Any]) -> Markup:
    each = figures["labels"][:MOST_ROWS]
    known = [one for one in each if one.get("auroc") is not None][:MOST_DRAWN]
    rows = [
        (
            one["label"],
            f"{one['rows']:,}",
            percent(one.get("accuracy")),
            number(one.get("auroc")),
            number(one.get("average_precision")),
        )
        for one in each
    ]
    columns = ("label", "rows", "accuracy", "AUROC", "average precision")
    if not known:
        return tag("div", table(columns, rows), class_="card")
    shown = [Bar(legible(one["label"], 40), one["auroc"], number(one["auroc"], 3), 0.5) for one in known]
    drawn = bars("Area under the ROC curve by label", "; ".join(f"{bar.name}: {bar.label}" for bar in shown), shown)
    return figure(
        "Area under the ROC curve by label", drawn, columns, rows, legend=[("the head", "s1"), ("chance", "tick")]
    )


def scores_section(facts: Facts) -> Section | None:
    """Draw the anomaly scores that the run keeps, of normal and anomalous rows where these are known."""
    found = facts.scores
    if found is None or not found.scores:
        return None
    flagged = sum(found.flagged)
    share = percent(flagged / len(found.scores))
    lead = f"{len(found.scores):,} rows were scored, and {flagged:,} ({share}) are flagged as unlike the training rows."
    return Section("scores", "Anomaly scores", lead, tag("div", _histogram(found), class_="cards"))


def _histogram(found: Scores) -> Markup:
    groups = [("rows", found.scores, "s1")]
    told = f"{len(found.scores):,} scores"
    if found.anomalous is not None:
        normal, others = (
            [s for s, mark in zip(found.scores, found.anomalous, strict=True) if mark is kind] for kind in (False, True)
        )
        groups = [("normal", normal, "s1"), ("anomalous", others, "s2")]
        area = auroc(torch.tensor([*normal, *others]), torch.tensor([False] * len(normal) + [True] * len(others)))
        told = f"{len(normal):,} normal rows, {len(others):,} anomalies" + (
            "" if area is None else f"; area under the ROC curve {area:.3f}"
        )
    above = [score for score, mark in zip(found.scores, found.flagged, strict=True) if mark]
    threshold = Reference("first flagged", min(above)) if above else None
    drawn = histogram("Anomaly scores", told, groups, "score", "% of rows", threshold)
    rows = []
    for name, values, _ in groups:
        ordered = sorted(values) or [float("nan")]
        rows.append(
            (
                name,
                f"{len(values):,}",
                *(
                    number(ordered[min(len(ordered) - 1, share * len(ordered) // 100)])
                    for share in (0, 50, 95, 99, 100)
                ),
            )
        )
    columns = ("", "rows", "least", "median", "95 %", "99 %", "most")
    legend = [(name, f"{color} dot") for name, _, color in groups] if len(groups) > 1 else []
    return figure("Scores", drawn, columns, rows, under=told, legend=legend)
