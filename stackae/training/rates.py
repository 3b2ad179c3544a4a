"""Learning rates per layer, and layers that stay frozen until their first step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LayerRates:
    """η_d(t) = D^d η(t) from step t_d on, and 0 before, for the layer d below the head (d = 0).

    Attributes:
        decay: D; 1 gives all layers one learning rate.
        begins: t_d per depth d; steps are counted from 0. A frozen layer has neither gradients nor optimizer updates,
            and Adam counts its steps from 1 when it is unfrozen.

    The rates are a function of the step alone, so that a resumed training is bit-identical.

    Howard & Ruder (2018), Universal language model fine-tuning for text classification.
    """

    decay: float
    begins: Sequence[int]

    @property
    def all_alike(self) -> bool:
        """True where every layer has the learning rate of the head, from the first step on."""
        return self.decay == 1 and not any(self.begins)

    def scale(self, depth: int, step: int) -> float:
        """η_d(t) / η(t)."""
        return self.decay**depth if step >= self.begins[depth] else 0.0


def gradual_begins(layers: int, epochs: int, steps_per_epoch: int) -> list[int]:
    """Compute t_d of gradual unfreezing: from the top, one more layer after each equal share of the epochs.

    Layer d begins with epoch ⌊d · epochs / layers⌋, counted from 0; with fewer epochs than layers, several begin
    together.
    """
    return [depth * epochs // layers * steps_per_epoch for depth in range(layers)]
