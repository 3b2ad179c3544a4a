"""Draw initial weights, by (seed, layer) alone."""

from __future__ import annotations

import math

from torch import Tensor

from stackae.config.notation import InitialConfig
from stackae.random import Purpose, normal_rows, uniform

GLOROT = InitialConfig()


def initial_weights(
    n_out: int, n_in: int, initial: InitialConfig = GLOROT, *, seed: int, layer: int, part: int = 0
) -> Tensor:
    """Draw weights (n_out, n_in) as ``initial`` says; ``part`` tells several matrices of a layer apart."""
    purpose = Purpose.INITIALISATION
    if initial.kind == "normal":
        return normal_rows(n_out, n_in, seed=seed, purpose=purpose, layer=layer, counter=part) * initial.level
    bound = initial.level * (math.sqrt(6.0 / (n_in + n_out)) if initial.kind == "glorot" else 1.0)
    draw = uniform((n_out, n_in), seed=seed, purpose=purpose, layer=layer, counter=part)
    return (2.0 * draw - 1.0) * bound
