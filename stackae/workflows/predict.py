"""Predict classes, values or labels of rows by the fine-tuned head of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from stackae.config.heads import HEADS
from stackae.data.formats import WRITTEN
from stackae.data.formats.writing import Table, check_finite
from stackae.data.rows import Rows
from stackae.errors import ConfigError, RunError, argument, nearest, suggested
from stackae.models.heads import Finetuned
from stackae.models.stack import in_batches
from stackae.runs import Run, open_run
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.inputs import DataRequest, rows_of
from stackae.workflows.outputs import check_out, write_table

PREDICTING = [head for head, row in HEADS.items() if row.predicts]


class Head(NamedTuple):
    """A trained head of a run on its encoders, and the names of its outputs: classes, targets or labels."""

    kind: str
    model: Finetuned
    names: tuple[str, ...]


class Prediction(NamedTuple):
    """The outputs of a head for n rows.

    values (n, k) float32 has one column per name. A classifier gives the probabilities of the classes, which sum to 1;
    a regressor the targets in their own units, float64 if those were; a multilabel head the probability of each label.
    chosen is a classifier's class per row, (n,) int64, an index into ``names``; a multilabel head's (n, k) int64, 1
    where a label has probability above 1/2; None for a regressor.
    """

    kind: str
    names: tuple[str, ...]
    values: Tensor
    chosen: Tensor | None

    @property
    def classes(self) -> list[str]:
        """Return the class name of each row; for a classifier only."""
        if self.chosen is None or self.chosen.dim() > 1:
            raise TypeError(f"classes: expected the prediction of a classifier, got that of a {self.kind}")
        return [self.names[index] for index in self.chosen.tolist()]


def load_head(run: Run, head: str | None = None, engine: str = "auto") -> Head:
    """Load the head of that kind, by default the predicting head that was trained last.

    Raises:
        ConfigError: no kind of head that predicts. RunError: the run has none.
    """
    if head is not None and head not in PREDICTING:
        heads = ", ".join(PREDICTING)
        raise ConfigError(f"{argument('head')}: expected {heads}, got '{head}'{nearest(head, PREDICTING)}")
    kind = head or _last_trained(run)
    return Head(kind, *run.load_head(kind, engine))


def predict_scaled(head: Head, x: Rows, tell: Callable[[float], None] = lambda share: None) -> Prediction:
    """Predict rows (n, n_visible) that are already scaled; ``tell`` is called with the share that is done."""
    done, model = 0, head.model

    def outputs(part: Tensor) -> Tensor:
        nonlocal done
        done += len(part)
        tell(done / max(1, len(x)))
        return model.outputs(part)

    made = in_batches(outputs, x, model.device).cpu()
    return Prediction(head.kind, head.names, *model.answers(made))


def _last_trained(run: Run) -> str:
    """Return the head of the last fine-tuning; if that was for reconstruction, the last one in the epoch records."""
    settings, present = run.config.finetune, [head for head in PREDICTING if run.has_head(head)]
    if settings is not None and settings.head in present:
        return settings.head
    if not present:
        raise RunError(
            f"{run.path}: expected a run with a {', a '.join(PREDICTING[:-1])} or a {PREDICTING[-1]} head, got none; "
            f"train one by `{suggested('finetune', '--head', 'classifier', '--run', run.path)}`"
        )
    return present[0] if len(present) == 1 else _last_recorded(run.metrics(), present)


def _last_recorded(records: list[dict[str, Any]], present: list[str]) -> str:
    stages = [str(record["stage"]) for record in records if record["event"] == "epoch"]
    return next((stage for stage in reversed(stages) if stage in present), present[0])


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
        """Return the JSON document of `stackae predict`: rows per class or label, or the range of each target."""
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
    """Predict classes, values or labels of rows by a head of the run, and write them as a table.

    Args:
        head: classifier, regressor or multilabel; None is the one that was trained last.
        out: the table to write, in the format of its suffix; None is predictions.csv of the run.

    Other arguments, and errors, are those of ``stackae.workflows.score``.
    """
    callbacks = callbacks or Callbacks()
    opened = open_run(run)
    path = opened.path / "predictions.csv" if out is None else Path(out)
    check_out(path, WRITTEN, must_be_new=out is not None and not force)
    loaded = load_head(opened, head, engine)
    rows = rows_of(opened, DataRequest.of(data), part, callbacks, labels=False)
    with callbacks.progress("predicting") as tell:
        found = predict_scaled(loaded, rows.x, tell)
    check_finite(f"predictions of the {loaded.kind}", found.values.numpy(), rows.numbers.tolist())
    write_table(path, _table(found, rows.beside), opened if out is None else None, callbacks, rows.bad_rows)
    return PredictResult(opened.path, rows.name, rows.part, rows.which, rows.bad_rows, found, path)


def _table(found: Prediction, beside: Sequence[tuple[str, Sequence[object]]]) -> Table:
    """Return columns: what is ``beside`` each row; then class and p(CLASS), the targets, or LABEL and p(LABEL)."""
    values = found.values.numpy()
    if found.chosen is None:
        return Table(found.names, values, beside)
    likely = [f"p({name})" for name in found.names]
    if found.chosen.dim() == 1:
        return Table(likely, values, [*beside, ("class", found.classes)])
    labels = zip(found.names, found.chosen.T.tolist(), strict=True)
    return Table(likely, values, [*beside, *labels])


def _counts(found: Prediction) -> dict[str, Any]:
    """Return rows per class or label; for each target its minimum, mean and maximum."""
    if found.chosen is None:
        columns = found.values.double()
        each = zip(
            found.names, *(one.tolist() for one in (columns.amin(0), columns.mean(0), columns.amax(0))), strict=True
        )
        return {"targets": [dict(zip(("target", "lowest", "mean", "highest"), one, strict=True)) for one in each]}
    of_classes = found.chosen.dim() == 1
    counts = (found.chosen.bincount(minlength=len(found.names)) if of_classes else found.chosen.sum(dim=0)).tolist()
    one, several = ("class", "classes") if of_classes else ("label", "labels")
    return {several: [{one: name, "rows": count} for name, count in zip(found.names, counts, strict=True)]}
