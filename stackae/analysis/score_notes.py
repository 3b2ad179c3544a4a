"""Notes for the user on scores that need care."""

from __future__ import annotations

import math

import numpy as np
import torch

from stackae.analysis.anomaly import fewest_rows
from stackae.analysis.scoring import TITLES, RowsToScore, Scored
from stackae.data.inspect.sentences import about_outliers
from stackae.data.outliers import Outlier, outliers
from stackae.data.paired import PairedRows
from stackae.errors import argument

SHOWN = 10  # rows that a note names
FEWEST_STRANGE = 10  # rows, and validation rows: with fewer, a majority above them may be chance


def notes_of(scored: Scored) -> list[str]:
    """Return the notes on these scores."""
    found = (
        _why_no_threshold(scored),
        _why_known(scored),
        _why_left_out(scored),
        _why_error_alone(scored),
        _why_beyond(scored),
        _why_strange(scored),
        _why_missing(scored),
    )
    return [each for each in found if each] + _about_flattened(scored)


def _why_left_out(scored: Scored) -> str:
    """Return which methods are left out and why; "" if all that were requested are there."""
    reasons: dict[str, list[str]] = {}
    for name, reason in scored.left_out.items():
        reasons.setdefault(reason, []).append(TITLES[name])
    found = [f"{' and '.join(names)} are left out: {reason}" for reason, names in reasons.items()]
    return "baselines   " + "; ".join(found) if found else ""


def _why_error_alone(scored: Scored) -> str:
    """Return why the score is the reconstruction error alone; "" if it is not, or --layer asks for it."""
    if scored.default != "autoencoder" or scored.score.layer is not None:
        return ""
    return (
        "score       the reconstruction error alone: the run keeps no training rows to compare with, as an older one "
        "whose data cannot be read, or one of too few rows, or the memory does not suffice"
    )


def _why_beyond(scored: Scored) -> str:
    """Return which rows have a score that overflows; "" if none has."""
    numbers = [scored.rows.number_of(index) for index in scored.beyond.tolist()]
    if not numbers:
        return ""
    shown = ", ".join(map(str, numbers[:SHOWN]))
    more = f" and {len(numbers) - SHOWN:,} more" if len(numbers) > SHOWN else ""
    return (
        f"beyond      row{'s' if len(numbers) > 1 else ''} {shown}{more}: too far from what the run was trained on for "
        "a number; the score counts as infinite"
    )


def _why_strange(scored: Scored) -> str:
    """Return a note that most rows are unlike the validation rows; "" if they are not, or anomalies are known."""
    calibration, scores = scored.methods[scored.default].calibration, scored.scores
    if scored.rows.anomaly is not None or min(len(calibration), len(scores)) < FEWEST_STRANGE:
        return ""
    above = int((scores > calibration[-1]).sum())
    if 2 * above <= len(scores):
        return ""
    return (
        f"strange     {above:,} of {len(scores):,} rows score above every validation row: check that their columns are "
        "those that the run was trained on, in the same units"
    )


def _why_missing(scored: Scored) -> str:
    """Return what the scores of rows with missing cells are; "" where there are none, or they are filled."""
    found = [group.x for group in scored.rows.groups if isinstance(group.x, PairedRows) and group.x.missing]
    if not found:
        return ""
    known = torch.cat([x.known(slice(None)).sum(dim=1) for x in found])
    empty, gaps = int((known == 0).sum()), int((known < found[0].shape[1]).sum())
    none = f"; {empty:,} of them have none" if empty else ""
    return (
        f"missing     {gaps:,} rows with missing cells score by their known cells, as if the others were like these"
        f"{none}; other detectors read the mean"
    )


def _about_flattened(scored: Scored) -> list[str]:
    """List the columns that outliers compress: in the training rows, and in the scored rows."""
    names = scored.rows.column_names
    blind = f"pretrain with {argument('scale', 'robust')}, or without them: else a score hardly sees these columns"
    decides = "where such a value is a mistake, correct it: it decides the score of its row"
    trained, rows = scored.calibration.flattened, _flattened(scored.rows)
    return [
        *(f"training    of the training rows, {each}" for each in about_outliers(trained, names, blind)),
        *(f"rows        {each}" for each in about_outliers(rows, names, decides)),
    ]


def _flattened(rows: RowsToScore) -> list[Outlier]:
    """Find the outliers of the first group, in the units of the data."""
    x = rows.groups[0].x
    if not isinstance(x, torch.Tensor):  # bytes have no outliers
        return []

    def unscaled(column: int, value: float) -> float:
        offset, scale = (float(each[column]) for each in (rows.scaling.offset, rows.scaling.scale))
        return float(f"{value * scale + offset:.6g}")  # the precision that float32 keeps

    return [
        Outlier(column, rows.number_of(row), *(unscaled(column, each) for each in values))
        for column, row, *values in outliers(x.numpy(), np.arange(len(x)))
    ]


def _why_known(scored: Scored) -> str:
    """Return the remedy if the run was trained on rows of the named anomalies' classes; "" if it was not."""
    count = scored.rows.anomalies_trained_on
    if not count:
        return ""
    return (
        f"trained on  {count:,} rows of the classes that count as anomalies, so that such rows come back well; "
        f"pretrain with {argument('leave_out')} to tell whether they are found unseen"
    )


def _why_no_threshold(scored: Scored) -> str:
    """Return the remedy if the validation rows are too few for a threshold; "" if they suffice."""
    count, fewest = scored.validation_rows, fewest_rows(scored.rate)
    if count >= fewest:
        return ""
    least = math.ceil(1e4 / (count + 1)) / 1e4
    remedy = f"ask for {argument('false_alarm_rate', least)} or more, or " if count else ""
    return (
        f"threshold   expected at least {fewest:,} validation rows for a false-alarm rate of {scored.rate:g}, got "
        f"{count:,}, so no row is flagged; {remedy}pretrain with a larger {argument('validation_fraction')}"
    )
