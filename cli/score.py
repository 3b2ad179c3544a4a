"""stackae score: score how anomalous rows are to a trained run."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from stackae.errors import shown

from . import options as o
from .console import emit_json, number, percent, run_option, say, table
from .options import option
from .progress import Shown

if TYPE_CHECKING:
    from stackae.workflows.scoring import ScoreResult

EXAMPLES = """[bold]Examples[/bold]

stackae score

stackae score --data new.csv --false-alarm-rate 0.001 --out found.csv

stackae score --data tested.csv --target state --anomalies broken,worn

stackae score --against fashion-mnist --data-root DIR
"""


def command(
    ctx: typer.Context,
    data: o.DataOfRun = None,
    part: o.Part = None,
    data_root: o.DataRootOfRun = None,
    storage: o.Storage = None,
    delimiter: o.Delimiter = None,
    decimal: o.Decimal = None,
    encoding: o.Encoding = None,
    header: o.Header = None,
    missing_values: o.MissingValuesOfRun = None,
    target: o.TargetOfRun = None,
    anomalies: Annotated[
        o.Text,
        option("--anomalies", "Labels of the anomalies; other labels are normal.", o.DATA, metavar="<a,b>"),
    ] = None,
    against: Annotated[
        o.Text,
        option(
            "--against",
            "Other data whose rows are anomalies: their test part, or all of them.",
            o.DATA,
            metavar="<name|file>",
        ),
    ] = None,
    layer: Annotated[
        o.Text,
        option(
            "--layer", "Score by the reconstruction error through this layer alone, from 1.", o.LAYERS, metavar="<int>"
        ),
    ] = None,
    false_alarm_rate: Annotated[
        str,
        option("--false-alarm-rate", "Maximum share of normal rows to flag.", o.SCORES, "0.01", metavar="<float>"),
    ] = "0.01",
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines/--no-baselines",
            help="Score by other detectors too.",
            rich_help_panel=o.SCORES,
            show_default=False,
        ),
    ] = True,
    count: Annotated[
        str, option("--count", "Most suspicious rows to look into.", o.SCORES, "8", metavar="<int>")
    ] = "8",
    engine: o.Engine = None,
    run: o.RunFolder = None,
    out: Annotated[
        Path | None,
        option("--out", f"File to write, {o.OUT_TABLES}.", o.OUTPUT, "scores.csv in the run folder", metavar="<file>"),
    ] = None,
    force: o.Force = False,
    json: o.Json = False,
) -> None:
    """Score how unlike the training rows of the newest run others are, and flag those above a threshold.

    The score joins how unusual a row's code is and how far its code and residual lie from those of training rows.
    The validation rows give the threshold: of rows like them, at most --false-alarm-rate are flagged, on average.
    Beside it: reconstruction error, PCA's with a code as wide, Mahalanobis distance; each with its own threshold.
    What the run was trained on need not be there to score other rows: the run keeps what sets the thresholds.
    With --anomalies or --against it is compared with IsolationForest and LOF too: AUROC, false alarms, detections.

    FILE has a line a row: row (from 0), score, flagged, the same of other methods, and anomaly (1 or 0) if known.
    FILE-features has a line a feature: its mean error, and its error in each of the most suspicious rows.
    FILE.png shows how the scores are spread, and where the most suspicious rows err.
    """
    from stackae.workflows import DataRequest, score

    result = score(
        run,
        data=DataRequest.of_options(ctx.params),
        part=part,
        anomalies=anomalies,
        against=against,
        layer=layer,
        false_alarm_rate=false_alarm_rate,
        baselines=baselines,
        count=count,
        engine=engine or "auto",
        out=out,
        force=force,
        callbacks=Shown(),
    )
    if json:
        emit_json(result.to_dict())
    else:
        _show(result, data)


def _show(result: ScoreResult, data: str | None) -> None:
    from stackae.analysis.scoring import TITLES

    document, scored = result.to_dict(), result.scored
    known = "normal_rows" in document
    what = document["which"]
    columns = ["", "threshold", "median", "flagged"]
    if known:
        what = f"{document['anomalous_rows']:,} anomalous rows among {document['normal_rows']:,} normal ones"
        columns = ["", "threshold", "median", "AUROC", "false alarms", "detected"]
    lines = []
    for name, method in document["methods"].items():
        cells = [f"{method['flagged']:,}"]
        if known:
            cells = [f"{method['auroc']:.4f}", percent(method["false_alarms"]), percent(method["detections"])]
        lines.append([TITLES[name], number(method["threshold"]), number(method["normal_median"]), *cells])
    table(f"{what}; at most {100 * scored.rate:g} % false alarms", columns, lines)
    worst = "  ".join(f"{each['row']} ({each['score']:.4g})" for each in document["most_suspicious"])
    say(f"suspicious  rows {worst}")
    if scored.calibration.image_shape is None:
        errors = "  ".join(f"{each['feature']} ({each['mean_error']:.4g})" for each in document["worst_features"])
        say(f"features    {errors}")
    for title, path in zip(("scores", "features", "picture"), result.files, strict=True):
        say(f"{title:<12}{shown(path.resolve())}")
    of = f" --data {quote(data)}" if data is not None else ""
    say(f"next        stackae reconstruct{run_option(result.run)}{of}")
