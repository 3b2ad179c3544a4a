"""What the fine-tuned head of a run says of rows, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stackae.data.formats import WRITTEN
from stackae.data.formats.writing import Table, check_finite
from stackae.runs import Run, open_run
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.inputs import DataRequest, rows_of
from stackae.workflows.outputs import check_out, write_table
from stackae.workflows.predict import Prediction, load_head, predict_scaled


class PredictResult(NamedTuple):
    """The prediction of rows, which rows they are, and the file that holds it."""

    run: Path
    data: str
    part: str
    which: str
    left_out_rows: int
    prediction: Prediction
    file: Path

    def to_dict(self) -> dict[str, Any]:
        """For programs: how many rows are of each class, or have each label; or what each target reaches."""
        document = self._asdict() | {"rows": len(self.prediction.values), "head": self.prediction.kind}
        del document["prediction"], document["file"]
        return document | _counts(self.prediction) | {"file": self.file}


def predict_run(
    run: Run | Path | str | None = None,
    *,
    data: DataRequest | str | None = None,
    part: str | None = None,
    head: str | None = None,
    engine: str = "auto",
    out: Path | str | None = None,
    force: bool = False,
    callbacks: Callbacks | None = None,
) -> PredictResult:
    """Write the class, the values or the labels of rows by a head of the run.

    Args:
        head: classifier, regressor or multilabel; None is the one that was trained last.
        out: a .csv or .npy file; None is predictions.csv of the run.

    Others, and errors, are those of ``stackae.workflows.score``.
    """
    told = callbacks or Callbacks()
    opened = open_run(run)
    path = opened.path / "predictions.csv" if out is None else Path(out)
    check_out(path, WRITTEN, must_be_new=out is not None and not force)
    loaded = load_head(opened, head, engine)
    rows = rows_of(opened, DataRequest.of(data), part, told, labels=False)
    with told.progress("predicting") as tell:
        found = predict_scaled(loaded, rows.x, tell)
    numbers = rows.numbers.tolist()
    check_finite(f"predictions of the {loaded.kind}", found.values.numpy(), numbers)
    write_table(path, _table(found, numbers), opened if out is None else None, told, rows.bad_rows)
    return PredictResult(opened.path, rows.name, rows.part, rows.which, rows.bad_rows, found, path)


def _table(found: Prediction, numbers: Sequence[int]) -> Table:
    """row, then what the answer is: class and p(CLASS), or targets, or LABEL (1 or 0) and p(LABEL)."""
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
            found.names, *(one.tolist() for one in (columns.amin(0), columns.mean(0), columns.amax(0))), strict=True
        )
        return {"targets": [dict(zip(("target", "lowest", "mean", "highest"), one, strict=True)) for one in each]}
    of_classes = found.kind == "classifier"
    counts = (found.chosen.bincount(minlength=len(found.names)) if of_classes else found.chosen.sum(dim=0)).tolist()
    one, several = ("class", "classes") if of_classes else ("label", "labels")
    return {several: [{one: name, "rows": count} for name, count in zip(found.names, counts, strict=True)]}
