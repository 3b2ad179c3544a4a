"""The ops of ``stackae.ops`` in plain torch: they are the definition, the test oracle and the eager engine."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stackae.random import Purpose, normal_rows, row_words, to_unit

__all__ = ["ACTIVATIONS", "MODULES", "SLOPES", "corrupt", "dense_act", "kl_of_means", "sparsity_kl"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "softplus": lambda x: F.softplus(x, threshold=50.0),  # torch turns linear at 20, off by 2e-9
    "gelu": F.gelu,
    "silu": F.silu,
    "linear": lambda x: x,
}
SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": lambda a: torch.sigmoid(a) * torch.sigmoid(-a),
    "tanh": lambda a: 1 - torch.tanh(a).square(),
    "relu": lambda a: (a > 0).to(a),
    "leaky_relu": lambda a: torch.where(a > 0, torch.ones_like(a), 0.01),
    "elu": lambda a: torch.exp(a.clamp(max=0)),
    "softplus": torch.sigmoid,
    "gelu": lambda a: torch.special.ndtr(a) + a * torch.exp(-0.5 * a.square()) / math.sqrt(2 * math.pi),
    "silu": lambda a: torch.sigmoid(a) * (1 + a * torch.sigmoid(-a)),
    "linear": torch.ones_like,
}
"""f′(a) of each activation f, as a function of the pre-activation a."""
MODULES: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "softplus": lambda: nn.Softplus(threshold=50.0),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "linear": nn.Identity,
}
"""f as a module of ``torch.nn``, for networks that leave stackae."""

_KL_FLOOR = 1e-30


def dense_act(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "linear") -> Tensor:
    """y = f(x Wᵀ + b). See ``stackae.ops.dense_act``."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation: expected one of {', '.join(ACTIVATIONS)}, got '{activation}'")
    return ACTIVATIONS[activation](F.linear(x, weight, bias))


def corrupt(
    x: Tensor, kind: str, level: float, low: float, high: float, seed: int, layer: int = 0, step: int = 0
) -> Tensor:
    """x̃ ~ q(x̃ | x). See ``stackae.ops.corrupt``."""
    if kind not in ("none", "gaussian", "masking", "salt-and-pepper"):
        raise ValueError(f"kind: expected none, gaussian, masking or salt-and-pepper, got '{kind}'")
    if kind == "none" or level == 0:
        return x
    rows, width = x.shape
    if kind == "gaussian":
        noise = normal_rows(rows, width, seed=seed, purpose=Purpose.CORRUPTION, layer=layer, counter=step)
        return x + level * noise.to(x)
    words = row_words(rows, width, seed=seed, purpose=Purpose.CORRUPTION, layer=layer, counter=step)
    draw = torch.from_numpy(to_unit(words)[:, :width]).to(x.device)
    corrupted = draw < torch.tensor(level, dtype=torch.float32)
    if kind == "masking":
        return torch.where(corrupted, 0.0, x)
    return torch.where(corrupted, torch.where(draw < torch.tensor(level / 2, dtype=torch.float32), high, low).to(x), x)


def sparsity_kl(h: Tensor, rho: float) -> Tensor:
    """Σ_j KL(ρ ‖ ρ̂_j), ρ̂_j the batch mean of code unit j. See ``stackae.ops.sparsity_kl``."""
    if h.dim() != 2 or h.shape[0] == 0:
        raise ValueError(f"h: expected shape (batch, n_hidden) with at least one row, got {list(h.shape)}")
    if not 0 < rho < 1:
        raise ValueError(f"rho: expected a target mean activation in (0, 1), got {rho}")
    wide = h.double()
    kl = kl_of_means((wide / len(h)).sum(0), ((1 - wide) / len(h)).sum(0), rho)
    return kl.to(torch.float64 if h.dtype == torch.float64 else torch.float32)


def kl_of_means(rho_hat: Tensor, complement: Tensor, rho: float) -> Tensor:
    """Σ_j KL(ρ ‖ ρ̂_j), from ρ̂ and 1 − ρ̂ (n_hidden,): a scalar."""
    rho_hat, complement = _floored(rho_hat), _floored(complement)
    return (rho * (math.log(rho) - rho_hat.log()) + (1 - rho) * (math.log(1 - rho) - complement.log())).sum()


def _floored(p: Tensor) -> Tensor:
    """max(p, 1e-30), with gradient 1 everywhere: clamp's gradient of 0 would leave a dead unit dead."""
    return torch.where(p < _KL_FLOOR, p - p.detach() + _KL_FLOOR, p)
