"""Faults to plant, one for each check of `stackae verify`: each changes a little of what the library computes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stackae.autoencoders import dense, marginalized, pca, variational
from stackae.autoencoders.conv import Convolution
from stackae.autoencoders.corruption import Dropout
from stackae.autoencoders.statistics import CorruptedMoments
from stackae.models.heads import multilabel, regressor
from stackae.objectives import contraction as contracting
from stackae.objectives import reconstruction
from stackae.objectives import variational as training
from stackae.objectives.losses import LOSSES
from stackae.objectives.penalties import KlSparsity
from stackae.ops import compiled as ops
from stackae.ops import reference
from stackae.runs import checkpointer
from stackae.training import layer
from stackae.training.step import EagerStep

Patch = pytest.MonkeyPatch


def nudged(value: Tensor) -> Tensor:
    """The same value, with a gradient that is a thousandth too large."""
    return value.detach() + 1.001 * (value - value.detach())


def nudged_noise(left: Tensor) -> Tensor:
    return nudged(left) if left.requires_grad else left


def through(patch: Patch, owner: Any, name: str, change: Callable[[Tensor], Tensor]) -> None:
    real = getattr(owner, name)
    patch.setattr(owner, name, lambda *given, **named: change(real(*given, **named)))


def at_rate(patch: Patch, factor: float, fewest: int = 1) -> None:
    """The fused step of at least so many networks takes steps of another length."""
    real = ops.FusedReplicas.advance

    def advance(self: Any, batches: Any, batch_size: int, step: int) -> Any:
        longer = [each._replace(learning_rates=[factor * rate for rate in each.learning_rates]) for each in batches]
        return real(self, longer if len(batches) >= fewest else batches, batch_size, step)

    patch.setattr(ops.FusedReplicas, "advance", advance)


def untied_in_the_middle(patch: Patch) -> None:
    real = EagerStep.advance

    def advance(self: Any, rows: Tensor, batch_size: int, step: int, *given: Any) -> Any:
        one = self._objective.network
        if step == 4:
            one.decoder_weight = nn.Parameter(one.encoder.weight.t().detach().clone())
        return real(self, rows, batch_size, step, *given)

    patch.setattr(EagerStep, "advance", advance)


def other_losses(patch: Patch) -> None:
    real = ops.FusedReplicas.advance

    def advance(self: Any, *given: Any) -> Any:
        return [each._replace(total=each.total * (1 + 1e-6)) for each in real(self, *given)]

    patch.setattr(ops.FusedReplicas, "advance", advance)


def noise_of_level(patch: Patch, factor: float) -> None:
    real = ops.corrupt
    patch.setattr(ops, "corrupt", lambda x, kind, level, *rest: real(x, kind, factor * level, *rest))


def noise_by_threads(patch: Patch) -> None:
    real = ops.corrupt
    patch.setattr(ops, "corrupt", lambda *given: real(*given) + (torch.get_num_threads() == 3))


def blind_to_nan(z: Tensor, y: Tensor) -> Tensor:
    return (z - y.nan_to_num()).square().sum()


def step_by_threads(patch: Patch) -> None:
    real = ops.FusedReplicas.advance

    def advance(self: Any, batches: Any, *rest: Any) -> Any:
        rounded = [each._replace(learning_rates=[rate * 1.001 for rate in each.learning_rates]) for each in batches]
        return real(self, rounded if torch.get_num_threads() == 3 else batches, *rest)

    patch.setattr(ops.FusedReplicas, "advance", advance)


def moments_of(patch: Patch, **factors: float) -> None:
    real = CorruptedMoments.of.__func__

    def of(cls: Any, *given: Any) -> CorruptedMoments:
        exact = real(cls, *given)
        return dataclasses.replace(exact, **{name: f * getattr(exact, name) for name, f in factors.items()})

    patch.setattr(CorruptedMoments, "of", classmethod(of))


def other_components(patch: Patch, change: Callable[[Any], Any]) -> None:
    through(patch, pca, "principal_components", change)


def other_rows(patch: Patch) -> None:
    """What is trained is not what was given: features weigh differently."""
    real = layer.kernel_training

    def told(objective: Any, *given: Any, **named: Any) -> Any:
        x = objective.x * torch.linspace(1, 1.1, objective.x.shape[1])
        return real(dataclasses.replace(objective, x=x), *given, **named)

    patch.setattr(layer, "kernel_training", told)


def resumed_elsewhere(patch: Patch) -> None:
    through(patch, checkpointer, "read_snapshot", lambda found: found._replace(rows=found.rows or 16))


FAULTS: dict[str, Callable[[Patch], None]] = {
    "gradients: activations": lambda p: through(p, reference, "dense_act", nudged),
    "gradients: losses and outputs": lambda p: p.setitem(LOSSES, "bce", lambda *a, f=LOSSES["bce"]: nudged(f(*a))),
    "gradients: penalties": lambda p: through(p, KlSparsity, "__call__", nudged),
    "gradients: contraction": lambda p: through(p, reconstruction, "contraction", nudged),
    "gradients: kept units": lambda p: through(p, dense, "batch_top_k", nudged),
    "gradients: noise, emphasis, dropout": lambda p: through(p, Dropout, "__call__", nudged_noise),
    "gradients: variational": lambda p: through(p, training, "gaussian_kl", nudged),
    "gradients: convolutional": lambda p: through(p, Convolution, "logits", nudged),
    "gradients: heads": lambda p: through(p, multilabel, "cross_entropy", nudged),
    "gradients: missing targets": lambda p: p.setattr(regressor, "squared_error", blind_to_nan),
    "gradients: dense, fused step": lambda p: at_rate(p, 1.001),
    "gradients: others, compiled ops": lambda p: through(p, ops, "dense_act", nudged),
    "gradients: heads, fused": lambda p: at_rate(p, 1.001),
    "contraction: every activation": lambda p: p.setitem(contracting.SLOPES, "gelu", lambda a: torch.sigmoid(1.7 * a)),
    "contraction: 784-300": lambda p: through(p, reconstruction, "contraction", lambda found: 1.01 * found),
    "marginalized: moments": lambda p: moments_of(p, cross=1.02),
    "marginalized: expected error": lambda p: through(p, CorruptedMoments, "error", lambda found: 1.02 * found),
    "marginalized: no better weights": lambda p: through(p, marginalized, "denoising_map", lambda found: 0.99 * found),
    "linear: trained by gradient": other_rows,
    "linear: closed form": lambda p: other_components(
        p, lambda found: found._replace(components=found.components.flip(0))
    ),
    "linear: what is left out": lambda p: other_components(p, lambda f: f._replace(components=f.components.roll(1, 0))),
    "tied: eager step": untied_in_the_middle,
    "tied: fused step": other_losses,
    "noise: masking": lambda p: noise_of_level(p, 1.02),
    "noise: salt-and-pepper": lambda p: noise_of_level(p, 1.02),
    "noise: gaussian": lambda p: noise_of_level(p, 1.01),
    "noise: dropout": lambda p: through(p, Dropout, "__call__", lambda left: 1.02 * left),
    "noise: words": lambda p: p.setattr("stackae.random._ROUNDS", 9),
    "noise: threads": noise_by_threads,
    "variational: KL": lambda p: through(p, training, "gaussian_kl", lambda kl: kl + 0.1),
    "variational: KL, quadrature": lambda p: through(p, variational, "bent", lambda logvar: 1.01 * logvar),
    "variational: bound": lambda p: through(p, training, "_log_likelihood", lambda found: found + 0.1),
    "variational: draws": lambda p: through(p, variational.VariationalAutoencoder, "sample", lambda h: 1.05 * h),
    "fused: dense_act": lambda p: through(p, ops, "dense_act", lambda y: y + 1e-3),
    "fused: sparsity_kl": lambda p: through(p, ops, "sparsity_kl", lambda kl: kl * (1 + 1e-3)),
    "fused: corrupt": lambda p: through(p, ops, "corrupt", lambda x: x + 1e-3),
    "fused: step, squared error": lambda p: at_rate(p, 1.001),
    "fused: step, cross-entropy": lambda p: at_rate(p, 1.001),
    "fused: step, kept units": lambda p: at_rate(p, 1.001),
    "fused: step, heads": lambda p: at_rate(p, 1.001),
    "fused: step, float32": lambda p: at_rate(p, 1.5),
    "fused: step, bfloat16": lambda p: at_rate(p, 4.0),
    "fused: step, threads": step_by_threads,
    "fused: step, together": lambda p: at_rate(p, 1.001, fewest=2),
    "resuming: fused": resumed_elsewhere,
    "resuming: eager": resumed_elsewhere,
}
