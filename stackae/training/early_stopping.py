"""Early stopping: the weights of the best epoch, and how many epochs to wait for a better one."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class BestWeights:
    """Remember the weights of the best epoch; lower scores are better, compared left to right.

    Without validation data there is no score, and the last epoch is the best. ``weights`` and ``score`` are those of
    the best epoch, and ``waited`` counts the epochs since.
    """

    def __init__(self, module: nn.Module, patience: int) -> None:
        self._module = module
        self._patience = patience
        self.score: tuple[float, ...] | None = None
        self.weights: dict[str, Tensor] = {}
        self.waited = 0

    def update(self, score: tuple[float, ...] | None) -> bool:
        """Compare an epoch's score with the best; return True, and copy the weights, where it is the best so far."""
        if score is not None and self.score is not None and score >= self.score:
            self.waited += 1
            return False
        self.score, self.waited = score, 0
        self.weights = copy.deepcopy(self._module.state_dict())
        return True

    def forget(self) -> None:
        """Drop the best score, which is of another kind than those to come: the next epoch becomes the best."""
        self.score = None

    @property
    def exhausted(self) -> bool:
        """True once ``patience`` epochs have passed without a better one; a patience of 0 waits forever."""
        return 0 < self._patience <= self.waited

    @torch.no_grad()
    def restore(self) -> None:
        """Put the best weights back into the module."""
        self._module.load_state_dict(self.weights)
