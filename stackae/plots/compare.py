"""The plot of a comparison as PNG bytes: error against the number of labels, a line and a band per contender."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from stackae.plots.parts import written
from stackae.plots.runs import new_figure, png_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NETWORKS = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"), ("#e69f00", "v"), ("#56b4e9", "P"))
OTHERS = (("#111111", "x"), ("#555555", "+"), ("#888888", "1"), ("#111111", "*"), ("#555555", "h"), ("#888888", "."))
"""Colors of Okabe & Ito (2008), which the color-blind tell apart, and markers, of networks; grays of the others."""
DASHES = {"x": "--", "+": ":", "1": "-.", "*": ":", "h": "--", ".": "-."}
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 5.0)
RANGE = 4.0  # of errors, from which their axis is logarithmic


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


def error_by_labels(rows: Sequence[Row], networks: Sequence[str], total: int, measure: str, title: str) -> bytes:
    """Plot the mean error over draws, and a band of one standard deviation, over a logarithmic axis of labels.

    Args:
        rows: in any order; names of contenders are shown in theirs.
        networks: the contenders that are networks: solid lines in color, with bands; the others are dashed, in gray.
        total: the number of all labels.
        measure: the label of the vertical axis.
        title: of the plot.
    """
    figure = new_figure(8.4, 5.0)
    axes = figure.subplots()
    counts = sorted({row.labels for row in rows})
    names = list(dict.fromkeys(row.contender for row in rows))
    others = [name for name in names if name not in networks]
    for name in names:
        own = sorted((row for row in rows if row.contender == name), key=lambda row: row.labels)
        styles, place = (NETWORKS, networks.index(name)) if name in networks else (OTHERS, others.index(name))
        _draw(axes, name, own, styles[place % len(styles)], name in networks)
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(counts, [f"all\n({total:,})" if count == total else f"{count:,}" for count in counts])
    if len(counts) == 1:
        axes.set_xlim(counts[0] / 2, counts[0] * 2)
    _scale(axes, [row.error for row in rows])
    axes.set(xlabel="labels", ylabel=measure)
    axes.set_title(written(title), parse_math=False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside right upper")
    return png_of(figure)


def _draw(axes: Axes, name: str, rows: Sequence[Row], style: tuple[str, str], band: bool) -> None:
    color, marker = style
    counts, means = [row.labels for row in rows], np.array([row.error for row in rows])
    line, width = ("-", 1.8) if band else (DASHES[marker], 1.0)
    axes.plot(counts, means, color=color, marker=marker, ls=line, linewidth=width, markersize=6, label=written(name))
    if band:
        spread = np.array([np.std(row.errors, ddof=1) if len(row.errors) > 1 else 0.0 for row in rows])
        axes.fill_between(counts, means - spread, means + spread, color=color, alpha=0.15, linewidth=0)


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
