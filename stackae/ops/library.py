"""The extension's library, and the shape functions of its ops that torch.compile and torch.export need.

Importing this module loads the library.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from stackae.ops.extension import is_of_these_sources, load

PACKAGE = Path(__file__).parents[1]
LIBRARY = load(PACKAGE)


def state_of_sources() -> str:
    """Tell whether the library was compiled from csrc as it is now; the digest of its sources where none are here."""
    built: dict[str, str] = LIBRARY.build_info()
    words = {True: "as in csrc", False: "not as csrc is now: build it again", None: built.get("sources", "unknown")}
    return words[is_of_these_sources(built, PACKAGE)]


@torch.library.register_fake("stackae::dense_act_forward")
def _(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str) -> tuple[Tensor, Tensor]:
    y = x.new_empty((x.shape[0], weight.shape[0]))
    return y, y.new_empty(y.shape if LIBRARY.keeps_preactivation(activation) else (0,))


@torch.library.register_fake("stackae::dense_act_backward")
def _(
    grad_y: Tensor,
    kept: Tensor,
    x: Tensor,
    weight: Tensor,
    activation: str,
    input_gradient: bool,
    weight_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    grad_x = x.new_empty(x.shape if input_gradient else (0,))
    grad_weight = x.new_empty(weight.shape if weight_gradient else (0,))
    return grad_x, grad_weight, kept.new_empty((kept.shape[1],))


@torch.library.register_fake("stackae::corrupt")
def _(x: Tensor, kind: str, level: float, low: float, high: float, seed: int, layer: int, step: int) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.register_fake("stackae::sparsity_kl_forward")
def _(h: Tensor, rho: float) -> tuple[Tensor, Tensor]:
    penalty = h.new_empty((), dtype=torch.float64 if h.dtype == torch.float64 else torch.float32)
    return penalty, h.new_empty((2, h.shape[1]), dtype=torch.float64)


@torch.library.register_fake("stackae::sparsity_kl_backward")
def _(grad_penalty: Tensor, h: Tensor, means: Tensor, rho: float) -> Tensor:
    return h.new_empty((h.shape[1],))
