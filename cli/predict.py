"""stackae predict: what a fine-tuned head says of rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from . import options as o
from .options import option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stackae.predict import Prediction
    from stackae.runs import Run
    from stackae.tables import Table

EXAMPLES = """[bold]Examples[/bold]

stackae predict --data new.csv

stackae predict --data new.csv --out answers.csv --run runs/seeds

stackae predict --data new.npy --head regressor --out values.npy
"""
SHOWN = 20


def command(
    data: o.DataOfRun = None,
    part: o.Part = None,
    data_root: o.DataRootOfRun = None,
    target: o.TargetOfRun = None,
    head: Annotated[
        o.Text, option("--head", "classifier, regressor or multilabel.", o.LAYERS, "the one trained last")
    ] = None,
    engine: o.Engine = None,
    run: o.RunFolder = None,
    out: Annotated[
        Path | None,
        option("--out", f"File to write, {o.TABLES}.", o.OUTPUT, "predictions.csv in the run folder", metavar="FILE"),
    ] = None,
    force: o.Force = False,
    json: o.Json = False,
) -> None:
    """Predict the class, the values or the labels of rows by the head of the newest run.

    A text file has a line per row: row (from 0), then class and p(CLASS) for each class, or the value of each target,
    or LABEL (1 or 0) and p(LABEL) for each label. FILE.npy has the probabilities or values alone, float32.
    """
    from stackae.data.formats import WRITTEN
    from stackae.predict import load_head, predict_scaled
    from stackae.runs import open_run
    from stackae.tables import check_finite
    from stackae.workflows.inputs import DataRequest, rows_of
    from stackae.workflows.outputs import check_out, write_table

    from .console import emit_json
    from .progress import Shown

    opened = open_run(run)
    path = out or opened.path / "predictions.csv"
    check_out(path, WRITTEN, must_be_new=out is not None and not force)
    loaded = load_head(opened, head, engine or "auto")
    rows = rows_of(opened, DataRequest(data, data_root, target), part, Shown(), labels=False)
    with Shown().progress("predicting") as told:
        found = predict_scaled(loaded, rows.x, told)
    check_finite(f"predictions of the {loaded.kind}", found.values.numpy(), rows.numbers.tolist())
    write_table(path, table_of(found, rows.numbers.tolist()), opened if out is None else None, Shown(), rows.bad_rows)
    document = {
        "run": str(opened.path),
        "data": rows.name,
        "part": rows.part,
        "which": rows.which,
        "left_out_rows": rows.bad_rows,
        "rows": len(rows.x),
        "head": loaded.kind,
        **_counts(found),
        "file": str(path),
    }
    if json:
        emit_json(document)
        return
    _show(document, path, opened)


def table_of(found: Prediction, numbers: Sequence[int]) -> Table:
    """row, then what the answer is: class and p(CLASS), or targets, or LABEL (1 or 0) and p(LABEL)."""
    from stackae.tables import Table

    values, row = found.values.numpy(), ("row", numbers)
    if found.chosen is None:
        return Table(found.names, values, [row])
    likely = [f"p({name})" for name in found.names]
    if found.kind == "classifier":
        return Table(likely, values, [row, ("class", found.classes)])
    labels = zip(found.names, found.chosen.T.tolist(), strict=True)
    return Table(likely, values, [row, *labels])


def _counts(found: Prediction) -> dict[str, Any]:
    """How many rows are of each class, or have each label; of each target the lowest, the mean and the highest."""
    if found.chosen is None:
        columns = found.values.double()
        each = zip(
            found.names, columns.amin(0).tolist(), columns.mean(0).tolist(), columns.amax(0).tolist(), strict=True
        )
        return {"targets": [dict(zip(("target", "lowest", "mean", "highest"), one, strict=True)) for one in each]}
    if found.kind == "classifier":
        counts = found.chosen.bincount(minlength=len(found.names)).tolist()
        return {"classes": [{"class": name, "rows": count} for name, count in zip(found.names, counts, strict=True)]}
    counts = found.chosen.sum(dim=0).tolist()
    return {"labels": [{"label": name, "rows": count} for name, count in zip(found.names, counts, strict=True)]}


def _show(document: dict[str, Any], path: Path, run: Run) -> None:
    from .console import run_option, say, shown, table

    what = next(name for name in ("classes", "targets", "labels") if name in document)
    each = document[what]
    columns = list(each[0])
    if what == "classes":
        each = [one for one in each if one["rows"]]  # those that are predicted, the most frequent first
        each.sort(key=lambda one: -int(one["rows"]))
    more = f", {SHOWN} of {len(each):,} {what}" if len(each) > SHOWN else ""
    lines = [[_cell(value) for value in one.values()] for one in each[:SHOWN]]
    title = f"Predicted for {document['which']}{more}"
    table(title, columns, lines)
    say(f"predicted   {shown(path.resolve())}")
    say(f"next        stackae evaluate{run_option(run)}")


def _cell(value: object) -> str:
    from stackae.errors import legible

    return legible(value) if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
