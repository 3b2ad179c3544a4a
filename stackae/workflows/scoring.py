"""Score how unlike its training rows a trained run finds others, with thresholds, beside other detectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from stackae.analysis.anomaly import ReconstructionError, feature_errors
from stackae.analysis.calibration import CalibratedScore, Calibration, calibrations, fit_calibrated
from stackae.analysis.combined import fit_combined
from stackae.analysis.peers import fit_peers
from stackae.analysis.principal import principal_of
from stackae.analysis.score_notes import notes_of
from stackae.analysis.scoring import Method, RowsToScore, Scored, score_all
from stackae.data.formats import WRITTEN_TABLES
from stackae.data.run_rows import RowsRead
from stackae.errors import DataError, argument
from stackae.models.stack import StackedAutoencoder
from stackae.ranks.turns import dividing
from stackae.runs import Run, open_run
from stackae.runs.durable import write_files
from stackae.runs.run import calibration_file
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.faults import explained
from stackae.workflows.inputs import DataRequest, share, whole_number
from stackae.workflows.outputs import check_out, shared_rows
from stackae.workflows.score_files import files_of, names_of
from stackae.workflows.score_rows import read_rows

MOST_ROWS = 100
FITTING = "fitting PCA and Mahalanobis distance on the training rows"
UNREADABLE = "the training data cannot be read"


class ScoreResult(NamedTuple):
    """Scores of rows by a run, and the files that hold them: of rows, of features, and a picture."""

    run: Path
    scored: Scored
    files: tuple[Path, Path, Path]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `stackae score`."""
        return {"run": str(self.run), **self.scored.to_dict(), "files": [str(path) for path in self.files]}


def score(
    run: Run | Path | str | None = None,
    *,
    data: DataRequest | str | None = None,
    part: str | None = None,
    anomalies: str | None = None,
    against: str | None = None,
    layer: int | str | None = None,
    false_alarm_rate: float | str = 0.01,
    baselines: bool = True,
    count: int | str = 8,
    engine: str = "auto",
    out: Path | str | None = None,
    force: bool = False,
    callbacks: Callbacks | None = None,
) -> ScoreResult:
    """Score rows by ``stackae.analysis.combined.CombinedScore``, and flag those above a threshold.

    Args:
        run: a run folder; None is the newest run.
        data: other rows than the test part of the run's own: a file or a named set, or a ``DataRequest`` that says
            where named sets lie, and which column of a table holds labels.
        part: test, validation, train or all.
        anomalies: labels of anomalies, as "broken,worn"; other labels are normal.
        against: other data whose rows are anomalies.
        layer: score by the reconstruction error through this layer, from 1, summed over scaled features.
        false_alarm_rate: maximum expected share of normal rows that are flagged.
        baselines: score by PCA and Mahalanobis distance too; where anomalies are known, also by IsolationForest and
            LocalOutlierFactor.
        count: number of most suspicious rows that the files detail.
        out: the table to write, in the format of its suffix; None is scores.csv of the run. The other files lie beside
            it. ``force`` replaces existing files.
        callbacks: receive notes and progress.

    Raises:
        ConfigError: an invalid argument. RunError: no such run, or a damaged one. DataError: rows that cannot be read,
            none, or only of one kind. DiskError: the files could not be written.
    """
    callbacks = callbacks or Callbacks()
    opened = open_run(run)
    rate = share(argument("false_alarm_rate"), false_alarm_rate)
    shown = whole_number(argument("count"), count, MOST_ROWS)
    number = whole_number(argument("layer"), layer, len(opened.pretrain_config.layers)) if layer else None
    path = opened.path / "scores.csv" if out is None else Path(out)
    _check(path, must_be_new=out is not None and not force)
    stack = opened.load_stack(engine)
    rows = read_rows(opened, DataRequest.of(data), part, anomalies, against, baselines, callbacks)
    calibration = _calibration(stack, rows, callbacks)
    kept = rows.calibration is not None and rows.calibration.combined is calibration.combined
    scored = _scored(stack, rows, calibration, number, rate, baselines, opened.pretrain_config.seed, callbacks)
    with files_of(path, scored, shown, callbacks) as files:
        if out is None:
            opened.publish(files | ({} if kept else calibration_file(calibration)))
        else:
            write_files(path.parent, files)
    for each in notes_of(scored):
        callbacks.note(each)
    written, features, picture = (path.parent / name for name in files)
    return ScoreResult(opened.path, scored, (written, features, picture))


def _check(path: Path, must_be_new: bool) -> None:
    check_out(path, WRITTEN_TABLES, must_be_new=must_be_new)
    for name in names_of(path):
        check_out(path.with_name(name), (*WRITTEN_TABLES, ".png"), must_be_new=must_be_new)


def _calibration(stack: StackedAutoencoder, rows: RowsToScore, callbacks: Callbacks) -> Calibration:
    """Return the run's calibration; what it does not keep of it, compute from the data that it was trained on."""
    kept, own = rows.calibration, rows.own
    if own is None:
        assert kept is not None  # without a kept calibration, the data were read
        return kept
    if kept is not None:
        return kept if kept.combined else replace(kept, combined=fit_combined(stack, own.train.x, own.validation.x))
    callbacks.busy(FITTING)
    return next(calibrations([stack], own, principal_of(own.train.x)))


def _scored(
    stack: StackedAutoencoder,
    rows: RowsToScore,
    calibration: Calibration,
    layer: int | None,
    rate: float,
    baselines: bool,
    seed: int,
    callbacks: Callbacks,
) -> Scored:
    """Find the thresholds, and score all rows."""
    scores, left_out = calibration.scores(stack, layer, baselines=baselines), dict[str, str]()
    if baselines and calibration.baselines is None:
        large, reason = _large_baselines(stack, rows, layer, callbacks)
        scores |= large
        left_out |= dict.fromkeys(("pca", "mahalanobis") if reason else (), reason)
    if baselines and rows.anomaly is not None:
        if rows.own is None:
            left_out |= dict.fromkeys(("isolation_forest", "lof"), UNREADABLE)
        else:
            callbacks.busy("fitting IsolationForest and LOF")
            scores |= fit_peers(rows.own.train.x, rows.own.validation.x, seed)
    score = ReconstructionError(stack, layer)
    with callbacks.progress("scoring") as tell, shared_rows(rows.reads, partial(scored_rows, scores, score, rate)):
        methods, errors = scored_rows(scores, score, rate, *rows.reads, tell=tell)
    return Scored(rows, calibration, score, rate, methods, errors, left_out)


def scored_rows(
    scores: Mapping[str, CalibratedScore],
    score: ReconstructionError,
    rate: float,
    *reads: RowsRead,
    tell: Callable[[float], None] = lambda share: None,
) -> tuple[dict[str, Method], Tensor]:
    """Score rows by every method, and find the errors of the features of the first, which ranks that share the work
    divide: all find the same."""
    with dividing():
        return score_all(scores, [each.x for each in reads], rate, tell), feature_errors(score, reads[0].x)


def _large_baselines(
    stack: StackedAutoencoder, rows: RowsToScore, layer: int | None, callbacks: Callbacks
) -> tuple[dict[str, CalibratedScore], str]:
    """Fit the baselines that the run does not keep, or return the reason why they are left out."""
    if rows.own is None:
        return {}, "they are too large to be kept in the run, and its training data cannot be read"
    callbacks.busy(FITTING)
    try:
        return fit_calibrated(stack, rows.own.train.x, rows.own.validation.x, layer), ""
    except (DataError, MemoryError, RuntimeError) as error:  # out of memory, in numpy, torch or a check
        reason = error if isinstance(error, DataError) else explained(error)
        if reason is None:
            raise
        return {}, str(reason)
