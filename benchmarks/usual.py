"""Corruption and penalties as they are usually written in PyTorch: what the fused ones are compared with."""

from __future__ import annotations

import torch
from torch import Tensor

RHO = 0.05


def noise(x: Tensor, kind: str) -> Tensor:
    """x with noise of level 0.3, in [0, 1] for salt and pepper."""
    if kind == "none":
        return x
    if kind == "gaussian":
        return x + 0.3 * torch.randn_like(x)
    draw = torch.rand_like(x)
    return x * (draw > 0.3) if kind == "masking" else torch.where(draw < 0.3, (draw < 0.15).to(x), x)


def kl(h: Tensor, rho: float) -> Tensor:
    rho_hat = h.mean(0).clamp(1e-6, 1 - 1e-6)
    return (rho * torch.log(rho / rho_hat) + (1 - rho) * torch.log((1 - rho) / (1 - rho_hat))).sum()


def contraction(h: Tensor, weight: Tensor) -> Tensor:
    """Of a sigmoid code: the mean over rows of the squared norm of its Jacobian."""
    return ((h * (1 - h)).square() @ weight.square().sum(dim=1)).sum() / len(h)
