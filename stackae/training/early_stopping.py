"""Early stopping: the weights of the best epoch, and how long to wait for a better one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from stackae.training.callbacks import EpochRecord

LEAST_PATIENCE, PATIENCE_SHARE = 10, 3


class Patience(NamedTuple):
    """When training stops. Without ``increase``: after ``epochs`` epochs without a better one; 0 never stops.

    With it: after epoch max(epochs, increase · e), where e is the last epoch whose score was below ``threshold`` times
    the best before it, as Theano's tutorials count patience (there in steps, here in epochs).
    """

    epochs: int
    increase: float = 0.0
    threshold: float = 1.0

    @classmethod
    def of(cls, requested: int | str, epochs: int) -> Self:
        """Settle ``auto`` to a third of the epochs, at least LEAST_PATIENCE; else read what was requested.

        Learning rates that fall to 0 bring late gains, and the error of few validation rows is constant for long: on
        the embedded digits, a new best epoch comes up to a quarter of all epochs after the previous one.
        """
        if requested == "auto":
            return cls(max(LEAST_PATIENCE, math.ceil(epochs / PATIENCE_SHARE)))
        first, _, rest = str(requested).partition(":")
        increase, _, threshold = rest.partition(":")
        return cls(int(first), float(increase), float(threshold)) if rest else cls(int(first))

    def is_over(self, waited: int, history: Sequence[EpochRecord]) -> bool:
        """Whether training stops after these epochs, of which the last ``waited`` were no better."""
        if not self.increase:
            return 0 < self.epochs <= waited
        until, best = float(self.epochs), math.inf
        for record in history:
            score = _score(record)
            if score is None or score < self.threshold * best:
                until = max(until, self.increase * record.epoch)
            if record.best and score is not None:
                best = score
        return len(history) >= until


def _score(record: EpochRecord) -> float | None:
    """The first number by which epochs are compared."""
    loss = record.validation_loss if record.corrupted_validation_loss is None else record.corrupted_validation_loss
    return loss if record.validation_error is None else record.validation_error


class BestWeights:
    """Remember the weights of the best epoch; lower scores are better, compared left to right.

    Without validation data there is no score, and the last epoch is the best. ``weights`` and ``score`` are those of
    the best epoch, and ``waited`` counts the epochs since.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self.score: tuple[float, ...] | None = None
        self.weights: dict[str, Tensor] = {}
        self.waited = 0

    def update(self, score: tuple[float, ...] | None) -> bool:
        """Compare an epoch's score with the best; return True, and copy the weights, where it is the best so far."""
        if score is not None and self.score is not None and score >= self.score:
            self.waited += 1
            return False
        self.score, self.waited = score, 0
        self.weights = {name: each.clone() for name, each in self._module.state_dict().items()}
        return True

    def forget(self) -> None:
        """Drop the best score, which is of another kind than those to come: the next epoch becomes the best."""
        self.score = None

    @torch.no_grad()
    def restore(self) -> None:
        """Put the best weights back into the module."""
        self._module.load_state_dict(self.weights)
