"""Keeping the best weights, and knowing when to stop."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class BestWeights:
    """Remembers the weights of the best epoch; lower scores are better, compared left to right.

    Without validation data there is no score, and the last weights are the best.
    """

    def __init__(self, module: nn.Module, patience: int) -> None:
        self._module = module
        self._patience = patience
        self._score: tuple[float, ...] | None = None
        self._state: dict[str, Tensor] = {}
        self._waited = 0

    def update(self, score: tuple[float, ...] | None) -> bool:
        """Whether this epoch is the best so far."""
        if score is not None and self._score is not None and score >= self._score:
            self._waited += 1
            return False
        self._score, self._waited = score, 0
        self._state = copy.deepcopy(self._module.state_dict())
        return True

    @property
    def exhausted(self) -> bool:
        """Whether ``patience`` epochs have passed without a better one; patience 0 waits for ever."""
        return 0 < self._patience <= self._waited

    @torch.no_grad()
    def restore(self) -> None:
        """The best weights, back in the module."""
        self._module.load_state_dict(self._state)
