"""Gradients: compare the update of a training step with central differences of its loss."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from stackae.config import FinetuneConfig
from stackae.config.activations import ACTIVATIONS
from stackae.models.heads.base import FinetuneObjective
from stackae.objectives.base import Objective
from stackae.ops.step import Batches
from stackae.training.head import make_step as make_head_step
from stackae.training.layer import make_step
from stackae.training.step import ReplicasStep
from stackae.verification.check import Case, Check
from stackae.verification.heads import HEADS, step_of, with_rows_that_lack_all_targets
from stackae.verification.subjects import CPU, EAGER_REMEDY, furthest, need_step, replica_of, rows_of

WIDTH = 1e-5  # ε of a central difference: truncation and rounding errors are each near 1e-10 of the loss
BOUND = 1e-6
STEP = 3  # the noise of this step is used throughout: differences and gradient see the same draw
PLAIN_SGD = {"optimizer": "sgd", "momentum": 0.0, "schedule": "constant"}
COMPARED, FIGURE = "the gradient of a step to be central differences of its loss", "relative error"

Options = dict[str, Any]


def differences(loss: Callable[[], Tensor], parameters: Sequence[Tensor]) -> list[Tensor]:
    """∂L/∂w ≈ (L(w + ε) − L(w − ε)) / 2ε for every number w of the parameters, which are restored."""
    found = []
    with torch.no_grad():
        for parameter in parameters:
            slope = torch.empty_like(parameter)
            for place in itertools.product(*map(range, parameter.shape)):
                kept = parameter[place].item()
                ends = []
                for end in (kept + WIDTH, kept - WIDTH):
                    parameter[place] = end
                    ends.append(float(loss()))
                parameter[place] = kept
                slope[place] = (ends[0] - ends[1]) / (2 * WIDTH)
            found.append(slope)
    return found


def taken(step: ReplicasStep, parameters: Sequence[Tensor], rows: Tensor) -> list[Tensor]:
    """Measure the gradient that a step of plain SGD subtracts at learning rate 1; the parameters are restored."""
    before = [each.detach().clone() for each in parameters]
    (progress,) = step.advance([Batches(rows, [1.0])], len(rows), STEP)
    after = [each.detach().clone() for each in parameters]
    with torch.no_grad():
        for own, each in zip(parameters, before, strict=True):
            own.copy_(each)
    if progress.steps != 1:
        return []
    return [a - b for a, b in zip(before, after, strict=True)]


def error_of(objective: Objective, step: ReplicasStep, rows: Tensor, weight_decay: float = 0.0) -> float:
    """Compare the gradient of a step with differences of the objective plus (λ/2) Σ w² over its weights."""
    parameters = objective.parameters

    def loss() -> Tensor:
        decay = sum((each.square().sum() for each in parameters if each.dim() > 1), torch.zeros(()))
        return objective(rows, STEP).detach() + weight_decay / 2 * decay

    return furthest(taken(step, parameters, rows), differences(loss, parameters))


def layer_cases(engine: str, families: Iterable[Mapping[str, Options]]) -> Iterator[Case]:
    """Yield one case per layer that the options describe, trained by that engine."""
    if engine == "fused":
        need_step(CPU)
    for name, options in itertools.chain.from_iterable(each.items() for each in families):
        given = {"engine": engine, **PLAIN_SGD, **options}
        layers = given.pop("layers", "6,4")
        x = rows_of(5, 20 if "x" in layers else 6)
        replica = replica_of(layers, x, **given)
        error = error_of(replica.objective, make_step([replica]), torch.arange(5), replica.layer.weight_decay)
        yield Case(name, error, BOUND)


def head_cases(engine: str, kinds: Iterable[str]) -> Iterator[Case]:
    if engine == "fused":
        need_step(CPU)
    for kind in kinds:
        objective = HEADS[kind](engine)
        yield Case(kind, error_of(objective, _head_step(objective, engine), torch.arange(12)), BOUND)


def missing_cases() -> Iterator[Case]:
    """Check that rows without any known target do not change the gradient."""
    for name, pair in with_rows_that_lack_all_targets().items():
        found = [taken(_head_step(one, "eager"), one.parameters, torch.arange(12)) for one in pair]
        differ = sum(int((a != b).sum()) for a, b in zip(*found, strict=True))
        yield Case(name, differ if found[0] else float("inf"), 0)


def _head_step(objective: FinetuneObjective, engine: str) -> ReplicasStep:
    config = FinetuneConfig.model_validate({**PLAIN_SGD, "engine": engine, "weight_decay": 0.0, "device": "cpu"})
    return make_head_step(objective, config, step_of(objective, config), epochs=1, steps_per_epoch=1)


def _activations() -> dict[str, Options]:
    return {
        f"{f}, {'tied' if tied else 'untied'}": {"activation": f, "tied": tied, "output_activation": "linear"}
        for f in ACTIVATIONS
        for tied in (True, False)
    }


def _outputs() -> dict[str, Options]:
    found: dict[str, Options] = {f"squared error, output {g}": {"output_activation": g} for g in ACTIVATIONS}
    return {**found, "binary cross-entropy": {"loss": "bce"}, "binary cross-entropy, untied": {**BCE, "tied": False}}


BCE = {"loss": "bce"}
PENALTIES: dict[str, Options] = {
    "KL, sigmoid": {"sparsity": "kl:0.1:0.5"},
    "KL, tanh": {"sparsity": "kl:0.1:0.5", "activation": "tanh", "output_activation": "linear"},
    "L1": {"sparsity": "l1:0.1", "activation": "tanh", **BCE},
    "weight decay": {"weight_decay": 0.1, "tied": False},
}
WEIGHT_L1: dict[str, Options] = {"weights' L1": {"weight_l1": 0.1, "tied": False}, "tied": {"weight_l1": 0.1}}
NOISE: dict[str, Options] = {
    "masking": {"corruption": "masking:0.3"},
    "gaussian": {"corruption": "gaussian:0.3", **BCE},
    "salt-and-pepper": {"corruption": "salt-and-pepper:0.3"},
}
HELD: dict[str, Options] = {
    "emphasis": {"corruption": "masking:0.4", "emphasis": "2:0.5"},
    "emphasis, binary cross-entropy": {"corruption": "salt-and-pepper:0.4", "emphasis": "1:0.25", **BCE},
    "dropout": {"dropout": "0.2:0.5", "activation": "tanh"},
    "dropout and noise": {"dropout": "0.3:0.3", "corruption": "masking:0.3", **BCE},
}
CONTRACTION: dict[str, Options] = {
    f: {"activation": f, "contraction": 0.3, "tied": i % 2} for i, f in enumerate(ACTIVATIONS)
}
FEW: dict[str, Options] = {
    f"{kind}, {f}": {"sparsity": f"{kind}:2", "activation": f, "tied": False, "output_activation": "linear"}
    for kind in ("top-k", "batch-top-k")
    for f in ("relu", "linear")
}
VARIATIONAL: dict[str, Options] = {
    f"{loss}, {f'hidden layer, {f}' if hidden else 'no hidden layer'}": {
        "layers": "6,2",
        "kind": "variational",
        "loss": loss,
        "hidden": hidden,
        "beta": 0.7,
        "activation": f,
        "corruption": noise,
    }
    for loss, hidden, f, noise in (
        ("mse", 0, "tanh", "none"),
        ("bce", 0, "tanh", "gaussian:0.1"),
        ("mse", 3, "softplus", "none"),
        ("bce", 3, "tanh", "masking:0.3"),
    )
}
CONVOLUTIONAL: dict[str, Options] = {
    "pooled": {"layers": "4x5x1,conv2,pool", "activation": "tanh"},
    "pooled, relu, binary cross-entropy": {"layers": "4x5x1,conv2,pool", **BCE},
    "not pooled, noise": {"layers": "4x5x1,conv2", "activation": "gelu", "corruption": "masking:0.3"},
    "two channels, L1": {"layers": "2x5x2,conv2,pool", "activation": "softplus", "sparsity": "l1:0.1"},
}

_FUSED = (_activations(), _outputs(), PENALTIES, CONTRACTION, NOISE)
_OVER_OPS = (WEIGHT_L1, HELD, FEW, VARIATIONAL, CONVOLUTIONAL)


def _check(name: str, engine: str, *families: Mapping[str, Options]) -> Check:
    remedy = EAGER_REMEDY if engine == "fused" else ""
    return Check("gradients", name, COMPARED, FIGURE, lambda: layer_cases(engine, families), remedy)


CHECKS = (
    _check("activations", "eager", _activations()),
    _check("losses and outputs", "eager", _outputs()),
    _check("penalties", "eager", PENALTIES, WEIGHT_L1),
    _check("contraction", "eager", CONTRACTION),
    _check("kept units", "eager", FEW),
    _check("noise, emphasis, dropout", "eager", NOISE, HELD),
    _check("variational", "eager", VARIATIONAL),
    _check("convolutional", "eager", CONVOLUTIONAL),
    Check("gradients", "heads", COMPARED, FIGURE, lambda: head_cases("eager", HEADS)),
    Check(
        "gradients",
        "missing targets",
        "rows without a target to have no part in the gradient",
        "numbers that differ",
        missing_cases,
    ),
    _check("dense, fused step", "fused", *_FUSED),
    _check("others, compiled ops", "fused", *_OVER_OPS),
    Check("gradients", "heads, fused", COMPARED, FIGURE, lambda: head_cases("fused", HEADS), EAGER_REMEDY),
)
