"""The plot of comparisons as PNG bytes: error against the number of labels, a line and a band per contender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from stackae.plots.parts import new_figure, png_of, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

NETWORKS = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"), ("#e69f00", "v"), ("#56b4e9", "P"))
OTHERS = (("#111111", "x"), ("#555555", "+"), ("#888888", "1"), ("#111111", "*"), ("#555555", "h"), ("#888888", "."))
"""Colors of Okabe & Ito (2008), which the color-blind tell apart, and markers, of networks; grays of the others."""
DASHES = {"x": "--", "+": ":", "1": "-.", "*": ":", "h": "--", ".": "-."}
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 5.0)
RANGE = 4.0  # of errors, from which their axis is logarithmic
COLUMNS = 3


class Row(Protocol):
    """What is drawn of a contender with a number of labels; ``errors`` are those of each draw."""

    @property
    def contender(self) -> str: ...
    @property
    def labels(self) -> int: ...
    @property
    def error(self) -> float: ...
    @property
    def errors(self) -> tuple[float, ...]: ...


class Panel(NamedTuple):
    """One comparison.

    Attributes:
        title: of its plot.
        rows: in any order; names of contenders are shown in theirs.
        networks: the contenders that are networks: solid lines in color, with bands; the others are dashed, in gray.
        total: the number of all labels.
        measure: the label of the vertical axis.
    """

    title: str
    rows: Sequence[Row]
    networks: Sequence[str]
    total: int
    measure: str


def error_by_labels(panels: Sequence[Panel]) -> bytes:
    """Plot the mean error over draws, and a band of one standard deviation, over a logarithmic axis of labels.

    A contender has the same line in every panel, and one entry in the legend.
    """
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    figure = new_figure(8.4, 5.0) if len(panels) == 1 else new_figure(4.2 * columns, 3.6 * lines)
    styles = _styles(panels)
    shown: dict[str, Line2D] = {}
    for axes, panel in zip(figure.subplots(lines, columns, squeeze=False).flat, panels, strict=False):
        shown = _draw_panel(axes, panel, styles) | shown
    handles, names = [shown[name] for name in styles], [written(name) for name in styles]
    if len(panels) == 1:
        figure.legend(handles, names, frameon=False, loc="outside right upper")
    else:
        figure.legend(handles, names, frameon=False, loc="outside lower center", ncols=2 * COLUMNS)
    return png_of(figure)


def _styles(panels: Sequence[Panel]) -> dict[str, tuple[str, str]]:
    """The color and the marker of each contender, networks first."""
    networks = dict.fromkeys(name for panel in panels for name in panel.networks)
    names = dict.fromkeys(row.contender for panel in panels for row in panel.rows)
    others = [name for name in names if name not in networks]
    colored = {name: NETWORKS[place % len(NETWORKS)] for place, name in enumerate(networks)}
    return colored | {name: OTHERS[place % len(OTHERS)] for place, name in enumerate(others)}


def _draw_panel(axes: Axes, panel: Panel, styles: Mapping[str, tuple[str, str]]) -> dict[str, Line2D]:
    counts = sorted({row.labels for row in panel.rows})
    shown = {}
    for name in dict.fromkeys(row.contender for row in panel.rows):
        own = sorted((row for row in panel.rows if row.contender == name), key=lambda row: row.labels)
        shown[name] = _draw(axes, own, styles[name], name in panel.networks)
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(counts, [f"all\n({panel.total:,})" if count == panel.total else f"{count:,}" for count in counts])
    if len(counts) == 1:
        axes.set_xlim(counts[0] / 2, counts[0] * 2)
    _scale(axes, [row.error for row in panel.rows])
    axes.set(xlabel="labels", ylabel=panel.measure)
    axes.set_title(written(panel.title), parse_math=False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return shown


def _draw(axes: Axes, rows: Sequence[Row], style: tuple[str, str], band: bool) -> Line2D:
    color, marker = style
    counts, means = [row.labels for row in rows], np.array([row.error for row in rows])
    dashes, width = ("-", 1.8) if band else (DASHES[marker], 1.0)
    (line,) = axes.plot(counts, means, color=color, marker=marker, ls=dashes, linewidth=width, markersize=6)
    if band:
        spread = np.array([np.std(row.errors, ddof=1) if len(row.errors) > 1 else 0.0 for row in rows])
        axes.fill_between(counts, means - spread, means + spread, color=color, alpha=0.15, linewidth=0)
    return line


def _scale(axes: Axes, errors: Sequence[float]) -> None:
    """Scale the vertical axis: in percent, logarithmic where errors differ by much and none is 0."""
    low, high = min(errors), max(errors)
    if low > 0 and high > RANGE * low:
        axes.set_yscale("log")
        axes.minorticks_off()
        axes.set_ylim(0.8 * low, 1.2 * high)
        ticks = [tick for tick in TICKS if 0.8 * low <= tick <= 1.2 * high]
        axes.set_yticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
