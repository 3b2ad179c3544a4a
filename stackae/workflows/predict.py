"""Predict classes, values or labels of rows by the fine-tuned head of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stackae.config.heads import HEADS
from stackae.data.formats import WRITTEN
from stackae.data.formats.writing import Cells, Table
from stackae.data.minibatches import in_order
from stackae.data.rows import Rows
from stackae.data.run_rows import RowsRead
from stackae.errors import ConfigError, RunError, argument, nearest, suggested
from stackae.models.heads import Finetuned
from stackae.models.stack import ROWS_AT_ONCE
from stackae.runs import Run, open_run
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.inputs import DataRequest, rows_of
from stackae.workflows.outputs import Made, MadeOfRows, check_out, write_made

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
    found = []
    for each in predictions(head, x):
        found.append(each)
        tell(sum(len(one.values) for one in found) / max(1, len(x)))
    chosen = [one.chosen for one in found if one.chosen is not None]
    return found[0]._replace(
        values=torch.cat([one.values for one in found]), chosen=torch.cat(chosen) if chosen else None
    )


@torch.no_grad()
def predictions(head: Head, x: Rows) -> Iterator[Prediction]:
    """Predict rows as ``predict_scaled`` does, and yield them in pieces; without rows, one that is empty."""
    for part in in_order(len(x), ROWS_AT_ONCE) if len(x) else [slice(0, 0)]:
        yield _predicted(head, x[part])


def _predicted(head: Head, x: Tensor) -> Prediction:
    outputs = head.model.outputs(x.to(head.model.device)).cpu()
    return Prediction(head.kind, head.names, *head.model.answers(outputs))


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
    """What was predicted: by which head, for which rows, in which file, and in all.

    ``found`` has the rows per class or label, or for each target its minimum, mean and maximum, by "classes", "labels"
    or "targets".
    """

    run: Path
    data: str
    part: str
    which: str
    left_out_rows: int
    rows: int
    head: str
    found: dict[str, list[dict[str, Any]]]
    file: Path

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `stackae predict`."""
        document = self._asdict()
        del document["found"], document["file"]
        return document | self.found | {"file": self.file}


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
    counts = _Counts(loaded.names)
    table = partial(_table, loaded, counts)
    write_made(path, rows, table, opened if out is None else None, callbacks, "predicting")
    read = (opened.path, rows.name, rows.part, rows.which, rows.bad_rows, len(rows.x))
    return PredictResult(*read, loaded.kind, counts.document(), path)


class _Figures(NamedTuple):
    """Of some predictions: the rows, and per class or label; for each target its minimum, sum and maximum."""

    rows: int
    chosen: Tensor | None
    of_classes: bool
    low: Tensor
    sum: Tensor
    high: Tensor

    @classmethod
    def of(cls, found: Prediction) -> _Figures:
        values, chosen = found.values.double(), found.chosen
        of_classes = chosen is None or chosen.dim() == 1
        if chosen is not None:
            chosen = chosen.bincount(minlength=len(found.names)) if of_classes else chosen.sum(dim=0)
        return cls(len(values), chosen, of_classes, values.amin(dim=0), values.sum(dim=0), values.amax(dim=0))


class _Counts:
    """The predictions so far: rows per class or label; for each target its minimum, mean and maximum."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        low, zero, high = (torch.full((len(names),), each).double() for each in (math.inf, 0.0, -math.inf))
        self._so_far = _Figures(0, None, True, low, zero, high)

    def add(self, found: _Figures) -> None:
        so_far, chosen = self._so_far, found.chosen
        if chosen is not None and so_far.chosen is not None:
            chosen = so_far.chosen + chosen
        self._so_far = _Figures(
            so_far.rows + found.rows,
            chosen,
            found.of_classes,
            torch.minimum(so_far.low, found.low),
            so_far.sum + found.sum,
            torch.maximum(so_far.high, found.high),
        )

    def document(self) -> dict[str, list[dict[str, Any]]]:
        rows, chosen, of_classes, low, total, high = self._so_far
        if chosen is None:
            each = zip(self._names, *(each.tolist() for each in (low, total / rows, high)), strict=True)
            return {"targets": [dict(zip(("target", "lowest", "mean", "highest"), one, strict=True)) for one in each]}
        one, several = ("class", "classes") if of_classes else ("label", "labels")
        counts = zip(self._names, chosen.tolist(), strict=True)
        return {several: [{one: name, "rows": count} for name, count in counts]}


def _table(head: Head, counts: _Counts, rows: RowsRead) -> Table:
    """Return columns: what is ``beside`` each row; then class and p(CLASS), the targets, or LABEL and p(LABEL)."""

    def made(x: Tensor) -> Made:
        found = _predicted(head, x)
        return Made(found.values, _decisions(head.names, found.chosen), _Figures.of(found))

    pieces = MadeOfRows(rows, f"predictions of the {head.kind}", made, counts.add)
    decides = HEADS[head.kind].has_error
    return Table([f"p({name})" for name in head.names] if decides else head.names, len(rows.x), pieces)


def _decisions(names: Sequence[str], chosen: Tensor | None) -> list[tuple[str, Cells]]:
    """Return the class of each row, or a column per label."""
    if chosen is None:
        return []
    if chosen.dim() == 1:
        return [("class", [names[index] for index in chosen.tolist()])]
    return list(zip(names, chosen.T.numpy(), strict=True))
