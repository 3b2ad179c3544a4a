"""What the stack looks like: its filters, rows beside their reconstructions, units, and codes in a plane."""

from __future__ import annotations

import numpy as np

from stackae.errors import legible
from stackae.pages.charts import Points, Reference, Series, drawing, histogram, lines, points
from stackae.pages.markup import Markup, joined, tag
from stackae.pages.matrix import heat
from stackae.pages.page import Section, figure
from stackae.pages.pictures import embedded, fitting, signed_map, signed_sheet, strip
from stackae.pages.scales import number
from stackae.plots.parts import drawable
from stackae.workflows.reporting.facts import Facts
from stackae.workflows.reporting.measured import Filters
from stackae.workflows.reporting.verdicts import LayerFound

MOST_FEATURES, MOST_UNITS, MOST_CLASSES, CURVES, SIDE = 12, 30, 10, 6, 54.0
WIDEST_MAP, MOST_HEATED = 1 << 11, 24


def units_section(layers: list[LayerFound]) -> Section | None:
    """Draw how active the units of each layer are, against the target where its sparsity has one."""
    shown = [_activity(each) for each in layers if each.units is not None and each.config.sparsity.kind != "none"]
    if not shown:
        return None
    lead = (
        "How active each unit is over the rows measured: a sparse code has most units near its target, and none at 0."
    )
    return Section("units", "Sparsity", lead, tag("div", shown, class_="cards"))


def _activity(each: LayerFound) -> Markup:
    units, sparsity = each.units, each.config.sparsity
    assert units is not None
    by_mean = sparsity.kind in ("kl", "l1")
    values = (units.mean if by_mean else units.active).tolist()
    target = {"kl": sparsity.target, "lifetime": sparsity.target}.get(sparsity.kind)
    if sparsity.kind in ("top-k", "batch-top-k"):
        target = min(1.0, sparsity.count / units.n_hidden)
    what = "mean activation ρ̂ of a unit" if by_mean else "share of rows in which a unit is active"
    mean = sum(values) / len(values)
    told = f"{units.n_hidden:,} units on {units.rows:,} rows: mean {number(mean, 3)}" + (
        f", target {number(target, 3)}" if target is not None else ""
    )
    reference = None if target is None else Reference("target", target)
    title, groups = f"Layer {each.number}, activity of its units", [("units", values, "s1")]
    drawn = histogram(title, told, groups, what, "% of units", reference)
    ordered = sorted(values)
    rows = [
        (f"{share} %", number(ordered[min(len(ordered) - 1, share * len(ordered) // 100)]))
        for share in (0, 5, 25, 50, 75, 95, 100)
    ]
    return figure(
        f"Layer {each.number}: {sparsity.model_dump()}", drawn, ("of the units are at most", what), rows, under=told
    )


def learned_section(facts: Facts) -> Section | None:
    """Show filters, reconstructions and codes."""
    shown = [each for each in (_filters(facts), _plane(facts), _examples(facts)) if each is not None]
    if not shown:
        return None
    lead = "What the units of the first layer respond to"
    if facts.measured.plane is not None:
        lead += "; where rows lie by their codes: those that are alike for the stack lie near each other"
    if facts.measured.examples:
        lead += "; and rows as they are and as they come back"
    return Section("learned", "What was learned", f"{lead}.", tag("div", shown, class_="cards"))


def _filters(facts: Facts) -> Markup | None:
    """Draw the weights of the first layer: as pictures of images, else as a map with the strongest features named."""
    filters = facts.measured.filters
    if filters is None:
        return None
    dataset = facts.measured.dataset
    names = dataset.column_names if dataset is not None else ()
    shape = drawable(filters.shape or (dataset.image_shape if dataset is not None else None))
    if shape is not None and np.prod(shape) == filters.weights.shape[1]:
        count = fitting(len(filters.weights), shape)
        told = f"{count:,} of {filters.units:,} units, each scaled to its own range; red is positive, blue negative"
        sheet = signed_sheet(filters.weights[:count], shape)
        return _picture(sheet, "Filters of layer 1", told, filters, names)
    if max(filters.weights.shape) <= MOST_HEATED:
        drawn = heat(
            "Weights of layer 1",
            "features down, units across",
            filters.weights.T.tolist(),
            [_feature(place, names)[:16] for place in range(filters.weights.shape[1])],
        )
        return figure(
            "Weights of layer 1",
            drawn,
            *_strongest(filters, names),
            under="features down, units across; red is positive, blue negative",
        )
    if filters.weights.size and filters.weights.shape[1] <= WIDEST_MAP:
        told = f"units down, {filters.weights.shape[1]:,} features across, on one scale; red is positive, blue negative"
        return _picture(signed_map(filters.weights[:WIDEST_MAP]), "Weights of layer 1", told, filters, names)
    return None


def _picture(content: bytes, title: str, told: str, filters: Filters, names: tuple[str, ...]) -> Markup:
    shown = tag("img", src=embedded(content), alt=f"{title}: {told}", class_="pixels")
    return figure(title, shown, *_strongest(filters, names), under=told)


def _strongest(filters: Filters, names: tuple[str, ...]) -> tuple[tuple[str, ...], list[tuple[str, str, str]]]:
    """Return columns and rows of a table: the features that weigh most in each unit."""
    rows = []
    for unit, weights in enumerate(filters.weights[:MOST_UNITS]):
        strongest = np.argsort(-np.abs(weights), kind="stable")[:3]
        told_of = ", ".join(f"{_feature(int(place), names)} {weights[place]:+.2f}" for place in strongest)
        rows.append((str(unit), number(float(np.linalg.norm(weights)), 3), told_of))
    return ("unit", "norm", "strongest weights"), rows


def _feature(place: int, names: tuple[str, ...]) -> str:
    return legible(names[place], 30) if place < len(names) else f"x{place}"


def _examples(facts: Facts) -> Markup | None:
    """Draw rows over what each layer makes of them: images as images, others as curves over each other."""
    named, dataset = facts.measured.examples, facts.measured.dataset
    if not named or dataset is None or not len(named[0][1]):
        return None
    shape = drawable(dataset.image_shape)
    return _strips(named, shape) if shape is not None else _overlays(facts)


def _strips(named: tuple[tuple[str, np.ndarray], ...], shape: tuple[int, ...]) -> Markup:
    """Draw images in lines, the originals first."""
    original = np.nan_to_num(named[0][1])
    low, high, count = float(original.min()), float(original.max()), len(original)
    width = (360 - SIDE - 2) / (count + (count - 1) / shape[1])
    height = width * shape[0] / shape[1]
    drawn = []
    for place, (name, values) in enumerate(named):
        top = place * (height + 4)
        picture = embedded(strip(np.nan_to_num(values), shape, low, high))
        drawn.append(tag("text", _line_name(name), x=0, y=f"{top + height / 2 + 4:.1f}", class_="line-name"))
        box: dict[str, object] = {
            "x": SIDE,
            "y": f"{top:.1f}",
            "width": f"{360 - SIDE - 2:.1f}",
            "height": f"{height:.1f}",
        }
        drawn.append(tag("image", href=picture, **box, preserveAspectRatio="none"))
    rows = [(name, number(float(np.square(values - original).sum(axis=1).mean()))) for name, values in named[1:]]
    under = f"{count} rows" + (
        f"; below, under {named[-2][0]} noise and restored from it" if named[-1][0] == "restored" else ""
    )
    told = f"{count} images: {', '.join(name for name, _ in named)}"
    whole = drawing("Originals and reconstructions", told, *drawn, height=len(named) * (height + 4))
    return figure(
        "Originals and reconstructions", whole, ("line", "squared error per row, units of the data"), rows, under=under
    )


def _line_name(name: str) -> str:
    return name if len(name) <= 11 else name[:10] + "…"


def _overlays(facts: Facts) -> Markup:
    """Draw each of some rows as a curve over its features, with the reconstruction by the top layer over it.

    Columns of a table have units of their own: they are drawn in standard deviations of the rows trained on.
    """
    named, dataset = dict(facts.measured.examples), facts.measured.dataset
    assert dataset is not None
    top = [name for name in named if name.startswith("layer ")][-1]
    shift, scale, unit = np.zeros(1), np.ones(1), "value"
    if dataset.config.window is None:
        known = dataset.scaling.inverse_transform(dataset.train.x[: 1 << 12]).double().numpy()
        spread = np.nanstd(known, axis=0)
        shift, scale, unit = np.nanmean(known, axis=0), np.where(spread > 0, spread, 1.0), "standard deviations"
    lines_of = {name: (values - shift) / scale for name, values in named.items()}
    styles = {"original": ("base", "thick"), top: ("s1", "")}
    styles |= {"restored": ("s3", "dashed")} if "restored" in named else {}
    shown = []
    for place in range(min(CURVES, len(named["original"]))):
        x = list(range(lines_of["original"].shape[1]))
        series = [Series(name, x, lines_of[name][place].tolist(), *style) for name, style in styles.items()]
        error = float(np.nanmean(np.square(lines_of[top][place] - lines_of["original"][place])))
        told = f"row {place + 1} of the examples; mean squared error {number(error, 3)} through {top}"
        drawn = lines(f"Row {place + 1}, original and reconstruction", told, series, "feature", unit)
        rows = [
            (_feature(column, dataset.column_names), *(number(float(named[name][place][column])) for name in styles))
            for column in x[:MOST_FEATURES]
        ]
        legend = [(name, style[0] + (" dashed" if style[1] == "dashed" else "")) for name, style in styles.items()]
        shown.append(
            figure(f"Row {place + 1}", drawn, ("feature", *styles), rows, legend=legend, under=told.partition("; ")[2])
        )
    return joined(shown)


def _plane(facts: Facts) -> Markup | None:
    """Draw the codes of rows in a plane, by class where they have classes."""
    plane, dataset = facts.measured.plane, facts.measured.dataset
    if plane is None or dataset is None or not len(plane.xy):
        return None
    groups, rows = [], []
    labels = np.full(len(plane.xy), -1) if plane.y is None else plane.y
    found, counts = np.unique(labels[labels >= 0], return_counts=True)
    named = sorted(found[np.argsort(-counts, kind="stable")[:MOST_CLASSES]].tolist())
    rest = ~np.isin(labels, named)
    if rest.any():
        what = (
            "rows" if not named else "others" if plane.y is not None and bool((labels[rest] >= 0).any()) else "no label"
        )
        groups.append(Points("", _pairs(plane.xy[rest]), "base" if named else "s1"))
        rows.append((what, f"{int(rest.sum()):,}", *_middle(plane.xy[rest])))
    for place, label in enumerate(named):
        name = legible(dataset.classes[label], 18)
        own = plane.xy[labels == label]
        groups.append(Points(name, _pairs(own), f"s{place % 10 + 1}"))
        rows.append((name, f"{len(own):,}", *_middle(own)))
    legend = [(each.name or "others", f"{each.color} dot") for each in groups] if named else []
    what = "fine-tuned codes" if facts.head is not None else "codes"
    told = f"{what} of {plane.of}; the axes are the {plane.axes[0]} and the {plane.axes[1]}"
    drawn = points("Codes in a plane", told, groups, *plane.axes)
    return figure(
        "Codes of the top layer",
        drawn,
        ("class", "rows", "median across", "median up"),
        rows,
        legend=legend,
        under=f"{what} of {plane.of}",
    )


def _pairs(xy: np.ndarray) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in xy]


def _middle(xy: np.ndarray) -> tuple[str, str]:
    x, y = np.median(xy, axis=0)
    return number(float(x), 3), number(float(y), 3)
