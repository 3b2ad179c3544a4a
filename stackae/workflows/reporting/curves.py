"""Losses by epoch, what each stage reached, and how long it took."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from stackae.pages.charts import Series, lines
from stackae.pages.markup import Markup, table, tag
from stackae.pages.page import Section, code, figure
from stackae.pages.scales import duration, number, percent
from stackae.workflows.reporting.facts import Facts

CORRUPTED = "corrupted_validation_loss"
MOST_POINTS, MOST_ROWS, MOST_CHARTS = 300, 120, 24
TITLES = {"loss": "training", "validation_loss": "validation", CORRUPTED: "validation, noisy rows"}


def title_of(stage: str) -> str:
    """Return the name of a stage as a person reads it."""
    return f"Layer {stage[5:]}" if stage.startswith("layer") and stage[5:].isdigit() else stage.capitalize()


def thinned(records: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Return at most about so many epochs at even distances: the first, the last and the best are among them."""
    if len(records) <= most:
        return list(records)
    kept = {place * (len(records) - 1) // (most - 1) for place in range(most)}
    kept |= {place for place, record in enumerate(records) if record is best_of(records)}
    return [records[place] for place in sorted(kept)]


def best_of(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the record of the best epoch, whose weights were kept."""
    return [record for record in records if record["best"]][-1]


def measure_of(record: dict[str, Any]) -> str:
    """Return the name of the loss that chose the best epoch."""
    found = [name for name in (CORRUPTED, "validation_loss") if record.get(name) is not None]
    return found[0] if found else "loss"


def curves_section(facts: Facts) -> Section | None:
    """Draw the losses of every stage."""
    if not facts.epochs:
        return None
    stages = facts.stages
    shown = [_curves(stage, facts.epochs_of(stage)) for stage in stages[:MOST_CHARTS]]
    noisy = any(record.get(CORRUPTED) is not None for record in facts.epochs)
    lead = "Loss per row by epoch; the dot is the epoch whose weights were kept."
    lead += (
        " Training adds noise to its rows, so that its loss compares with the validation loss on noisy rows."
        if noisy
        else ""
    )
    columns = (
        "stage",
        "epochs",
        "best",
        "loss",
        "validation",
        *(("under noise",) if noisy else ()),
        "validation error",
    )
    rows = []
    for each in facts.summary.stages:
        corrupted = [number(each.corrupted_validation_loss)] if noisy else []
        rows.append(
            (
                title_of(each.stage),
                each.epochs,
                each.kept_epoch,
                number(each.loss),
                number(each.validation_loss),
                *corrupted,
                percent(each.validation_error, 2),
            )
        )
    return Section(
        "curves",
        "Training",
        lead,
        [
            tag("div", shown, class_="cards"),
            tag("div", table(columns, rows, "What each stage reached"), class_="card spaced"),
        ],
    )


def _curves(stage: str, records: list[dict[str, Any]]) -> Markup:
    best, noisy = best_of(records), records[0].get(CORRUPTED) is not None
    points = thinned(records, MOST_POINTS)
    styles = {
        "loss": ("s1", "dashed" if noisy else ""),
        CORRUPTED: ("s3", ""),
        "validation_loss": ("s2", "dotted" if noisy else ""),
    }
    names = [name for name in styles if any(record.get(name) is not None for record in records)]
    chooser = measure_of(best)
    series = []
    for name in names:
        known = [record for record in points if record.get(name) is not None]
        mark = (best["epoch"], best[name]) if name == chooser else None
        series.append(
            Series(_name(name, noisy), [r["epoch"] for r in known], [r[name] for r in known], *styles[name], mark)
        )
    described = f"{len(records)} epochs; epoch {best['epoch']} was kept with " + ", ".join(
        f"{_name(name, noisy)} loss {number(best[name])}" for name in names
    )
    drawn = lines(f"{title_of(stage)}, losses", described, series, "epoch", "loss per row")
    rows = [
        (record["epoch"], *(number(record.get(name)) for name in names), number(record["learning_rate"], 3))
        for record in thinned(records, MOST_ROWS)
    ]
    legend = [(_name(name, noisy), " ".join(filter(None, styles[name]))) for name in names]
    return figure(
        title_of(stage),
        drawn,
        ("epoch", *(_name(name, noisy) for name in names), "rate"),
        rows,
        legend=legend,
        under=_ended(records, best, chooser),
    )


def _name(name: str, noisy: bool) -> str:
    if noisy and name != CORRUPTED:
        return {"loss": "training, noisy rows", "validation_loss": "validation, clean rows"}[name]
    return TITLES[name]


def _ended(records: list[dict[str, Any]], best: dict[str, Any], chooser: str) -> str:
    """Say how the curve ends: solved at once, still falling, or best before its end."""
    if len(records) == 1:
        return f"one epoch: {TITLES[chooser]} loss {number(best[chooser])}"
    told = f"epoch {best['epoch']:,} of {len(records):,} kept, {TITLES[chooser]} loss {number(best[chooser])}"
    earlier = records[max(0, math.floor(0.9 * len(records)) - 1)]
    before, after = earlier.get(chooser), best[chooser]
    falling = best is records[-1] and before and after and before > 0 and (before - after) / before > 0.02
    return f"{told}; still falling at the end: more epochs may help" if falling else told


def timings_section(facts: Facts) -> Section | None:
    """Say what wrote to the run, when, and how long it took; nothing where there is no log."""
    if not facts.commands:
        return None
    rows = []
    for command in facts.commands:
        ended = "done" if command.done else "interrupted, or still at work"
        rows.append((code(command.line), f"{command.begun:%Y-%m-%d %H:%M:%S %z}", duration(command.seconds), ended))
    stages = [
        (
            stage.title,
            f"{stage.epochs:,}",
            duration(stage.seconds),
            f"{1000 * stage.seconds / max(1, stage.epochs):,.0f} ms",
        )
        for command in facts.commands
        for stage in command.stages
    ]
    shown = [table(("command", "begun", "took", "ended"), rows, "Commands", "texts")]
    shown += [table(("stage", "epochs", "took", "per epoch"), stages, "Stages")] if stages else []
    return Section(
        "timings",
        "Timings",
        "From the run's log; on a machine that did other work too, times are upper bounds.",
        tag("div", shown, class_="card"),
    )
