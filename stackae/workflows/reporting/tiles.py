"""The first screen: whether it worked, in sentences, tiles of numbers, and a card per layer."""

from __future__ import annotations

from stackae.config.heads import HEADS
from stackae.metrics import wilson
from stackae.pages.bars import Bar, Estimate, bars, estimates
from stackae.pages.markup import Markup, joined, tag
from stackae.pages.page import Section, facts, figure
from stackae.pages.scales import duration, number, percent
from stackae.workflows.reporting.facts import Facts
from stackae.workflows.reporting.prose import with_code
from stackae.workflows.reporting.verdicts import BAD, WORDS, LayerFound, Verdict, comparing, majority_of

MOST_CARDS = 24


def first_screen(found: Facts, layers: list[LayerFound], head: Verdict, whole: Verdict) -> Markup:
    """Answer whether it worked."""
    told = [sentence for sentence in (_of_layers(found, layers), head.sentence) if sentence]
    notes = [whole.remedy, *_remedies(layers), head.remedy] if found.finished else [whole.remedy]
    comparison = (found.comparison or {}).get("verdicts", [])
    against = [f"`stackae compare` on these data found: {comparison[-1]}."] if comparison else []
    return tag(
        "section",
        tag("h2", whole.sentence),
        (tag("p", with_code(each)) for each in [*told, *against, *filter(None, notes)]),
        tag("dl", (_tile(*each) for each in _tiles(found, layers)), class_="tiles"),
        class_=f"verdict {whole.state}",
        id="verdict",
        aria_label="Did it work?",
    )


def _remedies(layers: list[LayerFound]) -> list[str]:
    """Say what to do about the lowest layer that is bad: those above read its codes."""
    bad = [each for each in layers if each.verdict.state == BAD and each.verdict.remedy]
    return [f"Layer {bad[0].number}: {bad[0].verdict.remedy}"] if bad else []


def _of_layers(found: Facts, layers: list[LayerFound]) -> str:
    known = [each for each in layers if each.share is not None]
    if not known or found.explained is None:
        return ""
    top = known[-1].share
    assert top is not None
    part = {"validation": "validation rows", "train": "training rows"}[found.explained.measured_on]
    beside = (
        ""
        if top.pca_explained is None
        else f"; {top.n_hidden:,} principal components explain {percent(top.pca_explained)}"
    )
    return (
        f"The stack explains {percent(top.explained)} of the variance of {found.explained.rows:,} {part} through the "
        f"{top.n_hidden:,} unit{'s' * (top.n_hidden > 1)} of its top layer{beside}."
    )


def _tiles(found: Facts, layers: list[LayerFound]) -> list[tuple[str, str, str]]:
    tiles = _head_tile(found)
    known = [each.share for each in layers if each.share is not None]
    if known:
        top = known[-1]
        beside = "" if top.pca_explained is None else f"PCA of {top.n_hidden:,}: {percent(top.pca_explained)}"
        tiles.append(("Variance explained, top layer", percent(top.explained), beside))
    dead = [each for each in layers if each.dead is not None]
    if dead:
        count = sum(round((each.dead or 0) * each.config.n_hidden) for each in dead)
        tiles.append(("Units that hardly vary", f"{count:,}", f"of {sum(each.config.n_hidden for each in dead):,}"))
    if layers and (units := layers[-1].units):
        tiles.append(("Effective rank, top code", number(units.effective_rank, 3), f"of {units.n_hidden:,} directions"))
    if rows := found.measured.rows:
        tiles.append(("Rows", f"{sum(rows):,}", f"{rows[0]:,} training, {rows[1]:,} validation, {rows[2]:,} test"))
    seconds = sum(stage.seconds for command in found.commands for stage in command.stages)
    if seconds:
        tiles.append(("Training time", duration(seconds), "of all epochs that the log names"))
    return tiles


def _head_tile(found: Facts) -> list[tuple[str, str, str]]:
    figures = found.figures
    if figures.get("accuracy") is not None:
        interval = wilson(figures["accuracy"], figures["labelled_rows"])
        low, high = interval if interval else (0.0, 0.0)
        told = f"{100 * low:.1f} to {percent(high)}, {figures['labelled_rows']:,} rows"
        return [("Test accuracy", percent(figures["accuracy"]), told)]
    if known := [each for each in figures.get("targets", []) if each.get("r2") is not None]:
        mean = sum(each["r2"] for each in known) / len(known)
        return [
            (
                "Test R²" + (", mean" if len(known) > 1 else ""),
                f"{mean:.3f}".replace("-", "−"),
                f"{known[0]['rows']:,} rows",
            )
        ]
    if "subset_accuracy" in figures:
        return [("All labels right", percent(figures["subset_accuracy"]), f"{figures['labelled_rows']:,} test rows")]
    return []


def _tile(name: str, value: str, under: str) -> Markup:
    return tag("div", tag("dt", name), tag("dd", value, tag("small", under) if under else None), class_="tile")


def layers_section(found: Facts, layers: list[LayerFound]) -> Section:
    """Show each layer beside PCA, with its verdict and what to do."""
    cards = [_card(found, each) for each in layers[:MOST_CARDS]]
    more = len(layers) - MOST_CARDS
    left = [tag("p", f"{more:,} more layers are in the table of the curves.", class_="note")] if more > 0 else []
    lead = "What comes back through each layer, beside as many principal components of the training rows."
    return Section("layers", "Layers", lead, [tag("div", _beside_pca(layers), cards, class_="cards"), *left])


def _beside_pca(layers: list[LayerFound]) -> Markup | None:
    known = [(each, each.share) for each in layers if each.share is not None]
    if not known:
        return None
    rows = [
        Bar(
            f"layer {each.number}, {share.n_hidden:,} units",
            max(0.0, share.explained),
            percent(share.explained),
            share.pca_explained,
        )
        for each, share in known
    ]
    table = [
        (f"layer {each.number}", f"{share.n_hidden:,}", percent(share.explained, 2), percent(share.pca_explained, 2))
        for each, share in known
    ]
    pca = [("PCA of equal width", "tick")] if any(share.pca_explained is not None for _, share in known) else []
    drawn = bars("Variance explained by layer", "; ".join(f"{row.name}: {row.label}" for row in rows), rows)
    columns = ("layer", "units", "explains", "PCA")
    return figure("Variance explained", drawn, columns, table, legend=[("the layer", "s1"), *pca])


def _card(found: Facts, each: LayerFound) -> Markup:
    pairs: list[tuple[str, str]] = [("what", _what(each))]
    if each.dead is not None:
        pairs.append(("hardly vary", f"{round(each.dead * each.config.n_hidden):,} of {each.config.n_hidden:,}"))
    if each.units is not None:
        pairs.append(("effective rank", f"{number(each.units.effective_rank, 3)} of {each.config.n_hidden:,}"))
    best = [record for record in found.epochs_of(f"layer{each.number}") if record["best"]]
    if best:
        noisy = best[-1].get("corrupted_validation_loss")
        clean = "" if best[-1]["validation_loss"] is None else f", validation {number(best[-1]['validation_loss'])}"
        pairs.append(
            (
                "loss",
                f"training {number(best[-1]['loss'])}{clean}"
                + (f", under noise {number(noisy)}" if noisy is not None else ""),
            )
        )
        pairs.append(("best epoch", f"{best[-1]['epoch']:,} of {len(found.epochs_of(f'layer{each.number}')):,} kept"))
    return tag(
        "div",
        tag("div", tag("h3", f"Layer {each.number}: {each.n_visible:,} → {each.config.n_hidden:,}"),
            tag("span", WORDS[each.verdict.state], class_=f"pill {each.verdict.state}"), class_="head"),
        tag("p", with_code(each.verdict.sentence)),
        facts(pairs),
        tag("p", with_code(each.verdict.remedy), class_="do") if each.verdict.remedy else None,
        class_="card",
    )  # fmt: skip


def _what(each: LayerFound) -> str:
    layer = each.config
    words = [layer.kind, f"{layer.activation} / {layer.output_activation}"]
    given = layer.model_dump(mode="json")
    words += [f"{name} {given[name]}" for name in ("corruption", "sparsity") if str(given[name]) != "none"]
    words += [f"contraction {layer.contraction:g}"] if layer.contracts and isinstance(layer.contraction, float) else []
    return ", ".join(words)


def worth_section(found: Facts) -> Section | None:
    """Show whether the labels were worth it: the head beside the most frequent class, and what a comparison found."""
    figures, document = found.figures, found.comparison
    rows: list[Estimate] = []
    if figures.get("accuracy") is not None and (interval := wilson(figures["accuracy"], figures["labelled_rows"])):
        rows.append(Estimate("this run", figures["accuracy"], *interval, percent(figures["accuracy"]), "s1"))
        name, share = majority_of(figures)
        rows.append(Estimate(f"always {name}", share, share, share, percent(share), "base"))
    classes = document is not None and document["measure"] == "error"
    if document is not None and (classes or not rows):
        rows += _contenders(document)
    head = found.head
    if len(rows) < 2 or (head is not None and HEADS[head].targets is None):
        return None
    low = min(each.low for each in rows)
    drawn = estimates(
        "Test accuracy and its 95 % interval"
        if classes or figures.get("accuracy") is not None
        else "Share of the variance explained",
        "; ".join(f"{each.name}: {each.label}" for each in rows),
        rows,
        max(0.0, low - 0.05) if low >= 0 else low - 0.05,
        1.0,
    )
    table = [(each.name, each.label, percent(each.low), percent(each.high)) for each in rows]
    said = [tag("p", f"{each}.") for each in (document or {}).get("verdicts", [])]
    extra = (
        [tag("div", tag("h3", "What `stackae compare` found".replace("`", "")), said, class_="card")] if said else []
    )
    if not said and found.finished:
        told = f"`{comparing(found)}` measures the same labels with random weights and with models of scikit-learn."
        extra = [tag("p", with_code(told), class_="note")]
    under = f"of {figures['labelled_rows']:,} test rows" if figures.get("labelled_rows") else ""
    chart = figure("On test rows", drawn, ("", "value", "low", "high"), table, under=under)
    return Section(
        "worth",
        "Was the label worth it?",
        "",
        joined(tag("div", chart, extra if said else None, class_="cards"), None if said else extra),
    )


def _contenders(document: dict[str, object]) -> list[Estimate]:
    """Return what contenders of a comparison reached with all labels, best first."""
    rows = document["contenders"]
    assert isinstance(rows, list)
    most = max(row["labels"] for row in rows)
    found, tested = [], document["test_rows"]
    assert isinstance(tested, int)
    for row in sorted((row for row in rows if row["labels"] == most), key=lambda row: float(row["error"])):
        value = 1 - float(row["error"])
        interval = wilson(min(1.0, max(0.0, value)), tested) if document["measure"] == "error" else None
        low, high = interval if interval else (value, value)
        found.append(
            Estimate(
                f"compare: {row['contender']}",
                value,
                low,
                high,
                percent(value),
                "s2" if row["contender"] == "pretrained" else "s3",
            )
        )
    return found
