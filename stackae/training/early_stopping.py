"""Early stopping: the weights of the best epoch, and how many epochs to wait for a better one."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class BestWeights:
    """Remember the weights of the best epoch; lower scores are better, compared left to right.

    Without validation data there is no score, and the last weights are the best. ``weights`` are those of the best
    epoch, ``score`` is what it reached, and ``waited`` counts the epochs since.
    """

    def __init__(self, module: nn.Module, patience: int) -> None:
        self._module = module
        self._patience = patience
        self.score: tuple[float, ...] | None = None
        self.weights: dict[str, Tensor] = {}
        self.waited = 0

    def update(self, score: tuple[float, ...] | None) -> bool:
        """Whether this epoch is the best so far."""
        if score is not None and self.score is not None and score >= self.score:
            self.waited += 1
            return False
        self.score, self.waited = score, 0
        self.weights = copy.deepcopy(self._module.state_dict())
        return True

    def forget(self) -> None:
        """Scores so far are of another kind: the next epoch is the best, whatever its score."""
        self.score = None

    @property
    def exhausted(self) -> bool:
        """Whether ``patience`` epochs have passed without a better one; patience 0 waits for ever."""
        return 0 < self._patience <= self.waited

    @torch.no_grad()
    def restore(self) -> None:
        """Put the best weights back into the module."""
        self._module.load_state_dict(self.weights)
