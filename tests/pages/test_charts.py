"""Charts: places of values on axes, round ticks, and drawings that hold whatever numbers come."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackae.pages.bars import Bar, Estimate, bars, estimates
from stackae.pages.charts import Points, Reference, Series, binned, histogram, lines, points
from stackae.pages.markup import Markup
from stackae.pages.matrix import confusion, heat
from stackae.pages.scales import Scale, duration, limits, linear_ticks, number, percent, short_of

NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)


def parsed(drawn: Markup) -> ElementTree.Element:
    """The drawing as XML; every number in it is finite."""
    assert not re.search(r"\b(nan|inf)\b", drawn)
    root = ElementTree.fromstring(drawn)
    assert root.find("title") is not None and root.find("desc") is not None
    return root


@given(NUMBERS, NUMBERS)
def test_ends_of_an_axis_lie_apart_around_their_values(one: float, other: float) -> None:
    low, high = limits([one, other])
    assert low <= min(one, other) and max(one, other) <= high and low < high


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(1, 8))
def test_ticks_are_round_and_lie_between_the_ends(low: float, width: float, about: int) -> None:
    ticks = linear_ticks(low, low + width, about)
    assert all(low - 1e-6 * width <= tick <= low + width * (1 + 1e-6) for tick in ticks) and len(ticks) <= 3 * about + 2


def test_a_scale_maps_its_ends_and_their_middle() -> None:
    scale = Scale(1, 100, 0, 10, logarithmic=True)
    assert (scale(1), scale(10), scale(100), scale(1000)) == (0, pytest.approx(5), 10, 10)
    assert scale.ticks() == [1, 10, 100]


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=20))
def test_any_finite_numbers_are_drawn(pairs: list[tuple[float, float]]) -> None:
    x, y = zip(*pairs, strict=True)
    parsed(lines("t", "d", [Series("a", sorted(x), y, mark=pairs[0])], "x", "y", [Reference("r", y[0])]))
    parsed(points("t", "d", [Points("a", pairs, "s1")], "x", "y", equal=(min(x), max(y))))
    parsed(histogram("t", "d", [("a", y, "s1")], "x", "y", Reference("r", y[0])))


def test_gaps_in_a_line_are_left_out() -> None:
    drawn = lines("t", "d", [Series("a", [1, 2, 3, 4], [1, math.nan, 2, 3])], "x", "y")
    path = next(each for each in parsed(drawn).iter() if each.get("class") == "line s1")
    assert path.get("d", "").count("M") == 2 and path.get("d", "").count("L") == 1


def test_a_single_point_is_seen() -> None:
    assert "<circle" in lines("t", "d", [Series("a", [1], [2.0])], "x", "y")


def test_shares_of_bins_add_up() -> None:
    shares = binned([0, 1, 2, 3, math.inf], Scale(0, 3, 0, 1), 3)
    assert shares == [0.25, 0.25, 0.5]


def test_bars_are_as_long_as_their_values() -> None:
    root = parsed(bars("t", "d", [Bar("half", 0.5, "50 %", 0.75), Bar("over", 2.0, "200 %")]))
    widths = [float(each.get("width", 0)) for each in root.iter() if "solid" in each.get("class", "")]
    track = [float(each.get("width", 0)) for each in root.iter() if each.get("class") == "track"]
    assert widths[0] == pytest.approx(track[0] / 2, abs=0.1) and widths[1] == pytest.approx(track[1], abs=0.1)


def test_estimates_have_their_whiskers() -> None:
    root = parsed(estimates("t", "d", [Estimate("a", 0.5, 0.4, 0.6, "50 %")], 0, 1))
    line = next(each for each in root.iter() if each.get("class") == "whisker s1")
    dot = next(each for each in root.iter() if each.get("class") == "fill solid s1")
    assert float(line.get("x1", 0)) < float(dot.get("cx", 0)) < float(line.get("x2", 0))


def test_a_confusion_matrix_names_its_cells() -> None:
    root = parsed(confusion("t", "d", [[3, 1], [0, 2]], ["<a>", "b"]))
    told = [each.text for each in root.iter("title")]
    assert told[1:] == ["3 rows of <a> right", "1 rows of <a> taken for b", "2 rows of b right"]
    assert len(list(parsed(confusion("t", "d", [[1] * 30] * 30, ["x"] * 30)).iter("rect"))) == 900


def test_signed_numbers_are_two_colors() -> None:
    root = parsed(heat("t", "d", [[1.0, -2.0]], ["a"]))
    assert [each.get("class") for each in root.iter("rect")] == ["cell above", "cell below"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "–"),
        (0.0, "0"),
        (1234567.0, "1,234,567"),
        (-0.125, "−0.125"),
        (3.5e-5, "3.5e−5"),
        (12345.6, "12,346"),
        (math.inf, "inf"),
    ],
)
def test_numbers_are_written_as_people_write_them(value: float | None, told: str) -> None:
    assert number(value) == told


def test_shares_times_and_labels_are_short() -> None:
    assert (percent(0.98765), percent(None), duration(3.21), duration(90), duration(600)) == (
        "98.8 %",
        "–",
        "3.2 s",
        "90 s",
        "10 min",
    )
    assert duration(9000) == "2.5 h" and [short_of([0.25, 0.5])(each) for each in (0.25, 0.5)] == ["0.25", "0.5"]
