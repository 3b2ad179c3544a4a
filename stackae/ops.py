"""The compiled ops, typed, with their shapes for torch.compile and torch.export.

Importing this module loads the extension. Each op has a twin of the same name, signature and meaning in
``stackae.reference``, written in plain torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

try:
    _C = importlib.import_module("stackae._C")
except ImportError as error:
    raise ImportError(
        "stackae._C: expected the compiled extension, and it could not be loaded; build it with "
        f"`pip install --no-build-isolation -e .`, or use engine='eager' ({error})"
    ) from error

__all__ = [
    "DenseLayer",
    "FusedStep",
    "TrainStep",
    "bare_product",
    "build_info",
    "corrupt",
    "cpu_train_step",
    "dense_act",
    "products",
    "sparsity_kl",
]


def build_info() -> dict[str, str]:
    """How the extension was built: compiler, flags, CPU levels, CUDA version and architectures, git revision."""
    info: dict[str, str] = _C.build_info()
    return info


def products(bfloat16: bool = False) -> str | None:
    """The library of the fused step's products on this processor, None where it has none of that kind."""
    name: str | None = _C.products(bfloat16)
    return name


def bare_product(a: Tensor, b: Tensor, out: Tensor) -> None:
    """out = a b by oneDNN brgemm and nothing else: what benchmarks call the floor of a step.

    Args:
        a: (m, k), float32 or bfloat16, contiguous, as b and out are.
        b: (k, n), or (k / 2, n, 2) for bfloat16: row 2i beside row 2i + 1.
        out: (m, n) float32.

    Raises:
        ValueError: shapes or types that do not fit, or that brgemm does not serve on this processor.
    """
    _C.bare_product(a, b, out)


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


def corrupt(
    x: Tensor, kind: str, level: float, low: float, high: float, seed: int, layer: int = 0, step: int = 0
) -> Tensor:
    """x̃ ~ q(x̃ | x): noise on an input, drawn by (seed, layer, step) and the entry's place in the batch alone.

    Args:
        x: (batch, n_visible), float32, float64 or bfloat16.
        kind: ``none``: x̃ = x. ``gaussian``: x̃ = x + level · ε, ε standard normal. ``masking``: an entry is 0 with
            probability level, else left as it is, not rescaled. ``salt-and-pepper``: with probability level an entry
            becomes ``low`` or ``high``, with equal chance.
        level: a standard deviation for gaussian noise, else a probability.

    Returns:
        x̃: a new tensor of the shape and dtype of x. Its gradient with respect to x is 1 where an entry was not
        replaced, else 0.

    Raises:
        ValueError: an x that is no matrix, an unknown kind, a level that is no probability.

    Vincent, Larochelle, Lajoie, Bengio & Manzagol (2010), Stacked denoising autoencoders, JMLR 11.
    """
    noisy: Tensor = torch.ops.stackae.corrupt(x, kind, level, low, high, seed, layer, step)
    return noisy


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


class DenseLayer(NamedTuple):
    """f(y Wᵀ + b), a link of a chain; weight (n_out, n_in), or None where W is layer ``tied_to``'s, transposed."""

    weight: Tensor | None
    bias: Tensor
    activation: str
    tied_to: int = -1


class TrainStep(Protocol):
    """What trains a network: the fused step (``cpu_train_step``) and the eager one (``stackae.training.step``)."""

    def advance(self, rows: Tensor, batch_size: int, step: int, learning_rates: Sequence[float]) -> float:
        """One step for each learning rate: step + i on the i-th ``batch_size`` of the rows (k,) int64, on the CPU.

        Moves the parameters in place; returns the sum over rows of the loss before each step.
        """
        ...


class FusedStep(TrainStep, Protocol):
    """The compiled one."""

    def moments(self) -> list[Tensor]:
        """The optimiser's memory, layer by layer: first and second moments of its weight, unless tied, and of its bias.

        They are the memory itself. To go on where another step stopped, bit for bit: the same parameters, the moments
        copied in, and the number of the next step given to ``advance``.
        """
        ...


def cpu_train_step(
    layers: Sequence[DenseLayer],
    x: Tensor,
    *,
    loss: str,
    scaling: tuple[Tensor, Tensor] | None = None,
    labels: Tensor | None = None,
    corruption: tuple[str, float, float, float] = ("none", 0.0, 0.0, 1.0),
    sparsity: tuple[float, float] = (0.05, 0.0),
    l1: float = 0.0,
    optimizer: str = "adam",
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    seed: int = 0,
    layer: int = 0,
    bfloat16: bool = False,
) -> FusedStep:
    """The training step of a chain of dense layers, by hand-written gradients over preallocated buffers.

    Equivalent to an autograd step over ``corrupt``, ``dense_act`` and ``sparsity_kl`` followed by torch.optim, in the
    same arithmetic up to rounding. Nothing is allocated after the first batch of a size. A batch whose loss is not
    finite ends a call of ``advance``: it moves nothing, and the sum is not finite. The interpreter's lock is released
    meanwhile.

    Args:
        layers: bottom first, contiguous float32 or float64 parameters on the CPU, which are moved in place.
        x: (n, n_visible) rows: float32, the layers' type, or uint8, which is read as (x − offset) / scale.
        loss: ``mse``: (1/B) Σ ‖z − x‖². ``bce``: binary cross-entropy of a sigmoid output, from its pre-activation.
            ``cross_entropy``: of softmax(z) for ``labels``, mean over rows. All in nats, with targets uncorrupted.
        scaling: offset and scale, (n_visible,) float32, for uint8.
        labels: (n,) int64.
        corruption: kind, level, low, high of ``corrupt``, drawn by (seed, layer, step).
        sparsity: ρ and β of β Σ_j KL(ρ ‖ ρ̂_j) on the first layer's code; tanh codes are mapped by (h + 1) / 2.
        l1: λ of (λ/B) Σ |h| on the first layer's code.
        optimizer: sgd, adam or adamw, as torch.optim has them; ``weight_decay`` is for weights alone, not for biases.
        bfloat16: products of bfloat16 operands with sums in float32; weights and all else stay float32.

    Raises:
        ValueError, TypeError: parts that do not fit each other. RuntimeError: a processor without bfloat16 products.

    Bourlard & Kamp (1988); Vincent et al. (2010); Ng (2011); Kingma & Ba (2015), Adam.
    """
    offset, scale = scaling if scaling is not None else (None, None)
    step: FusedStep = _C.cpu_train_step(
        layers=[tuple(each) for each in layers],
        objective=_C.Objective(loss=loss, sparsity_target=sparsity[0], sparsity_weight=sparsity[1], l1_weight=l1),
        update=_C.Update(rule=optimizer, weight_decay=weight_decay, momentum=momentum),
        corruption=_C.Corruption(*corruption),
        rows=_C.Rows(x=x, offset=offset, scale=scale, labels=labels),
        seed=seed,
        layer=layer,
        half_operands=bfloat16,
    )
    return step


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
