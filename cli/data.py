"""stackae data check: whether pretraining would take the data, and what to know of them before."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stackae.data.formats import FORMATS, SETS, listed

from . import options as o

if TYPE_CHECKING:
    import numpy as np

    from stackae.config import DataConfig
    from stackae.data.check import Examined, Report

EXAMPLES = """[bold]Examples[/bold]

stackae data check sensors.csv --target label

stackae data check images.npy --json

stackae data check mnist --data-root DIR
"""
SHOWN = 20

app = typer.Typer(help="Look at data before training on them.", no_args_is_help=True)


@app.command("check", epilog=EXAMPLES)
def check(
    data: Annotated[str, typer.Argument(metavar="PATH", help=f"{SETS}, {listed(FORMATS)}.")],
    data_root: o.DataRoot = None,
    target: o.Target = None,
    target_kind: o.TargetKind = None,
    ignore: o.Ignore = None,
    json: o.Json = False,
) -> None:
    """Say whether pretraining would take the data, and what they hold; exit code 3 when it would refuse them.

    Reads tables and .npy files in pieces, so that they may be larger than the memory.
    """
    from stackae.config import DataConfig
    from stackae.data.advice import warnings_of
    from stackae.data.check import check_data
    from stackae.errors import DataError
    from stackae.fields import validated

    from .console import emit_json
    from .progress import Shown

    given = {"data": data, "data_root": data_root, "target": target, "target_kind": target_kind}
    given["ignore"] = ignore
    config = validated(DataConfig, {name: value for name, value in given.items() if value is not None}, "data")
    with Shown().progress(f"reading {data}") as told:
        report = check_data(config, told)
    warnings = warnings_of(report)
    following = "" if report.refusal else next_command(config, report)
    if json:
        emit_json(as_document(report, warnings, following))
    else:
        _show(report, warnings, following)
    if report.refusal:
        raise DataError(*report.refusal.split("\n"))


def next_command(config: DataConfig, report: Report) -> str:
    """A pretraining that fits the width of the data."""
    assert report.training is not None
    width = report.training.findings.columns
    words = [
        "stackae",
        "pretrain",
        "--layers",
        f"{width},{max(1, min(512, width // 2))},{max(1, min(256, width // 4))}",
        "--data",
        config.data,
    ]
    if config.data_root != type(config).model_fields["data_root"].default:
        words += ["--data-root", config.data_root]
    if config.target is not None:
        words += ["--target", config.target]
    if config.ignore is not None:
        words += ["--ignore", config.ignore]
    if config.target_kind != type(config).model_fields["target_kind"].default:
        words += ["--target-kind", config.target_kind]
    return shlex.join(words)


def as_document(report: Report, warnings: list[str], following: str) -> dict[str, Any]:
    return {
        "data": report.data,
        "accepted": not report.refusal,
        "refusal": report.refusal or None,
        "warnings": warnings,
        "training": _part(report, report.training),
        "test": _part(report, report.test),
        "image_shape": report.image_shape,
        "row_shape": report.row_shape or None,
        "ragged_rows": report.ragged_rows,
        "not_numbers": report.not_numbers,
        "next": following or None,
    }


def _part(report: Report, part: Examined | None) -> dict[str, Any] | None:
    if part is None:
        return None
    found = part.findings
    low, high = _extremes(found.low, found.high)
    labels = None
    if part.counts is not None:
        classes = dict(zip(report.classes, part.counts.tolist(), strict=True))
        labels = {"classes": classes, "unlabelled_rows": part.unlabelled}
    return {
        "rows": found.rows,
        "columns": found.columns,
        "dtype": part.dtype,
        "low": low,
        "high": high,
        "nan": found.nan,
        "infinite": found.infinite,
        "too_large": found.too_large,
        "first_bad": [cell._asdict() for cell in found.first_bad],
        "constant_columns": found.constant_columns,
        "duplicate_columns": found.duplicate_columns,
        "duplicate_rows": found.duplicate_rows,
        "compared_rows": found.compared_rows,
        "outliers": [each._asdict() for each in found.outliers],
        "merged_in_32_bits": [each._asdict() for each in found.merged],
        "labels": labels,
    }


def _extremes(low: np.ndarray, high: np.ndarray) -> tuple[float | None, float | None]:
    """Over all columns; none where no cell is a finite number."""
    from stackae.data.telling import exact

    smallest, largest = exact(low.min()), exact(high.max())
    return (smallest, largest) if smallest <= largest else (None, None)


def _show(report: Report, warnings: list[str], following: str) -> None:
    from stackae.errors import legible

    from .console import say, table

    parts = [(name, part) for name, part in (("training", report.training), ("test", report.test)) if part]
    if parts:
        lines = [_lines(report, part) for _, part in parts]
        rows = [[label, *(each.get(label, "-") for each in lines)] for label in lines[0]]
        table(report.data, ["", *(name for name, _ in parts)], rows)
    if report.ragged_rows or report.not_numbers:
        say(
            f"besides     {report.ragged_rows:,} rows of another width, {report.not_numbers:,} cells that are no number"
        )
    classes = [part for _, part in parts if part.counts is not None]
    if classes:
        counts = [part.counts.tolist() for part in classes if part.counts is not None]
        shown = list(zip(report.classes, *counts, strict=True))
        rows = [[legible(name), *(f"{count:,}" for count in each)] for name, *each in shown[:SHOWN]]
        more = f" (the first {SHOWN} of {len(shown):,})" if len(shown) > SHOWN else ""
        table(f"Rows a class{more}", ["", *(name for name, part in parts if part.counts is not None)], rows)
    for warning in warnings:
        say(f"note        {warning}")
    verdict = "pretraining refuses the data" if report.refusal else "pretraining takes the data"
    say(f"verdict     {verdict}")
    if following:
        say(f"next        {following}")


def _lines(report: Report, part: Examined) -> dict[str, str]:
    from stackae.data.telling import whole_range

    found = part.findings
    low, high = _extremes(found.low, found.high)
    shape = report.row_shape or report.image_shape
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
