"""The compiled ops, typed, with their shapes for torch.compile and torch.export.

Importing this module loads the extension. Each op has a twin of the same name, signature and meaning in
``stackae.reference``, written in plain torch.
"""

from __future__ import annotations

import importlib

import torch
from torch import Tensor

try:
    _C = importlib.import_module("stackae._C")
except ImportError as error:
    raise ImportError(
        "stackae._C: expected the compiled extension, and it could not be loaded; build it with "
        f"`pip install --no-build-isolation -e .`, or use engine='eager' ({error})"
    ) from error

__all__ = ["build_info", "dense_act", "sparsity_kl"]


def build_info() -> dict[str, str]:
    """How the extension was built: compiler, flags, CPU levels, CUDA version and architectures, git revision."""
    info: dict[str, str] = _C.build_info()
    return info


def dense_act(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "linear") -> Tensor:
    """y = f(x Wᵀ + b), the product, the bias and the activation in one differentiable op.

    Args:
        x: (batch, n_in), float32, float64 or bfloat16.
        weight: (n_out, n_in), same dtype and device.
        bias: (n_out,) or None.
        activation: sigmoid, tanh, relu, leaky_relu (slope 0.01), elu (alpha 1), softplus, gelu (exact) or linear.

    Returns:
        y: (batch, n_out), contiguous.

    Backward takes f' from the output y (GELU alone keeps its pre-activation) and sums the bias gradient in the
    same pass. A gradient asked for with ``create_graph=True`` can be differentiated again.

    Raises:
        ValueError: a shape, device or activation that does not fit; the message names it and what was expected.
        TypeError: a dtype that does not fit.
    """
    y: Tensor = torch.ops.stackae.dense_act(x, weight, bias, activation)
    return y


def sparsity_kl(h: Tensor, rho: float) -> Tensor:
    """Σ_j KL(ρ ‖ ρ̂_j) = Σ_j ρ ln(ρ/ρ̂_j) + (1−ρ) ln((1−ρ)/(1−ρ̂_j)), with ρ̂_j the batch mean of code unit j.

    Args:
        h: (batch, n_hidden) code, meant to lie in (0, 1); at least one row.
        rho: target mean activation, in (0, 1).

    Returns:
        The penalty in nats, a scalar: float64 for a float64 code, else float32.

    ρ̂ and 1−ρ̂ are accumulated apart and floored at 1e-30, with the gradient of the unfloored mean: the penalty and
    its gradient are finite for every finite code, and a dead unit is pulled back rather than left at gradient 0.

    Raises:
        ValueError: an empty batch, a code that is not a matrix, or rho outside (0, 1).

    Lee, Ekanadham & Ng (2008), Sparse deep belief net model for visual area V2; Ng (2011), CS294A lecture notes.
    """
    penalty: Tensor = torch.ops.stackae.sparsity_kl(h, rho)
    return penalty


@torch.library.register_fake("stackae::dense_act_forward")
def _(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str) -> tuple[Tensor, Tensor]:
    y = x.new_empty((x.shape[0], weight.shape[0]))
    return y, y.new_empty(y.shape if activation == "gelu" else (0,))


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


@torch.library.register_fake("stackae::sparsity_kl_forward")
def _(h: Tensor, rho: float) -> tuple[Tensor, Tensor]:
    penalty = h.new_empty((), dtype=torch.float64 if h.dtype == torch.float64 else torch.float32)
    return penalty, h.new_empty((2, h.shape[1]), dtype=torch.float64)


@torch.library.register_fake("stackae::sparsity_kl_backward")
def _(grad_penalty: Tensor, h: Tensor, means: Tensor, rho: float) -> Tensor:
    return h.new_empty((h.shape[1],))
