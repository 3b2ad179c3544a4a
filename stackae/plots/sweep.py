"""The plot of a sweep as PNG bytes: reconstruction error against the width of the code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stackae.plots.parts import new_figure, png_of, written

NETWORK, PRINCIPAL, INK = "#3b74a8", "#d9622b", "#222222"


def error_by_width(widths: Sequence[int], errors: Sequence[float], principal: Sequence[float], title: str) -> bytes:
    """Plot both curves over a logarithmic axis of widths; the right axis is the share of explained variance.

    Args:
        widths: of the codes, ascending.
        errors: squared error per row at each width.
        principal: that of m principal components for m = 0 to d; the first is the error of predicting the mean.
        title: of the plot.
    """
    figure = new_figure(7.2, 4.6)
    axes = figure.subplots()
    mean = principal[0]
    most = len(principal) - 1
    through = [m for m in range(1, most + 1) if widths[0] <= m <= widths[-1]]
    marked = [m for m in widths if m <= most]
    axes.plot(through, [principal[m] for m in through], color=PRINCIPAL, linewidth=1.2)
    axes.plot(marked, [principal[m] for m in marked], "s", color=PRINCIPAL, markersize=5)
    axes.plot(widths, errors, "o-", color=NETWORK, linewidth=1.8, markersize=6)
    axes.plot([], [], "o-", color=NETWORK, label="autoencoder")
    axes.plot([], [], "s-", color=PRINCIPAL, markersize=5, linewidth=1.2, label="PCA")
    axes.axhline(mean, color=INK, linestyle=":", linewidth=1, label="always the mean row")
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(widths, [str(width) for width in widths])
    if len(widths) == 1:
        axes.set_xlim(widths[0] / 2, widths[0] * 2)
    axes.set_ylim(0, 1.08 * max(mean, *errors) or 1.0)
    axes.set(xlabel="width of the code (units)", ylabel="squared error per row")
    axes.set_title(written(title), parse_math=False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines["top"].set_visible(False)
    if mean > 0:
        right = axes.secondary_yaxis(
            "right",
            functions=(
                lambda error: 100 * (1 - np.asarray(error) / mean),
                lambda share: mean * (1 - np.asarray(share) / 100),
            ),
        )
        right.set_ylabel("% of the variance explained")
        right.spines["right"].set_visible(False)
    axes.legend(frameon=False)
    return png_of(figure)
