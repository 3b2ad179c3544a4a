"""Squares of numbers as SVG: how many rows of each class were taken for which, and signed weights by name."""

from __future__ import annotations

from collections.abc import Sequence

from stackae.errors import legible
from stackae.pages.charts import WIDTH, drawing
from stackae.pages.markup import Markup, tag

MOST_NAMED, LONGEST, SIDE = 20, 10, 46.0  # classes with names and counts, characters of a name, units beside the cells


def confusion(title: str, description: str, counts: Sequence[Sequence[int]], names: Sequence[str]) -> Markup:
    """Draw counts (true down, predicted across); the darker a cell, the larger its share of its row."""
    size = len(names)
    named = size <= MOST_NAMED
    side = min(96.0, 14 + 6.4 * max(len(_short(each)) for each in names)) if named else 16.0
    cell = (WIDTH - side - 2) / max(1, size)
    drawn = []
    for i, row in enumerate(counts):
        total = max(1, sum(row))
        for j, count in enumerate(row):
            if not count and i != j:
                continue
            x, y, share = side + j * cell, 18 + i * cell, count / total
            kind = "right" if i == j else "wrong"
            tells = (
                f"{count} rows of {names[i]} taken for {names[j]}" if i != j else f"{count} rows of {names[i]} right"
            )
            drawn.append(_square(tells, x, y, cell, cell, f"cell {kind}", 0.12 + 0.88 * share))
            if named and cell >= 14:
                shade = " strong" if share > 0.55 else ""
                drawn.append(tag("text", str(count), x=f"{x + cell / 2:.1f}", y=f"{y + cell / 2 + 4:.1f}",
                                 class_=f"count middle{shade}"))  # fmt: skip
    return drawing(title, description, *_names(names if named else (), side, cell), *drawn, height=20 + size * cell)


def heat(title: str, description: str, values: Sequence[Sequence[float]], names: Sequence[str]) -> Markup:
    """Draw signed numbers (rows, columns), each row under its name: the stronger a color, the larger the number."""
    most = max((abs(each) for row in values for each in row), default=0.0) or 1.0
    side = min(120.0, 8 + 6.4 * max(map(len, names), default=0))
    columns = max(1, max(map(len, values), default=1))
    width, height = (WIDTH - side - 2) / columns, min(26.0, max(12.0, (WIDTH - side) / columns))
    drawn = []
    for i, (name, row) in enumerate(zip(names, values, strict=True)):
        drawn.append(tag("text", name, x=f"{side - 5:.1f}", y=f"{i * height + height / 2 + 4:.1f}", class_="end"))
        for j, each in enumerate(row):
            kind = "cell above" if each > 0 else "cell below"
            place = side + j * width, i * height, width - 1, height - 1
            drawn.append(_square(f"{name}, {j}: {each:+.3g}", *place, kind, abs(each) / most))
    return drawing(title, description, *drawn, height=len(names) * height)


def _square(tells: str, x: float, y: float, width: float, height: float, class_: str, opacity: float) -> Markup:
    place = {
        name: f"{value:.1f}" for name, value in zip(("x", "y", "width", "height"), (x, y, width, height), strict=True)
    }
    return tag("rect", tag("title", tells), **place, class_=class_, fill_opacity=f"{opacity:.2f}")


def _names(names: Sequence[str], side: float, cell: float) -> list[Markup]:
    across = max((len(_short(each)) for each in names), default=0) * 6.2 <= cell
    told = [tag("text", "true ↓  predicted →", x=2, y=12, class_="start")] if names else []
    for place, name in enumerate(names):
        middle = f"{18 + (place + 0.5) * cell + 4:.1f}"
        told.append(tag("text", _short(name), x=f"{side - 5:.1f}", y=middle, class_="end"))
        if across:
            told.append(tag("text", _short(name), x=f"{side + (place + 0.5) * cell:.1f}", y=12, class_="middle"))
    return told[1:] if across and names and side < SIDE else told


def _short(name: str) -> str:
    return legible(name if len(name) <= LONGEST else name[: LONGEST - 1] + "…")
