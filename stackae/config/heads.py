"""The heads: one table; ``stackae.models.heads`` holds their classes, a module for each.

To add one: its row here, and its module there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HeadName = Literal["classifier", "reconstruction", "regressor", "multilabel"]


@dataclass(frozen=True)
class HeadRow:
    """What is asked of a head."""

    class_name: str
    """Its class, in the module of ``stackae.models.heads`` that has the head's name."""
    targets: Literal["classes", "numbers"] | None = None
    """What it learns besides rows, as ``target_kind`` has it; None where rows are all."""
    fused_on_cuda: bool = False
    """Trained by the fused step of a GPU too, together with the encoders."""
    fused_alone_on_cuda: bool = False
    """The same on the codes of encoders that stand still."""
    has_error: bool = False
    """The share that it has wrong chooses the best epoch, before its loss."""

    @property
    def predicts(self) -> bool:
        """Answers with something other than a reconstruction."""
        return self.targets is not None


HEADS: dict[str, HeadRow] = {
    "classifier": HeadRow(
        "Classifier", targets="classes", fused_on_cuda=True, fused_alone_on_cuda=True, has_error=True
    ),
    "reconstruction": HeadRow("DeepAutoencoder", fused_on_cuda=True),
    "regressor": HeadRow("Regressor", targets="numbers"),
    "multilabel": HeadRow("MultilabelClassifier", targets="numbers", has_error=True),
}
"""In the order that they are named in."""
