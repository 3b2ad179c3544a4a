"""``stackae.evaluate``: how good a stack or a model is on rows."""

from __future__ import annotations

from typing import Any, overload

from stackae.api.model import FinetunedModel
from stackae.api.rows import check_made, divided_rows, source_of
from stackae.api.stack import PretrainedStack
from stackae.config.heads import HEADS
from stackae.data.arraylike import ArrayLike
from stackae.data.classes import match_classes
from stackae.metrics import ClassifierReport
from stackae.models.evaluation import ReconstructionReport, evaluate_reconstruction
from stackae.models.heads.multilabel import MultilabelReport
from stackae.models.heads.regressor import TargetReport

Report = (
    ClassifierReport | MultilabelReport | ReconstructionReport | list[TargetReport | None] | list[ReconstructionReport]
)
"""What ``evaluate`` finds: of a classifier, a multilabel head, a reconstruction, a regressor (per target), a stack (per
layer)."""


@overload
def evaluate(model: PretrainedStack, x: ArrayLike) -> list[ReconstructionReport]: ...
@overload
def evaluate(model: FinetunedModel, x: ArrayLike, y: ArrayLike | None = None) -> Any: ...
def evaluate(model: PretrainedStack | FinetunedModel, x: ArrayLike, y: ArrayLike | None = None) -> Report:
    """Measure a stack or a model on rows: errors of reconstruction, or of predictions, averaged over the rows.

    Args:
        model: what ``pretrain``, ``finetune`` or ``load`` gives. A stack gives a ``ReconstructionReport`` per layer, a
            classifier a ``ClassifierReport``, a multilabel head a ``MultilabelReport``, a regressor a ``TargetReport``
            per target, and a reconstruction one ``ReconstructionReport``.
        x: (n, n_visible) rows in the units of its data.
        y: targets of the rows as ``finetune`` takes them; labels are known by their names. None for reconstruction.

    Raises:
        DataError: rows of another width, what is no finite real number, or no targets where the head has some.
    """
    check_made("model", model, PretrainedStack, FinetunedModel)
    if isinstance(model, PretrainedStack):
        rows = divided_rows(source_of(x, y, None), None, model.scaling).train.x
        return evaluate_reconstruction(model.network, rows)
    learns = HEADS[model.head].targets
    source = source_of(x, y, learns)
    part = divided_rows(source, None, model.stack.scaling).train
    targets = match_classes(part.y, source.classes, model.names).y if learns == "classes" else part.y
    found: Report = model.network.report(part.x, targets)
    return found
