"""Dates and times of day as people write them, as seconds since 1970, and back as ISO 8601."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

FORM = re.compile(
    r"(\d{1,4})([-/.])(\d{1,2})\2(\d{1,4})"
    r"(?:[T ] *(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)? *([AaPp][Mm])?)?"
    r" *(Z|UTC|[+-]\d{2}:?\d{2})?"
)
ORDERS = {"ymd": (0, 1, 2), "dmy": (2, 1, 0), "mdy": (2, 0, 1)}  # where year, month and day stand
FIRST, LAST = -62_135_596_800, 253_402_300_799  # the years 1 to 9999


class Times(NamedTuple):
    """(n,) float64 seconds since 1970, UTC unless the text says another zone, NaN for what is no time; and the order of
    year, month and day, by which they were read: ymd, dmy or mdy."""

    seconds: np.ndarray
    order: str


def times_of(texts: Sequence[str], order: str = "") -> Times:
    """The times that texts are, such as 2024-01-31, 2024-01-31T10:00:00.5Z, 31.1.2024 10:00 or 1/31/2024 2:05:10 PM.

    Where the year stands last and ``order`` is not given, it is the one in which every text is a time; of both, the one
    in which they rise, else day first between points, month first elsewhere. No errors.
    """
    found = [FORM.fullmatch(text) for text in texts]
    fields = np.array([_fields(each) for each in found], dtype=np.float64).reshape(-1, 8)
    first_is_year = np.array([each is not None and len(each[1]) == 4 for each in found], dtype=bool)
    last_is_year = np.array([each is not None and len(each[4]) == 4 for each in found], dtype=bool) & ~first_is_year
    seconds = np.full(len(texts), np.nan)
    seconds[first_is_year] = _seconds(fields[first_is_year], "ymd")
    if not last_is_year.any():
        return Times(seconds, "ymd")
    read = {name: _seconds(fields[last_is_year], name) for name in ([order] if order in ORDERS else ["dmy", "mdy"])}
    points = any(each is not None and each[2] == "." for each in found)
    usual = "dmy" if points else "mdy"
    best = min(read, key=lambda name: (bool(np.isnan(read[name]).any()), not _rises(read[name]), name != usual))
    seconds[last_is_year] = read[best]
    return Times(seconds, best)


def iso(seconds: np.ndarray) -> list[str]:
    """ISO 8601 of seconds since 1970 (n,), to the microsecond, without zone; "" for NaN. No errors."""
    with np.errstate(invalid="ignore"):
        micro = np.round(np.clip(np.nan_to_num(seconds), FIRST, LAST) * 1e6).astype(np.int64)
    unit: Literal["us", "s"] = "us" if (micro % 1_000_000).any() else "s"
    texts = np.datetime_as_string(micro.view("M8[us]"), unit=unit).tolist()
    return ["" if missing else text for text, missing in zip(texts, np.isnan(seconds).tolist(), strict=True)]


def _fields(found: re.Match[str] | None) -> tuple[float, ...]:
    """The three numbers of the date; hours, minutes, seconds; 0, 12 for AM, PM, -1 without; minutes east of UTC."""
    if found is None:
        return (np.nan,) * 8
    half = {"a": 0.0, "p": 12.0}[found[9][0].lower()] if found[9] else -1.0
    zone = found[10] or "Z"
    east = 0.0 if zone[0] not in "+-" else (60 * int(zone[1:3]) + int(zone[-2:])) * (1.0 if zone[0] == "+" else -1.0)
    second = float(f"{found[7] or 0}.{found[8] or 0}")
    return (*map(float, found.group(1, 3, 4)), float(found[5] or 0), float(found[6] or 0), second, half, east)


def _seconds(fields: np.ndarray, order: str) -> np.ndarray:
    """(n,) float64, NaN for what no calendar has."""
    year, month, day = (fields[:, place] for place in ORDERS[order])
    hour, minute, second, half, east = fields[:, 3:].T
    twelve = half >= 0
    sound = (month >= 1) & (month <= 12) & (day >= 1) & (year >= 1) & (minute < 60) & (second < 60)
    sound &= np.where(twelve, (hour >= 1) & (hour <= 12), hour < 24)
    hour = np.where(twelve, hour % 12 + half, hour)
    months = (12 * (year - 1970) + month - 1)[sound].astype("M8[M]")
    dates = months.astype("M8[D]") + (day[sound] - 1).astype("m8[D]")
    found = np.full(len(fields), np.nan)
    found[sound] = dates.astype(np.int64) * 86_400.0
    found[sound] += (3600 * hour + 60 * (minute - east) + second)[sound]
    sound[sound] = dates.astype("M8[M]") == months  # no 30th of February
    return np.where(sound, found, np.nan)


def _rises(seconds: np.ndarray) -> bool:
    return bool((seconds[1:] >= seconds[:-1]).all())
