"""A chain of dense layers and what it is trained for, as the fused step is told of them (``stackae.ops``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


class DenseLayer(NamedTuple):
    """f(y Wᵀ + b), a link of a chain; weight (n_out, n_in), or None where W is layer ``tied_to``'s, transposed."""

    weight: Tensor | None
    bias: Tensor
    activation: str
    tied_to: int = -1


@dataclass(frozen=True, kw_only=True)
class Training:
    """One chain of dense layers and what it is trained for.

    Args:
        layers: bottom first, contiguous float32 or float64 parameters on one device, which are moved in place.
        x: (n, n_visible) rows: float32, the layers' type, or uint8, which is read as (x − offset) / scale. On the
            device of the layers; or on the CPU, and then batches are sent over while the ones before are trained on.
        loss: ``mse``: (1/B) Σ ‖z − x‖². ``bce``: binary cross-entropy of a sigmoid output, from its pre-activation.
            ``cross_entropy``: of softmax(z) for ``labels``, mean over rows. All in nats, with targets uncorrupted.
        scaling: offset and scale, (n_visible,) float32, for uint8.
        labels: (n,) int64.
        corruption: kind, level, low, high of ``corrupt``, drawn by (seed, layer, step).
        sparsity: ρ and β of β Σ_j KL(ρ ‖ ρ̂_j) on the first layer's code; tanh codes are mapped by (h + 1) / 2.
        l1: λ of (λ/B) Σ |h| on the first layer's code.
        contraction: λ of (λ/B) Σ_i ‖∂h_i/∂x_i‖²_F of the first layer's code, in closed form.
        optimizer: sgd, adam or adamw, as torch.optim has them; ``weight_decay`` is for weights alone, not for biases.
        momentum: that of sgd; of adam and adamw β₁, whose β₂ is 0.999.
    """

    layers: Sequence[DenseLayer]
    x: Tensor
    loss: str
    scaling: tuple[Tensor, Tensor] | None = None
    labels: Tensor | None = None
    corruption: tuple[str, float, float, float] = ("none", 0.0, 0.0, 1.0)
    sparsity: tuple[float, float] = (0.05, 0.0)
    l1: float = 0.0
    contraction: float = 0.0
    optimizer: str = "adam"
    weight_decay: float = 0.0
    momentum: float = 0.9
    seed: int = 0
    layer: int = 0
