"""Axes: round ticks, positions on them, and numbers as people write them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

EXPONENT = re.compile(r"e([+-])0*")
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


class Scale(NamedTuple):
    """A linear or logarithmic map from low..high to start..end, in units of the drawing."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value; one beyond the ends lies on the nearest end."""
        value = min(max(value, self.low), self.high)
        share = (self._place(value) - self._place(self.low)) / (self._place(self.high) - self._place(self.low))
        return self.start + share * (self.end - self.start)

    def _place(self, value: float) -> float:
        return math.log(value) if self.logarithmic else value

    def ticks(self, about: int = 5) -> list[float]:
        """Return round values between the ends: decades, or about as many as asked for at equal distances."""
        if not self.logarithmic:
            return linear_ticks(self.low, self.high, about)
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        stride = max(1, math.ceil((last - first + 1) / about))
        found = [10.0**power for power in range(first, last + 1, stride)]
        return found if len(found) > 1 else linear_ticks(self.low, self.high, about)


def linear_ticks(low: float, high: float, about: int) -> list[float]:
    """Return multiples of 1, 2, 2.5 or 5 times a power of ten from low to high, about as many as asked for."""
    rough = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((each * power for each in STEPS if each * power >= rough * 0.999), 10 * power)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [place * step + 0.0 for place in range(first, last + 1)]


def limits(values: Iterable[float], margin: float = 0.05, zero: bool = False) -> tuple[float, float]:
    """Return ends of an axis around finite values, apart even where all are equal; with ``zero`` it begins there."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if zero:
        low, high = min(0.0, low), max(0.0, high)
    spread = (high - low) or max(1.0, abs(high)) * 0.1
    return (low if zero and low == 0 else low - margin * spread), high + margin * spread


def number(value: float | None, digits: int = 4) -> str:
    """Format a number with so many significant digits, thousands apart; a dash for none."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    if isinstance(value, int) or (value == int(value) and abs(value) < 10**15):
        return f"{int(value):,}".replace("-", "−")
    if abs(value) >= 10**digits:
        return f"{value:,.0f}".replace("-", "−")
    return EXPONENT.sub(r"e\1", f"{value:.{digits}g}").replace("-", "−")


def percent(share: float | None, digits: int = 1) -> str:
    """Format a share in percent; a dash for none."""
    return "–" if share is None else f"{100 * share:.{digits}f} %".replace("-", "−")


def duration(seconds: float) -> str:
    """Format seconds as people say them."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def short_of(values: Iterable[float]) -> Callable[[float], str]:
    """Return a format for the labels of an axis: as few digits as tell its ticks apart."""
    ticks = list(values)
    for digits in range(1, 7):
        labels = [number(each, digits) for each in ticks]
        if len(set(labels)) == len(set(ticks)) and all(_is_close(*pair) for pair in zip(ticks, labels, strict=True)):
            return lambda value: number(value, digits)
    return number


def _is_close(value: float, label: str) -> bool:
    return math.isclose(float(label.replace(",", "").replace("−", "-")), value, rel_tol=1e-6, abs_tol=1e-12)
