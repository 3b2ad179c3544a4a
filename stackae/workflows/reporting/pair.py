"""The page of several runs side by side: what each reached, their curves in one chart, and the settings that differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stackae.metrics import accuracy_text
from stackae.pages.bars import Bar, bars
from stackae.pages.charts import Series, lines
from stackae.pages.markup import Markup, table, tag
from stackae.pages.page import Section, code, figure, page
from stackae.pages.scales import number, percent
from stackae.runs.differences import PLACES, differences
from stackae.workflows.reporting.curves import MOST_CHARTS, MOST_POINTS, MOST_ROWS, best_of, thinned, title_of
from stackae.workflows.reporting.facts import Facts
from stackae.workflows.reporting.measures import Judged, Measure, difference_of, measures_of
from stackae.workflows.reporting.prose import with_code
from stackae.workflows.reporting.verdicts import WORDS, head_verdict, layers_of, overall

MOST_RUNS = 6
POINT = 0.005  # of a share: less is said to be the same


def pair_page(runs: Sequence[Facts]) -> tuple[bytes, dict[str, Any]]:
    """Make the page of two runs or more, and its numbers as JSON data."""
    judged = []
    for place, facts in enumerate(runs, start=1):
        layers, head = layers_of(facts), head_verdict(facts)
        judged.append(Judged(facts, layers, head, overall(facts, layers, head), f"s{place}"))
    measures = measures_of(judged)
    sections = [_table(judged, measures), _layers(judged), _curves(judged), _settings(judged), _made(judged)]
    title = " and ".join(each.facts.name for each in judged) if len(judged) == 2 else f"{len(judged)} runs"
    content = page(
        title, "Runs side by side", _first(judged, measures), [each for each in sections if each is not None]
    )
    document = {
        "runs": [
            {"run": str(each.facts.run.path), "verdict": each.whole._asdict(), "head": each.head._asdict()}
            for each in judged
        ],
        "measures": {each.name: each.values for each in measures},
        "settings": {each.name: [each.first, each.second] for each in differences(runs[0].config, runs[1].config)},
    }
    return content, document


def _first(judged: Sequence[Judged], measures: Sequence[Measure]) -> Markup:
    """Say which is better, by the first measure that both have, and what each is."""
    told = [
        tag(
            "p",
            tag("span", class_=f"key {each.color}", aria_hidden="true"),
            " ",
            tag("strong", each.facts.name),
            ": ",
            said,
        )
        for each in judged
        for said in [with_code(" ".join(filter(None, (each.whole.sentence, each.head.sentence))))]
    ]
    return tag(
        "section",
        tag("h2", _headline(judged, measures)),
        told,
        class_="verdict",
        id="verdict",
        aria_label="Which is better?",
    )


def _headline(judged: Sequence[Judged], measures: Sequence[Measure]) -> str:
    for measure in measures:
        known = [
            (value, each.facts.name) for value, each in zip(measure.values, judged, strict=True) if value is not None
        ]
        if measure.more and len(known) == len(judged):
            (best, name), (other, _) = sorted(known, key=lambda pair: -pair[0])[:2]
            both = f"{measure.shown(best)} and {measure.shown(other)}"
            if _overlap(judged, measure):
                return f"By {measure.name} the difference is within the intervals: {both}."
            if abs(best - other) < POINT:
                return f"Both reach the same {measure.name}: {both}."
            return f"{name} is better by {measure.name}: {both}."
    return "Nothing was measured of all these runs."


def _overlap(judged: Sequence[Judged], measure: Measure) -> bool:
    """Whether the intervals of the accuracies overlap."""
    if measure.name != "test accuracy":
        return False
    figures = [each.facts.figures for each in judged]
    ends = [(one.get("accuracy_low"), one.get("accuracy_high")) for one in figures]
    known = [(low, high) for low, high in ends if low is not None and high is not None]
    return bool(known) and max(low for low, _ in known) <= min(high for _, high in known)


def _table(judged: Sequence[Judged], measures: Sequence[Measure]) -> Section:
    names = [each.facts.name for each in judged]
    columns = ["", *names, *(["difference"] if len(judged) == 2 else [])]
    rows = []
    for each in measures:
        first, second = each.values[0], each.values[1]
        cells = [each.shown(value) for value in each.values]
        if each.name == "test accuracy":
            cells = [
                accuracy_text(one.get("accuracy"), one.get("labelled_rows"))
                for one in (one.facts.figures for one in judged)
            ]
        gap = None if first is None or second is None else second - first
        if len(judged) == 2:
            cells.append("–" if gap is None else difference_of(gap, each))
        rows.append((each.name, *cells))
    states = ["verdict", *(WORDS[each.whole.state] for each in judged), *([""] if len(judged) == 2 else [])]
    lead = "The difference is that of the second to the first." if len(judged) == 2 else ""
    return Section("metrics", "Metrics", lead, tag("div", table(columns, [states, *rows], "", "texts"), class_="card"))


def _layers(judged: Sequence[Judged]) -> Section | None:
    shown = []
    for number_ in range(1, max(len(each.layers) for each in judged) + 1):
        rows, cells = [], []
        for each in judged:
            share = each.layers[number_ - 1].share if number_ <= len(each.layers) else None
            if share is not None:
                rows.append(
                    Bar(
                        f"{_short(each.facts.name)}, {share.n_hidden:,} units",
                        max(0.0, share.explained),
                        percent(share.explained),
                        share.pca_explained,
                        each.color,
                    )
                )
                cells.append(
                    (
                        each.facts.name,
                        f"{share.n_hidden:,}",
                        percent(share.explained, 2),
                        percent(share.pca_explained, 2),
                    )
                )
        if rows:
            drawn = bars(
                f"Layer {number_}, variance explained", "; ".join(f"{row.name}: {row.label}" for row in rows), rows
            )
            shown.append(
                figure(
                    f"Layer {number_}",
                    drawn,
                    ("run", "units", "explains", "PCA"),
                    cells,
                    legend=[("PCA of equal width", "tick")],
                )
            )
    return (
        Section("layers", "Variance explained", "", tag("div", shown[:MOST_CHARTS], class_="cards")) if shown else None
    )


def _short(name: str) -> str:
    return name if len(name) <= 30 else f"…{name[-29:]}"


def _curves(judged: Sequence[Judged]) -> Section | None:
    stages = list(dict.fromkeys(stage for each in judged for stage in each.facts.stages))
    shown = []
    for stage in stages[:MOST_CHARTS]:
        series, rows = [], []
        for each in judged:
            records = each.facts.epochs_of(stage)
            if not records:
                continue
            best = best_of(records)
            name = "validation_loss" if records[0]["validation_loss"] is not None else "loss"
            points = [record for record in thinned(records, MOST_POINTS) if record.get(name) is not None]
            series.append(
                Series(
                    each.facts.name,
                    [r["epoch"] for r in points],
                    [r[name] for r in points],
                    each.color,
                    "",
                    (best["epoch"], best[name]),
                )
            )
            rows += [
                (each.facts.name, record["epoch"], number(record["loss"]), number(record["validation_loss"]))
                for record in thinned(records, MOST_ROWS)
            ]
        told = "; ".join(
            f"{each.name}: best {number(each.mark[1])} in epoch {each.mark[0]}" for each in series if each.mark
        )
        drawn = lines(f"{title_of(stage)}, validation loss", told, series, "epoch", "loss per row")
        legend = [(each.name, each.color) for each in series]
        shown.append(figure(title_of(stage), drawn, ("run", "epoch", "training", "validation"), rows, legend=legend))
    lead = (
        "Validation loss on clean rows by epoch, training loss without such rows; the dot is the epoch that was kept."
    )
    return Section("curves", "Curves", lead, tag("div", shown, class_="cards")) if shown else None


def _settings(judged: Sequence[Judged]) -> Section:
    first, *others = judged
    found: dict[str, list[str]] = {}
    for place, other in enumerate(others, start=1):
        for each in differences(first.facts.config, other.facts.config):
            if each.name.rpartition(".")[2] not in PLACES[1:]:
                row = found.setdefault(each.name, [each.values[0]] * len(judged))
                row[place] = each.values[1]
    if not found:
        content = tag("p", "The runs have the same settings.")
    else:
        content = table(
            ["setting", *(each.facts.name for each in judged)],
            [(name, *row) for name, row in found.items()],
            "",
            "texts",
        )
    return Section("settings", "Settings that differ", "", tag("div", content, class_="card"))


def _made(judged: Sequence[Judged]) -> Section | None:
    rows = [
        (each.facts.name, code(command.line)) for each in judged for command in each.facts.commands if command.typed
    ]
    if not rows:
        return None
    return Section(
        "reproduce", "How they were made", "", tag("div", table(("run", "command"), rows, "", "texts"), class_="card")
    )
