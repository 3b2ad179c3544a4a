"""Learning rates that differ from layer to layer, and layers that stand still until their time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LayerRates:
    """η_d(t) = D^d η(t) from step t_d on, and 0 before: of the layer d below the head, whose own d is 0.

    Attributes:
        decay: D; 1 where all layers learn alike.
        begins: t_d for each d; steps are counted from 0. A layer that stands still has neither gradients nor moments,
            and when it begins its optimizer counts from 1.

    A function of the step alone, so that a resumed training is bit-identical.

    Howard & Ruder (2018), Universal language model fine-tuning for text classification.
    """

    decay: float
    begins: Sequence[int]

    @property
    def all_alike(self) -> bool:
        """Whether every layer has the learning rate of the head, from the first step on."""
        return self.decay == 1 and not any(self.begins)

    def scale(self, depth: int, step: int) -> float:
        """η_d(t) / η(t)."""
        return self.decay**depth if step >= self.begins[depth] else 0.0


def gradual_begins(layers: int, epochs: int, steps_per_epoch: int) -> list[int]:
    """t_d of ``layers`` layers that are unfrozen from the top, an equal share of the epochs each: the head at once.

    Layer d begins with epoch ⌊d · epochs / layers⌋, counted from 0; where there are fewer epochs than layers, several
    begin together.
    """
    return [depth * epochs // layers * steps_per_epoch for depth in range(layers)]
