"""Charts as SVG: lines, histograms, and points, each with a title and a description; bars are beside them.

Colors are classes of the page's style, so that a chart follows its light or dark scheme. A chart is drawn for a column
of 360 units, in which its text is legible on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from stackae.pages.markup import Markup, joined, tag
from stackae.pages.scales import Scale, limits, short_of

WIDTH, HEIGHT = 360.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 10.0, 26.0, 36.0
DECADES = 30.0  # a range of values that spans a larger factor is drawn on a logarithmic axis
CHARACTER = 6.2  # units that a character of a label takes


class Series(NamedTuple):
    """A line of a chart: its name, points, and class of color (s1 to s8, or base); ``mark`` is a point of it."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    color: str = "s1"
    dash: str = ""
    mark: tuple[float, float] | None = None


class Reference(NamedTuple):
    """A value that a chart is read against: a line across it, with its name."""

    name: str
    value: float


class Points(NamedTuple):
    """Points of one color."""

    name: str
    xy: Sequence[tuple[float, float]]
    color: str


def drawing(title: str, description: str, *content: Markup, height: float = HEIGHT, width: float = WIDTH) -> Markup:
    """Make the SVG of a figure that is described in words too."""
    inside = (tag("title", title), tag("desc", description), *content)
    return tag(
        "svg", *inside, viewBox=f"0 0 {at(width)} {at(height)}", role="img", aria_label=f"{title}. {description}"
    )


def lines(
    title: str,
    description: str,
    series: Sequence[Series],
    x_name: str,
    y_name: str,
    references: Sequence[Reference] = (),
    zero: bool = False,
) -> Markup:
    """Draw lines over a common horizontal axis, vertically logarithmic where the values span much."""
    ys = [value for each in series for value in each.y if math.isfinite(value)] + [each.value for each in references]
    xs = [value for each in series for value in each.x]
    logarithmic = bool(ys) and min(ys) > 0 and max(ys) > DECADES * min(ys) and not zero
    low, high = (min(ys) / 1.15, max(ys) * 1.15) if logarithmic else limits(ys, zero=zero)
    x_low, x_high = (min(xs), max(xs)) if xs and max(xs) > min(xs) else limits(xs)
    across = Scale(x_low, x_high, LEFT, WIDTH - RIGHT)
    up = Scale(low, high, HEIGHT - BOTTOM, TOP, logarithmic)
    drawn = [_line(each, across, up) for each in series]
    return drawing(
        title,
        description,
        _grid(up),
        _axis(across, x_name, whole=all(x == int(x) for x in xs)),
        _name_of_y(y_name),
        *drawn,
        *(_reference(each, up) for each in references),
    )


def histogram(
    title: str,
    description: str,
    groups: Sequence[tuple[str, Sequence[float], str]],
    x_name: str,
    y_name: str,
    reference: Reference | None = None,
    bins: int = 24,
) -> Markup:
    """Draw the share of each group's values (name, values, class of color) per bin, one over the other."""
    every = [value for _, values, _ in groups for value in values if math.isfinite(value)]
    ends = limits(
        [*every, *([reference.value] if reference else [])], margin=0.02, zero=bool(every) and min(every) >= 0
    )
    logarithmic = bool(every) and min(every) > 0 and max(every) > DECADES * min(every)
    if logarithmic:
        ends = min(every) / 1.05, max(every) * 1.05
    across = Scale(*ends, LEFT, WIDTH - RIGHT, logarithmic)
    shares = [binned(values, across, bins) for _, values, _ in groups]
    up = Scale(0.0, 1.08 * max((max(each) for each in shares), default=1.0) or 1.0, HEIGHT - BOTTOM, TOP)
    step, floor = (WIDTH - RIGHT - LEFT) / bins, up(0.0)
    drawn = [
        tag("path", class_=f"fill {color}", d=_steps(each, step, up, floor))
        for each, (_, _, color) in zip(shares, groups, strict=True)
    ]
    marked = [] if reference is None else [_upright(reference, across)]
    return drawing(
        title, description, _grid(up, percents=True), _axis(across, x_name), _name_of_y(y_name), *drawn, *marked
    )


def binned(values: Sequence[float], across: Scale, bins: int) -> list[float]:
    """Return the share of finite values in each bin, of equal width in the drawing."""
    counts, span = [0] * bins, across.end - across.start
    finite = [value for value in values if math.isfinite(value)]
    for value in finite:
        counts[min(bins - 1, int((across(value) - across.start) / span * bins))] += 1
    return [count / max(1, len(finite)) for count in counts]


def points(
    title: str,
    description: str,
    groups: Sequence[Points],
    x_name: str,
    y_name: str,
    names: bool = True,
    equal: tuple[float, float] | None = None,
) -> Markup:
    """Draw groups of points in a plane, each named at its median where ``names``; with ``equal``, the line of equal
    coordinates between these ends."""
    height = 320.0
    xs, ys = ([place[axis] for each in groups for place in each.xy] for axis in (0, 1))
    across = Scale(*limits([*xs, *(equal or ())]), LEFT, WIDTH - RIGHT)
    up = Scale(*limits([*ys, *(equal or ())]), height - BOTTOM, TOP)
    radius = min(5.0, max(2.0, 90 / math.sqrt(max(1, len(xs)))))
    drawn = [
        tag(
            "path",
            d="".join(f"M{at(across(x))} {at(up(y))}h0" for x, y in each.xy),
            class_=f"dots {each.color}",
            stroke_width=at(radius),
        )
        for each in groups
    ]
    for each in groups if names else ():
        if each.xy:
            x, y = (sorted(place[axis] for place in each.xy)[len(each.xy) // 2] for axis in (0, 1))
            drawn.append(tag("text", each.name, x=at(across(x)), y=at(up(y) + 4), class_="label middle"))
    frame = [_grid(up), _axis(across, x_name, height), _name_of_y(y_name)]
    if equal is not None:
        (x1, x2), (y1, y2) = ([at(scale(end)) for end in equal] for scale in (across, up))
        frame.append(tag("line", x1=x1, x2=x2, y1=y1, y2=y2, class_="reference"))
    return drawing(title, description, *frame, *drawn, height=height)


def _line(series: Series, across: Scale, up: Scale) -> Markup:
    steps, pen = [], "M"
    for x, y in zip(series.x, series.y, strict=True):
        if math.isfinite(y):
            steps.append(f"{pen}{at(across(x))} {at(up(y))}")
        pen = "L" if math.isfinite(y) else "M"
    drawn = [tag("path", d="".join(steps), class_=f"line {series.color}{' ' + series.dash if series.dash else ''}")]
    if len(series.x) == 1 and series.mark is None and math.isfinite(series.y[0]):
        series = series._replace(mark=(series.x[0], series.y[0]))
    if series.mark is not None:
        x, y = series.mark
        drawn.append(tag("circle", cx=at(across(x)), cy=at(up(y)), r=4, class_=f"mark {series.color}"))
    return joined(drawn)


def _steps(shares: Sequence[float], step: float, up: Scale, floor: float) -> str:
    told = [f"M{at(LEFT)} {at(floor)}"]
    for place, share in enumerate(shares):
        told.append(f"V{at(up(share))}H{at(LEFT + (place + 1) * step)}")
    return "".join(told) + f"V{at(floor)}Z"


def _grid(up: Scale, percents: bool = False) -> Markup:
    """Draw the vertical axis: a line across the chart per tick."""
    ticks = up.ticks(4)
    shown = short_of([100 * each for each in ticks] if percents else ticks)
    return joined(
        joined(
            tag("line", x1=at(LEFT), x2=at(WIDTH - RIGHT), y1=at(up(tick)), y2=at(up(tick)), class_="grid"),
            tag(
                "text",
                f"{shown(100 * tick)} %" if percents else shown(tick),
                x=at(LEFT - 5),
                y=at(up(tick) + 4),
                class_="end",
            ),
        )
        for tick in ticks
    )


def _axis(across: Scale, name: str, height: float = HEIGHT, whole: bool = False) -> Markup:
    """Draw the horizontal axis; where all places on it are ``whole`` numbers, so are its ticks."""
    ticks = [tick for tick in across.ticks(5) if not whole or tick == int(tick)]
    shown = short_of(ticks)
    labels = [
        tag("text", shown(tick), x=at(across(tick)), y=at(height - BOTTOM + 14), class_=anchor(across, tick))
        for tick in ticks
    ]
    base = tag("line", x1=at(LEFT), x2=at(WIDTH - RIGHT), y1=at(height - BOTTOM), y2=at(height - BOTTOM), class_="axis")
    return joined(base, labels, tag("text", name, x=at((LEFT + WIDTH - RIGHT) / 2), y=at(height - 4), class_="middle"))


def anchor(across: Scale, tick: float) -> str:
    """Align a label to the axis: those at its ends lie within the drawing."""
    place = across(tick)
    return "end" if place > WIDTH - 16 else "start" if place < 12 else "middle"


def _name_of_y(name: str) -> Markup:
    return tag("text", name, x=0, y=11, class_="start")


def _reference(each: Reference, up: Scale) -> Markup:
    y = up(each.value)
    text = y - 4 if y > TOP + 14 else y + 13
    return joined(
        tag("line", x1=at(LEFT), x2=at(WIDTH - RIGHT), y1=at(y), y2=at(y), class_="reference"),
        tag("text", each.name, x=at(WIDTH - RIGHT - 2), y=at(text), class_="label end"),
    )


def _upright(each: Reference, across: Scale) -> Markup:
    x = across(each.value)
    right = x + 5 + CHARACTER * len(each.name) < WIDTH
    return joined(
        tag("line", x1=at(x), x2=at(x), y1=at(TOP), y2=at(HEIGHT - BOTTOM), class_="reference"),
        tag(
            "text",
            each.name,
            x=at(x + 5 if right else x - 5),
            y=at(TOP + 10),
            class_="label start" if right else "label end",
        ),
    )


def at(value: float) -> str:
    """Format a coordinate: a tenth of a unit is finer than a pixel."""
    return f"{value:.1f}".removesuffix(".0")
