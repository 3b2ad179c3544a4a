"""The picture of a comparison has a line per contender, and an axis that shows small and large errors alike."""

from __future__ import annotations

from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
from cli_cases import PNG

from stackae.plots import compare


class Row(NamedTuple):
    contender: str
    labels: int
    error: float
    errors: tuple[float, ...]


@pytest.mark.parametrize("errors", [(0.4, 0.02), (0.4, 0.0), (0.3, 0.2)])
def test_a_line_per_contender_and_a_band_per_network(errors: tuple[float, float]) -> None:
    counts = zip((10, 99), errors, strict=True)
    rows = [Row(name, n, mean, (mean, 1.1 * mean)) for n, mean in counts for name in ("_first", "$b$", "svm")]
    figures: list[Any] = []
    real = compare.new_figure
    with patch.object(compare, "new_figure", lambda *size: figures.append(real(*size)) or figures[-1]):
        panel = compare.Panel("a\nb", rows, ["_first", "$b$"], 99, "error rate")
        assert compare.error_by_labels([panel]).startswith(PNG)
    (axes,) = figures[0].axes
    assert len(axes.lines) == 3 and len(axes.collections) == 2
    assert [label.get_text() for label in axes.get_xticklabels()] == ["10", "all\n(99)"]
    assert axes.get_yscale() == ("log" if errors[1] == 0.02 else "linear")
    assert [line.get_xdata().tolist() for line in axes.lines] == [[10, 99]] * 3


def test_one_number_of_labels() -> None:
    panel = compare.Panel("a", [Row("svm", 5, 0.0, (0.0,))], [], 7, "error rate")
    assert compare.error_by_labels([panel]).startswith(PNG)


def test_a_contender_has_one_line_in_all_panels() -> None:
    figures: list[Any] = []
    real = compare.new_figure
    own = (["net", "svm"], ["ridge", "svm"], ["svm", "net"], ["net"])
    panels = [compare.Panel("a", [Row(name, 5, 0.1, (0.1,)) for name in names], ["net"], 7, "error") for names in own]
    with patch.object(compare, "new_figure", lambda *size: figures.append(real(*size)) or figures[-1]):
        assert compare.error_by_labels(panels).startswith(PNG)
    used = [axes for axes in figures[0].axes if axes.lines]
    assert len(used) == 4
    looks = set[tuple[str, str, str]]()
    for axes, names in zip(used, own, strict=True):
        looks |= {(name, line.get_color(), line.get_marker()) for name, line in zip(names, axes.lines, strict=True)}
    assert sorted(name for name, _, _ in looks) == ["net", "ridge", "svm"]
    (legend,) = figures[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["net", "svm", "ridge"]
