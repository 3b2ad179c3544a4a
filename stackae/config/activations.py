"""The activations: one table, from which settings, help and checks take what they ask of one.

To add one: its row here, its struct and row in csrc/activation.h, its definition and slope in the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ActivationName = Literal["sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "gelu", "silu", "linear"]


@dataclass(frozen=True)
class ActivationRow:
    """What is asked of an activation beside its values."""

    saturates: bool = False
    """Its values are bounded on both sides, and its units always have a gradient."""
    in_unit: bool = False
    """Its values lie in [0, 1]."""
    near_linear: bool = False
    """Around 0 its values are its input's, so that small weights make it linear."""


ACTIVATIONS: dict[str, ActivationRow] = {
    "sigmoid": ActivationRow(saturates=True, in_unit=True),
    "tanh": ActivationRow(saturates=True, near_linear=True),
    "relu": ActivationRow(),
    "leaky_relu": ActivationRow(),
    "elu": ActivationRow(),
    "softplus": ActivationRow(),
    "gelu": ActivationRow(),
    "silu": ActivationRow(),
    "linear": ActivationRow(near_linear=True),
}
