"""stackae score: how unusual rows are to a trained run."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as o
from .options import option

if TYPE_CHECKING:
    from stackae.runs import Run

    from .scoring import Scored

MOST_ROWS = 100
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
    target: o.TargetOfRun = None,
    anomalies: Annotated[
        o.Text,
        option("--anomalies", "Labels of the rows that are anomalies; other labels are normal.", o.DATA, metavar="A,B"),
    ] = None,
    against: Annotated[
        o.Text,
        option("--against", "Other data whose rows are anomalies: their test part, or all of them.", o.DATA),
    ] = None,
    layer: Annotated[o.Text, option("--layer", "Reconstruct through this layer, from 1.", o.LAYERS, "the top")] = None,
    false_alarm_rate: Annotated[
        str,
        option("--false-alarm-rate", "Share of normal rows that may be flagged, at most.", o.SCORES, "0.01"),
    ] = "0.01",
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines/--no-baselines",
            help="Score by PCA and Mahalanobis distance too.",
            rich_help_panel=o.SCORES,
            show_default=False,
        ),
    ] = True,
    count: Annotated[str, option("--count", "Most suspicious rows to look into.", o.SCORES, "8")] = "8",
    engine: o.Engine = None,
    run: o.RunFolder = None,
    out: Annotated[
        Path | None,
        option("--out", "File to write.", o.OUTPUT, "scores.csv in the run folder", metavar="FILE.csv"),
    ] = None,
    force: o.Force = False,
    json: o.Json = False,
) -> None:
    """Score rows by how badly the newest run reconstructs them, and flag those above a threshold.

    The score of a row is its squared reconstruction error, summed over its scaled features.
    The validation rows give the threshold: of rows like them, at most --false-alarm-rate are flagged, on average.
    Beside it: PCA's error with a code as wide, and the squared Mahalanobis distance, each with its own threshold.
    What the run was trained on need not be there to score other rows: the run keeps what sets the thresholds.
    With --anomalies or --against the methods are compared: AUROC, false alarms, detections.

    FILE.csv has a line a row: row (from 0), score, flagged, the same of the baselines, and anomaly (1 or 0) if known.
    FILE-features.csv has a line a feature: its mean error, and its error in each of the most suspicious rows.
    FILE.png shows how the scores are spread, and where the most suspicious rows err.
    """
    from stackae.runs import open_run
    from stackae.runs.durable import write_files
    from stackae.runs.run import calibration_file
    from stackae.workflows.inputs import share, whole_number

    from .console import emit_json, note
    from .score_files import files_of
    from .score_notes import warnings_of
    from .scored_rows import read_rows
    from .scoring import calibration_of, score_all

    opened = open_run(run)
    rate = share("--false-alarm-rate", false_alarm_rate)
    shown_rows = whole_number("--count", count, MOST_ROWS)
    number = whole_number("--layer", layer, len(opened.pretrain_config.layers)) if layer else None
    path = _checked(out or opened.path / "scores.csv", must_be_new=out is not None and not force)
    stack = opened.load_stack(engine or "auto")
    rows = read_rows(opened, ctx.params)
    calibration = calibration_of(stack, rows)
    scored = score_all(stack, rows, calibration, number, rate, baselines)
    files = files_of(path.stem, scored, shown_rows)
    if out is None:
        opened.publish(files | ({} if opened.has_calibration else calibration_file(calibration)))
    else:
        write_files(path.parent, files)
    for warning in warnings_of(scored):
        note(warning)
    document = {"run": str(opened.path), **_document(scored), "files": [str(path.parent / name) for name in files]}
    if json:
        emit_json(document)
    else:
        _show(scored, document)
        _close(path.parent, list(files), opened, data)


def _checked(path: Path, must_be_new: bool) -> Path:
    from stackae.workflows.outputs import check_out

    from .score_files import names_of

    check_out(path, (".csv",), must_be_new=must_be_new)
    for name in names_of(path.stem):
        check_out(path.with_name(name), (".csv", ".png"), must_be_new=must_be_new)
    return path


def _document(scored: Scored) -> dict[str, Any]:
    rows = scored.rows
    worst = scored.errors.argsort(descending=True)[:5].tolist()
    document: dict[str, Any] = {
        "data": rows.groups[0].name,
        "part": rows.part,
        "which": rows.groups[0].which,
        "rows": len(rows.groups[0].x),
        "layer": scored.layer,
        "false_alarm_rate": scored.rate,
        "validation_rows": scored.validation_rows,
        "baselines_left_out": scored.left_out or None,
        "methods": {name: _method(scored, name) for name in scored.methods},
        "worst_features": [
            {"feature": rows.feature_name(place), "mean_error": float(scored.errors[place])} for place in worst
        ],
        "most_suspicious": [
            {"data": rows.place_of(index)[0].name, "row": rows.number_of(index), "score": float(scored.scores[index])}
            for index in scored.most_suspicious(5, 0).tolist()
        ],
        "beyond": [
            {"data": rows.place_of(index)[0].name, "row": rows.number_of(index)} for index in scored.beyond.tolist()
        ],
    }
    if rows.anomaly is not None:
        document["against"] = rows.groups[1].name if len(rows.groups) > 1 else None
        document["normal_rows"] = int((rows.anomaly == 0).sum())
        document["anomalous_rows"] = int((rows.anomaly == 1).sum())
        document["anomalous_rows_trained_on"] = rows.anomalies_trained_on
    return document


def _method(scored: Scored, name: str) -> dict[str, Any]:
    method, anomaly, performance = scored.methods[name], scored.rows.anomaly, scored.performance(name)
    normal = method.scores if anomaly is None else method.scores[anomaly == 0]
    return {
        "threshold": _number(method.threshold),
        "flagged": int(method.flagged.sum()),
        "normal_median": _number(float(normal.median())),
        **(performance._asdict() if performance else {}),
    }


def _number(value: float) -> float | None:
    """None where it is infinite: JSON has no such number."""
    return value if isfinite(value) else None


def _show(scored: Scored, document: dict[str, Any]) -> None:
    from .console import say, table

    known = "normal_rows" in document
    what = document["which"]
    if known:
        what = f"{document['anomalous_rows']:,} anomalous rows among {document['normal_rows']:,} normal ones"
    columns = [
        "",
        "threshold",
        "normal median" if known else "median",
        *(["AUROC", "false alarms", "detected"] if known else ["flagged"]),
    ]
    lines = []
    for name, method in document["methods"].items():
        threshold = "-" if method["threshold"] is None else f"{method['threshold']:.4g}"
        figures = [f"{method['flagged']:,}"]
        if known:
            shares = [f"{100 * method[each]:.2f} %" for each in ("false_alarms", "detections")]
            figures = [f"{method['auroc']:.4f}", *shares]
        median = "-" if method["normal_median"] is None else f"{method['normal_median']:.4g}"
        lines.append([name, threshold, median, *figures])
    table(f"{what}; at most {100 * scored.rate:g} % false alarms", columns, lines)
    worst = "  ".join(f"{each['row']} ({each['score']:.4g})" for each in document["most_suspicious"])
    say(f"suspicious  rows {worst}")
    if scored.calibration.image_shape is None:
        errors = "  ".join(f"{each['feature']} ({each['mean_error']:.4g})" for each in document["worst_features"])
        say(f"features    {errors}")


def _close(folder: Path, names: list[str], opened: Run, data: str | None) -> None:
    from .console import run_option, say, shown

    for title, name in zip(("scores", "features", "picture"), names, strict=True):
        say(f"{title:<12}{shown((folder / name).resolve())}")
    of = f" --data {quote(data)}" if data is not None else ""
    say(f"next        stackae reconstruct{run_option(opened)}{of}")
