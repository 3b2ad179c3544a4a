"""Learning rates per layer, layers that stay frozen until their first step, and momentum that changes by epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stackae.config import TrainingConfig


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


@dataclass(frozen=True)
class MomentumRamp:
    """μ(e) = μ_1 + (μ_E − μ_1) min(1, (e − 1) / (E − 1)) in epoch e, counted from 1; E = 1 gives μ_E at once.

    Attributes:
        first, last, epochs: μ_1, μ_E and E.
        steps_per_epoch: the epoch is a function of the step alone, so that a resumed training is bit-identical.

    Sutskever, Martens, Dahl & Hinton (2013), On the importance of initialization and momentum in deep learning.
    """

    first: float
    last: float
    epochs: int
    steps_per_epoch: int

    def at(self, step: int) -> float:
        """The momentum of step ``step``, counted from 0."""
        share = min(1.0, step // self.steps_per_epoch / (self.epochs - 1)) if self.epochs > 1 else 1.0
        return self.first + (self.last - self.first) * share


def ramp_of(config: TrainingConfig, rows: int, batch_size: int) -> MomentumRamp | None:
    """The ramp that the settings request, for epochs of ``rows`` rows; None where momentum is constant."""
    ramp = config.momentum_ramp
    if not ramp:
        return None
    return MomentumRamp(config.momentum, ramp.last, ramp.epochs, max(1, math.ceil(rows / batch_size)))


def gradual_begins(layers: int, epochs: int, steps_per_epoch: int) -> list[int]:
    """Compute t_d of gradual unfreezing: from the top, one more layer after each equal share of the epochs.

    Layer d begins with epoch ⌊d · epochs / layers⌋, counted from 0; with fewer epochs than layers, several begin
    together.
    """
    return [depth * epochs // layers * steps_per_epoch for depth in range(layers)]
