"""Bars beside a reference, and values with their intervals, as SVG: one per line, each under its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stackae.pages.charts import WIDTH, anchor, at, drawing
from stackae.pages.markup import Markup, joined, tag
from stackae.pages.scales import Scale


class Bar(NamedTuple):
    """A bar of a chart, and the value beside it that it is measured against, if any."""

    name: str
    value: float
    label: str
    beside: float | None = None
    color: str = "s1"


class Estimate(NamedTuple):
    """A value with its interval."""

    name: str
    value: float
    low: float
    high: float
    label: str
    color: str = "s1"


def bars(title: str, description: str, rows: Sequence[Bar], low: float = 0.0, high: float = 1.0) -> Markup:
    """Draw horizontal bars from ``low`` to ``high``, each under its name, with a tick where its reference lies."""
    height = 44.0 * len(rows) + 4
    across = Scale(low, high, 2.0, WIDTH - 2)
    drawn = []
    for place, row in enumerate(rows):
        top = 44.0 * place
        drawn += [
            tag("text", row.name, x=2, y=at(top + 15), class_="name"),
            tag("text", row.label, x=at(WIDTH - 2), y=at(top + 15), class_="value end"),
            tag("rect", x=2, y=at(top + 22), width=at(WIDTH - 4), height=12, rx=3, class_="track"),
            tag(
                "rect",
                x=2,
                y=at(top + 22),
                width=at(max(1.0, across(row.value) - 2)),
                height=12,
                rx=3,
                class_=f"fill solid {row.color}",
            ),
        ]
        if row.beside is not None:
            drawn.append(tag("rect", x=at(across(row.beside) - 1.5), y=at(top + 18), width=3, height=20, class_="tick"))
    return drawing(title, description, *drawn, height=height)


def estimates(title: str, description: str, rows: Sequence[Estimate], low: float, high: float) -> Markup:
    """Draw values as dots on whiskers, which are their intervals, over one axis of shares."""
    height = 40.0 * len(rows) + 30
    across = Scale(low, high, 8.0, WIDTH - 8)
    drawn = [
        joined(
            tag("line", x1=at(across(tick)), x2=at(across(tick)), y1=0, y2=at(height - 26), class_="grid"),
            tag("text", f"{100 * tick:g} %", x=at(across(tick)), y=at(height - 10), class_=anchor(across, tick)),
        )
        for tick in across.ticks(4)
    ]
    for place, row in enumerate(rows):
        y = 40.0 * place + 28
        drawn += [
            tag("text", row.name, x=2, y=at(y - 13), class_="name"),
            tag("text", row.label, x=at(WIDTH - 2), y=at(y - 13), class_="value end"),
            tag(
                "line",
                x1=at(across(row.low)),
                x2=at(across(row.high)),
                y1=at(y),
                y2=at(y),
                class_=f"whisker {row.color}",
            ),
            tag("circle", cx=at(across(row.value)), cy=at(y), r=5, class_=f"fill solid {row.color}"),
        ]
    return drawing(title, description, *drawn, height=height)
