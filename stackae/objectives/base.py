"""What a network is trained for, as training steps ask it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from stackae.data.rows import Rows
from stackae.models.heads.classifier import Finetuned
from stackae.objectives.penalties import clip_norms


class Objective(Protocol):
    """What a network is trained for."""

    @property
    def parameters(self) -> list[Tensor]:
        """Layer by layer: its weight, unless tied, and its bias."""
        ...

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        """The loss of a batch of rows, a scalar: mean over the batch, in the parameters' type."""
        ...

    def constrain(self) -> None:
        """After every update: puts parameters back to where they may be."""
        ...


@dataclass(frozen=True)
class FinetuneObjective:
    """What a head on encoders is trained for, of whatever kind it is.

    Attributes:
        max_norm: the longest that the incoming weights of a unit may be after a step that moved them; 0 lets them be.
    """

    model: Finetuned
    x: Rows
    max_norm: float = field(default=0.0, kw_only=True)

    @property
    def parameters(self) -> list[Tensor]:
        return [parameter for part in self.model.parts for parameter in part.trained]

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        raise NotImplementedError

    def constrain(self) -> None:
        if self.max_norm:
            clip_norms([each for each in self.parameters if each.dim() > 1 and each.grad is not None], self.max_norm)
