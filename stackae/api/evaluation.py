"""``stackae.evaluate``: how good a stack or a model is on rows."""

from __future__ import annotations

from typing import Any, overload

from stackae.api.model import FinetunedModel
from stackae.api.rows import check_made, divided_rows
from stackae.api.stack import PretrainedStack
from stackae.config.heads import HEADS
from stackae.data.arraylike import ArrayLike
from stackae.data.classes import match_classes
from stackae.data.given_rows import Given
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
def evaluate(
    model: PretrainedStack, x: ArrayLike, y: None = None, *, clean: ArrayLike | None = None
) -> list[ReconstructionReport]: ...
@overload
def evaluate(
    model: FinetunedModel, x: ArrayLike, y: ArrayLike | str | None = None, *, clean: ArrayLike | None = None
) -> Any: ...
def evaluate(
    model: PretrainedStack | FinetunedModel,
    x: ArrayLike,
    y: ArrayLike | str | None = None,
    *,
    clean: ArrayLike | None = None,
) -> Report:
    """Measure a stack or a model on rows: errors of reconstruction, or of predictions, averaged over the rows.

    Args:
        model: what ``pretrain``, ``finetune`` or ``load`` gives. A stack gives a ``ReconstructionReport`` per layer, a
            classifier a ``ClassifierReport``, a multilabel head a ``MultilabelReport``, a regressor a ``TargetReport``
            per target, and a reconstruction one ``ReconstructionReport``.
        x: (n, n_visible) rows in the units of its data, or a data frame.
        y: targets of the rows as ``finetune`` takes them; labels are known by their names. None for reconstruction.
        clean: the clean rows of x, which reconstructions are measured against, as ``pretrain`` takes them.

    Raises:
        DataError: rows of another width, what is no finite real number, or no targets where the head has some.
    """
    check_made("model", model, PretrainedStack, FinetunedModel)
    if isinstance(model, PretrainedStack):
        given = Given(x, y, None, clean)
        rows = divided_rows(model.read(given), None, model.scaling).train.x
        return evaluate_reconstruction(model.network, rows)
    learns = HEADS[model.head].targets
    stack = model.stack
    source = stack.read(Given(x, y, learns, clean))
    part = divided_rows(source, None, stack.scaling).train
    targets = match_classes(part.y, source.classes, model.names).y if learns == "classes" else part.y
    found: Report = model.network.report(part.x, targets)
    return found
