"""Check whether pretraining would accept the data, and what to know of them before."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from stackae.config import DataConfig
from stackae.config.values import validated
from stackae.data.inspect import check
from stackae.data.inspect.advice import warnings_of
from stackae.data.inspect.check import Examined, Report
from stackae.data.inspect.sentences import exact, whole_range
from stackae.data.tables.columns import Taken
from stackae.data.tables.overview import TITLES, overview
from stackae.errors import DataError
from stackae.workflows.callbacks import Callbacks


class DataCheck(NamedTuple):
    """Properties of the data, notes for the user, and a command that pretrains on them."""

    report: Report
    warnings: list[str]
    next_command: str

    def raise_refusal(self) -> None:
        """Raise DataError if pretraining would refuse the data."""
        if self.report.refusal:
            raise DataError(*self.report.refusal.split("\n"))

    @property
    def columns(self) -> list[list[str]]:
        """Return titles, then what the columns of a table are taken for and why; nothing of other data."""
        encoding = self.report.encoding
        return [] if encoding is None else [list(TITLES), *overview(encoding)]

    @property
    def parts(self) -> list[list[str]]:
        """Return titles, then the number of samples in each part, and of groups; nothing of data that are refused."""
        found = self.report.parted
        if found is None:
            return []
        names = [name for name, count in found.samples.items() if count or name != "none"]
        lines = {"windows" if found.windows else "rows": found.samples, "groups": found.groups}
        counted = [[what, *(f"{each[name]:,}" for name in names)] for what, each in lines.items() if each]
        return [["", *names], *counted]

    def described(self, part: Examined) -> dict[str, str]:
        """Return the properties of a part by name, as text for people."""
        found, shape = part.findings, self.report.row_shape or self.report.image_shape
        low, high = _extremes(found.low, found.high)
        row = f" ({' x '.join(map(str, shape))} each)" if shape else ""
        places = ", ".join(f"({cell.row}, {cell.column}) {cell.value}" for cell in found.first_bad[:3])
        lines = {
            "rows x columns": f"{found.rows:,} x {found.columns:,}{row}",
            "stored as": part.dtype,
            "range": "no finite number" if low is None or high is None else whole_range(low, high),
            "NaN, infinite, too large": f"{found.nan:,}, {found.infinite:,}, {found.too_large:,}",
            "the first, from (0, 0)": places,
            "constant columns": f"{len(found.constant_columns):,}",
            "columns equal to another": f"{sum(len(group) - 1 for group in found.duplicate_columns):,}",
            "rows equal to another": f"{found.duplicate_rows:,} of {found.compared_rows:,}",
        }
        if part.counts is not None:
            lines["classes, unlabelled rows"] = f"{int((part.counts > 0).sum()):,}, {part.unlabelled:,}"
        return {label: text for label, text in lines.items() if text}

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `stackae data check`."""
        report = self.report
        return {
            "data": report.data,
            "accepted": not report.refusal,
            "refusal": report.refusal or None,
            "warnings": self.warnings,
            "training": _part(report, report.training),
            "test": _part(report, report.test),
            "image_shape": report.image_shape,
            "row_shape": report.row_shape or None,
            "ragged_rows": report.ragged_rows,
            "not_numbers": report.not_numbers,
            "parts": None if report.parted is None else report.parted.to_dict(),
            "columns": None if report.encoding is None else [_column(each) for each in report.encoding.columns],
            "next": self.next_command or None,
        }


def check_data(
    options: Mapping[str, Any],
    *,
    callbacks: Callbacks | None = None,
) -> DataCheck:
    """Check all of the data; .npy files are read in chunks, so that they may be larger than the memory.

    Args:
        options: settings of the data by name, as those of ``run_settings``: {"data": "a.csv", "target": "label"}.
            Names of other settings are ignored.

    Raises:
        ConfigError: an invalid argument. Faults of the data are in the result, not raised.
    """
    given = {name: value for name, value in options.items() if value is not None and name in DataConfig.model_fields}
    config = validated(DataConfig, given, "data")
    with (callbacks or Callbacks()).progress(f"reading {config.data}") as tell:
        report = check.check_data(config, tell)
    return DataCheck(report, warnings_of(report), "" if report.refusal else _next_command(config, report))


def _next_command(config: DataConfig, report: Report) -> str:
    """Return a pretraining command whose layers fit the width of the data."""
    assert report.training is not None
    width = report.training.findings.columns if report.parted is None else report.parted.width
    defaults = DataConfig.model_fields
    layers = f"{width},{max(1, min(512, width // 2))},{max(1, min(256, width // 4))}"
    words = ["stackae", "pretrain", "--layers", layers, "--data", config.data]
    for name in (name for name in defaults if name != "data"):
        if (value := getattr(config, name)) != defaults[name].default:
            flag = name.replace("_", "-")
            words += [f"--no-{flag}"] if value is False else [f"--{flag}", *([] if value is True else [str(value)])]
    return shlex.join(words)


def _column(taken: Taken) -> dict[str, Any]:
    return asdict(taken) | {"becomes": taken.becomes, "features": taken.features}


def _part(report: Report, part: Examined | None) -> dict[str, Any] | None:
    if part is None:
        return None
    found, labels = part.findings._asdict(), None
    low, high = _extremes(found["low"], found["high"])
    merged = found.pop("merged")
    if part.counts is not None:
        classes = dict(zip(report.classes, part.counts.tolist(), strict=True))
        labels = {"classes": classes, "unlabelled_rows": part.unlabelled}
    first = {name: found.pop(name) for name in ("rows", "columns")}
    rest = found | {"low": low, "high": high, "merged_in_32_bits": merged, "labels": labels}
    return first | {"dtype": part.dtype} | rest


def _extremes(low: np.ndarray, high: np.ndarray) -> tuple[float | None, float | None]:
    """Return minimum and maximum over all columns; None if no cell is a finite number."""
    smallest, largest = exact(low.min()), exact(high.max())
    return (smallest, largest) if smallest <= largest else (None, None)
