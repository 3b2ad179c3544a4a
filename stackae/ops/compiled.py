"""The compiled ops, with types.

Importing this module loads the extension. The differentiable ops have twins of the same name, signature and meaning in
``stackae.ops.reference``, in plain torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stackae.ops.library import LIBRARY
from stackae.ops.step import Batches, DenseLayer, StepResult
from stackae.ranks import ALONE, Ranks

__all__ = [
    "DenseLayer",
    "FusedReplicas",
    "FusedStep",
    "bare_product",
    "build_info",
    "corrupt",
    "dense_act",
    "products",
    "sparsity_kl",
    "train_step",
    "train_together",
    "training",
]

Training = Any  # the result of ``training``, an object of the extension


def build_info() -> dict[str, str]:
    """Report how the extension was built: compiler, flags, levels, torch, CUDA, git revision, digests of sources."""
    info: dict[str, str] = LIBRARY.build_info()
    return info


def products(device: str = "cpu", precision: str = "fp32") -> str | None:
    """Name the library that computes the fused step's matmuls on a device type at a precision; None without one."""
    name: str | None = LIBRARY.products(device, precision)
    return name


def bare_product(a: Tensor, b: Tensor, out: Tensor) -> None:
    """out = a b by the fused step's matmul alone: the lower bound of a step's time in benchmarks.

    Args:
        a: (m, k), float32 or float64, rows in row-major order with any stride between them, or its transpose so.
        b: (k, n), as a is; or (k / 2, n, 2) of bfloat16: row 2i beside row 2i + 1; then all are contiguous.
        out: (m, n), in row-major order with any stride between rows; of a's type, or float32 for bfloat16.

    Raises:
        ValueError: shapes or types that do not fit, or that have no matmul on this processor.
    """
    LIBRARY.bare_product(a, b, out)


def dense_act(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "linear") -> Tensor:
    """y = f(x Wᵀ + b): matmul, bias and activation in one differentiable op.

    Args:
        x: (batch, n_in), float32, float64 or bfloat16.
        weight: (n_out, n_in), same dtype and device.
        bias: (n_out,) or None.
        activation: f, by a name of ``stackae.ops.reference.ACTIVATIONS``, which defines it.

    Returns:
        y: (batch, n_out), contiguous.

    Backward computes f' from the output y (from the pre-activation where f is not monotone) and sums the bias gradient
    in the same pass. A gradient computed with ``create_graph=True`` can be differentiated again.

    Raises:
        ValueError: a shape, device or activation that does not fit; the message names it and says what was expected.
        TypeError: a dtype that does not fit.
    """
    y: Tensor = torch.ops.stackae.dense_act(x, weight, bias, activation)
    return y


def corrupt(
    x: Tensor, kind: str, level: float, low: float, high: float, seed: int, layer: int = 0, step: int = 0
) -> Tensor:
    """x̃ ~ q(x̃ | x): noise on an input, drawn by (seed, layer, step) and the entry's position in the batch alone.

    Args:
        x: (batch, n_visible), float32, float64 or bfloat16.
        kind: ``none``: x̃ = x. ``gaussian``: x̃ = x + level · ε, ε standard normal. ``masking``: an entry becomes 0
            with probability level; the others are not rescaled. ``salt-and-pepper``: an entry becomes ``low`` or
            ``high`` with probability level / 2 each.
        level: a standard deviation for gaussian noise, else a probability.

    Returns:
        x̃: a new tensor of the shape and dtype of x. Its gradient with respect to x is 0 where an entry was replaced,
        else 1.

    Raises:
        ValueError: an x that is not a matrix, an unknown kind, a level that is not a probability.

    Vincent, Larochelle, Lajoie, Bengio & Manzagol (2010), Stacked denoising autoencoders, JMLR 11.
    """
    noisy: Tensor = torch.ops.stackae.corrupt(x, kind, level, low, high, seed, layer, step)
    return noisy


def sparsity_kl(h: Tensor, rho: float) -> Tensor:
    """Σ_j KL(ρ ‖ ρ̂_j) = Σ_j ρ ln(ρ/ρ̂_j) + (1−ρ) ln((1−ρ)/(1−ρ̂_j)), with ρ̂_j the batch mean of code unit j.

    Args:
        h: (batch, n_hidden) code in (0, 1), with at least one row.
        rho: target mean activation, in (0, 1).

    Returns:
        The penalty in nats, a scalar: float64 for a float64 code, else float32.

    ρ̂ and 1−ρ̂ are accumulated separately and floored at 1e-30, with the gradient of the unfloored mean: the penalty and
    its gradient are finite for every finite code, and a dead unit keeps a gradient that revives it.

    Raises:
        ValueError: an empty batch, a code that is not a matrix, or rho outside (0, 1).

    Lee, Ekanadham & Ng (2008), Sparse deep belief net model for visual area V2; Ng (2011), CS294A lecture notes.
    """
    penalty: Tensor = torch.ops.stackae.sparsity_kl(h, rho)
    return penalty


def training(
    *,
    layers: Sequence[DenseLayer],
    x: Tensor,
    loss: str,
    scaling: tuple[Tensor, Tensor] | None = None,
    labels: Tensor | None = None,
    targets: Tensor | None = None,
    target_scaling: tuple[Tensor, Tensor] | None = None,
    weights: Tensor | None = None,
    corruption: tuple[str, float, float, float] = ("none", 0.0, 0.0, 1.0),
    sparsity: tuple[str, float, float] = ("none", 0.5, 0.0),
    contraction: float = 0.0,
    weight_l1: float = 0.0,
    max_norm: float = 0.0,
    emphasis: tuple[float, float] = (1.0, 1.0),
    dropout: tuple[float, float, int] = (0.0, 0.0, 0),
    keeps: int = 0,
    over_batch: bool = False,
    share: float = 0.0,
    auxiliary: tuple[int, int, float] = (0, 1, 0.0),
    seed: int = 0,
    layer: int = 0,
    optimizer: str = "adam",
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    momentum_ramp: tuple[float, int, int] = (0.0, 0, 1),
) -> Training:
    """Make the kernels' record of a chain of dense layers and its objective.

    Args:
        layers: bottom first, contiguous float32 or float64 parameters on one device, which are updated in place.
        x: (n, n_visible) rows: float32, the layers' type, or uint8, which is read as (x − offset) / scale. They lie on
            the device of the layers, or on the CPU; then batches are copied while earlier ones are trained on.
        loss: ``mse``: (1/B) Σ ‖z − x‖². ``bce``: binary cross-entropy in nats of a sigmoid output, from its
            pre-activation. ``cross_entropy``: of softmax(z) for ``labels`` in nats, mean over rows. Targets are not
            corrupted.
        scaling: offset and scale, (n_visible,) float32, for uint8.
        labels: (n,) int64. With a loss of mse or bce, the target of an output is 1 for the row's label, else 0.
        targets: (n, n_out), as x may be, with a ``target_scaling`` where they are uint8; an entry that is NaN has no
            part in the loss. Without targets and labels, the rows are their own targets.
        weights: (n,) in the layers' type: weights of the rows in the loss.
        corruption: kind, level, low, high of ``corrupt``, drawn by (seed, layer, step).
        sparsity: kind, ρ and weight of a penalty on the first layer's code h. ``kl``: weight · Σ_j KL(ρ ‖ ρ̂_j), with
            tanh codes mapped by (h + 1) / 2. ``l1``: (weight/B) Σ |h|.
        contraction: λ of (λ/B) Σ_i ‖∂h_i/∂x_i‖²_F of the first layer's code, in closed form.
        weight_l1: weight of Σ|W| over the layers' own weights.
        max_norm: maximum L2 norm of each unit's incoming weights after a step; 0 is no limit.
        emphasis: weights of the errors of inputs that masking or salt-and-pepper noise replaced, and of the others.
        dropout: the probabilities of dropping an input, after the corruption, and a unit of each of the first so many
            layers' outputs, after their penalties. What is kept is divided by its probability.
        keeps: k of top-k: the k largest units of the first layer's code stay active in each row, or with
            ``over_batch`` k per row on average over the batch; the others are 0. Of equal ones, the first stay. 0 keeps
            all. For an autoencoder in fp32, without penalties on the code.
        share: each unit of the first layer's code stays active in this share of a batch's rows, those in which it is
            largest, at least in one; 0 in all. As keeps, and in its place.
        auxiliary: units, rows and weight of ``stackae.objectives.auxiliary``, beside kept units; 0 units for none.
        optimizer: sgd, adam or adamw, as in torch.optim; ``weight_decay`` applies to weights, not to biases.
        momentum: momentum of sgd; β₁ of adam and adamw, whose β₂ is 0.999.
        momentum_ramp: the momentum of sgd in the last of so many epochs of so many steps, between which and the first
            it changes epoch by epoch; of 0 epochs, it is constant.

    Targets, weights, weight_l1, max_norm, emphasis, dropout, a ramp, and rates of single layers are there on the CPU
    alone.

    Raises:
        ValueError: an unknown loss, penalty or optimizer, or an invalid corruption.
    """
    return LIBRARY.Training(
        layers=layers,
        x=x,
        scaling=scaling or (None, None),
        labels=labels,
        targets=targets,
        target_scaling=target_scaling or (None, None),
        weights=weights,
        loss=loss,
        corruption=corruption,
        sparsity=sparsity,
        contraction=contraction,
        weight_l1=weight_l1,
        max_norm=max_norm,
        emphasis=emphasis,
        dropout=dropout,
        keeps=(keeps, over_batch, share),
        auxiliary=auxiliary,
        seed=seed,
        layer=layer,
        optimizer=optimizer,
        weight_decay=weight_decay,
        momentum=momentum,
        momentum_ramp=momentum_ramp,
    )


class FusedReplicas:
    """The compiled step of several networks; ``train_together`` makes it."""

    def __init__(self, trainings: Sequence[Training], precision: str, ranks: Ranks = ALONE) -> None:
        shared = {"rank": ranks.rank, "ranks": ranks.count, "sum": ranks.sum} if ranks.several else {}
        self._step = LIBRARY.train_step(trainings, precision, **shared)

    def advance(self, batches: Sequence[Batches], batch_size: int, step: int) -> list[StepResult]:
        """Advance each network on its own batches, as ``FusedStep.advance``; one without rows is not changed."""
        return [StepResult(*each) for each in self._step.advance(batches, batch_size, step)]

    def optimizer_state(self) -> list[list[Tensor]]:
        """Return ``FusedStep.optimizer_state`` of each network."""
        memory: list[list[Tensor]] = self._step.moments()
        return memory


class FusedStep:
    """The compiled step of one network; ``train_step`` makes it."""

    def __init__(self, training: Training, precision: str, ranks: Ranks = ALONE) -> None:
        self._one = FusedReplicas([training], precision, ranks)

    def advance(
        self, rows: Tensor, batch_size: int, step: int, learning_rates: Sequence[float], total: float = 0.0
    ) -> StepResult:
        """Take one step per learning rate: step number step + i on the i-th batch of the rows; see ``StepResult``."""
        return self._one.advance([Batches(rows, learning_rates, total)], batch_size, step)[0]

    def optimizer_state(self) -> list[Tensor]:
        """Return the optimizer state, layer by layer: two tensors for its weight, unless tied, and two for its bias.

        They are Adam's first and second moments, or SGD's velocity and zeros; with an auxiliary loss, the rows since
        each unit was active come last. The tensors are the step's own memory. To resume bit-identically, load the same
        parameters, copy the state in, and give ``advance`` the number of the next step.
        """
        return self._one.optimizer_state()[0]


def train_step(training: Training, precision: str = "fp32", ranks: Ranks = ALONE) -> FusedStep:
    """Make the training step of a chain of dense layers, with hand-written gradients and preallocated buffers.

    The step is equivalent, up to rounding, to an autograd step over ``corrupt``, ``dense_act`` and ``sparsity_kl``
    followed by torch.optim. It allocates nothing after the first batch of a size. Parameters and optimizer state stay
    finite: a batch whose loss is not finite updates nothing; where an update would make a parameter or its optimizer
    state infinite or NaN, that parameter and its state keep their values. Either ends the call of ``advance``, and the
    step is not counted. The GIL is released during a call.

    Args:
        training: the layers, their rows and their objective; the step runs on the device of the layers.
        precision: precision of the matmuls; all else is computed in the layers' type. ``fp32``: the layers' type, in
            IEEE arithmetic. ``tf32``: operands rounded to 10 bits, CUDA only. ``bf16``: operands rounded to 7 bits.
            tf32 and bf16 sum in float32.
        ranks: where several train together, each computes its share of every batch. What depends on the whole batch and
            the gradients are added up. On the CPU alone, and not for codes that are selected over the batch.

    Raises:
        ValueError, TypeError: parts that do not fit each other.
        RuntimeError: a device without matmuls of this precision.

    Bourlard & Kamp (1988); Vincent et al. (2010); Ng (2011); Kingma & Ba (2015), Adam.
    """
    return FusedStep(training, precision, ranks)


def train_together(trainings: Sequence[Training], precision: str = "fp32", ranks: Ranks = ALONE) -> FusedReplicas:
    """Make the step of networks of one shape that train together: in one launch on CUDA, one thread each on the CPU.

    They may differ in parameters, rows, seeds, learning rates, noise and penalties, but not in shape, activations,
    loss, optimizer, or type of rows.
    """
    return FusedReplicas(trainings, precision, ranks)
