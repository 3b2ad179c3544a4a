"""Fused against eager: compare every compiled op with its twin, and the whole step with autograd and torch.optim."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stackae.config import FinetuneConfig
from stackae.config.activations import ACTIVATIONS
from stackae.config.values import CORRUPTIONS
from stackae.ops import reference
from stackae.ops.step import Batches
from stackae.training.head import make_step as make_head_step
from stackae.training.layer import make_step
from stackae.training.optimizers import make_optimizer
from stackae.training.step import EagerStep, OneByOne, ReplicasStep
from stackae.verification.check import Case, Check, NotHereError
from stackae.verification.heads import HEADS, step_of
from stackae.verification.subjects import (
    CPU,
    EAGER_REMEDY,
    distance,
    furthest,
    need_extension,
    need_step,
    normal,
    replica_of,
    rows_of,
)

CUDA = torch.device("cuda")
ROUNDING = {torch.float64: 1e-13, torch.float32: 4e-6, torch.bfloat16: 2e-2}
"""The relative distance of an op's result to float64 that a type's rounding allows."""
SHAPES = ((40, 17, 9), (33, 70, 65))
STEPS, BATCH, RATE = 8, 16, 0.01
OPTIMIZERS = ("sgd", "adam", "adamw")
PENALTIES = ("none", "kl:0.1:0.3", "l1:0.01")
NOISES = ("none", "masking:0.3", "gaussian:0.3", "salt-and-pepper:0.3")
OF_CPU: tuple[dict[str, Any], ...] = (
    {"weight_l1": 0.01},
    {"dropout": "0.2:0.3"},
    {"max_norm": 0.5},
    {"emphasis": "1:0.5"},
    {},
)
"""What the step of a CPU has alone: dropout goes with no contraction, emphasis with noise that strikes some inputs."""


# ---- ops


def dense_cases(device: torch.device) -> Iterator[Case]:
    """Compare y and the gradients of x, weight and bias with the twin in float64, on inputs exact in the type."""
    ops = _ops(device)
    for dtype, activation, (batch, n_in, n_out) in itertools.product(ROUNDING, ACTIVATIONS, SHAPES):
        x, weight, bias = normal(batch, n_in, seed=1), normal(n_out, n_in, seed=2) / n_in**0.5, normal(n_out, seed=3)
        given = [each.to(device, dtype).requires_grad_() for each in (x, weight, bias)]
        exact = [each.detach().double().requires_grad_() for each in given]
        found, wanted = ops.dense_act(*given, activation), reference.dense_act(exact[0], exact[1], exact[2], activation)
        clear = torch.nn.functional.linear(*exact).abs() > 1e-2  # at a kink, rounding may choose the other slope
        slope = (normal(batch, n_out, seed=4).to(device) * clear).to(dtype)
        pairs = zip(
            (found, *torch.autograd.grad(found, given, slope)),
            (wanted, *torch.autograd.grad(wanted, exact, slope.double())),
            strict=True,
        )
        worst = max(distance(a, b) for a, b in pairs)
        yield Case(f"{activation}, {_name(dtype)}, {batch}x{n_in}-{n_out}", worst, ROUNDING[dtype])


def corrupt_cases(device: torch.device) -> Iterator[Case]:
    """Compare noise with the twin's: masking and salt-and-pepper bit-identical, Gaussian noise up to rounding."""
    ops = _ops(device)
    for dtype, kind, shape in itertools.product(ROUNDING, CORRUPTIONS, ((37, 130), (64, 64))):
        x = normal(*shape).to(device, dtype)
        given = (kind, 0.4, -1.5, 2.5, 2**40 + 7, 3, 2**33 + 1)
        found, wanted = ops.corrupt(x, *given), reference.corrupt(x, *given)
        bound = max(ROUNDING[dtype], 1e-6) if kind == "gaussian" else 0.0
        yield Case(f"{kind}, {_name(dtype)}", distance(found, wanted), bound)


def sparsity_cases(device: torch.device) -> Iterator[Case]:
    """Compare the penalty and its gradient with the twin in float64."""
    ops = _ops(device)
    for dtype, shape in itertools.product(ROUNDING, SHAPES):
        h = torch.sigmoid(normal(shape[0], shape[2]) * 3).to(device, dtype).requires_grad_()
        exact = h.detach().double().requires_grad_()
        found, wanted = ops.sparsity_kl(h, 0.05), reference.sparsity_kl(exact, 0.05)
        slopes = [torch.autograd.grad(*pair)[0] for pair in ((found, h), (wanted, exact))]
        worst = max(distance(found, wanted), distance(slopes[0], slopes[1]))
        yield Case(f"{_name(dtype)}, {shape[0]}x{shape[2]}", worst, ROUNDING[dtype])


def _ops(device: torch.device) -> Any:
    need_extension()
    if device.type == "cuda" and not torch.cuda.is_available():
        raise NotHereError("no CUDA device")
    return importlib.import_module("stackae.ops.compiled")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


# ---- the step


class Trained(NamedTuple):
    """The results of a short training: the loss of each batch, and the final parameters."""

    losses: Tensor
    parameters: list[Tensor]

    def off(self, wanted: Trained) -> float:
        """The larger of the relative distances of losses and of parameters to another training's."""
        own, other = ([each.detach().double().cpu() for each in one.parameters] for one in (self, wanted))
        return max(distance(self.losses, wanted.losses), furthest(own, other))


def settings(loss: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield settings: every activation, tied and untied, with optimizers, penalties and noise rotated through."""
    outputs = tuple(ACTIVATIONS)
    for number, (f, tied) in enumerate(itertools.product(ACTIVATIONS, (True, False))):
        for turn, optimizer in enumerate(OPTIMIZERS):
            penalty = PENALTIES[(number + turn) % 3]
            if penalty.startswith("kl") and not ACTIVATIONS[f].saturates:
                penalty = "l1:0.01"
            noise, decay = NOISES[(number // 2 + turn) % 4], 0.01 * ((number + turn) % 2)
            contraction = 0.05 * ((number // 2 + number + turn) % 2)
            output = "sigmoid" if loss == "bce" else outputs[(number + 3 * turn) % len(outputs)]
            yield (
                f"{f}, {'tied' if tied else 'untied'}, {optimizer}, {penalty}, contraction {contraction:g}, {noise}, "
                f"output {output}",
                {
                    "activation": f,
                    "output_activation": output,
                    "tied": tied,
                    "loss": loss,
                    "optimizer": optimizer,
                    "sparsity": penalty,
                    "contraction": contraction,
                    "corruption": noise,
                    "weight_decay": decay,
                    "momentum": 0.9,
                },
            )


def step_cases(loss: str, device: torch.device) -> Iterator[Case]:
    """Compare losses and weights after some float64 steps, one of them with a smaller batch.

    The compiled op draws Gaussian noise for both: the twin's agrees only up to float32 rounding.
    """
    need_step(device)
    for number, (name, options) in enumerate(settings(loss)):
        rows, n, m = SHAPES[number % 2]
        noise = options["corruption"]
        if noise.startswith("gaussian") and device.type == "cuda":
            continue  # on CUDA it agrees only up to rounding, which Adam amplifies
        more = OF_CPU[number % len(OF_CPU)] if device.type == "cpu" else {}
        if not ("dropout" in more and options["contraction"]) and not ("emphasis" in more and noise[0] not in "ms"):
            name, options = ", ".join([name, *more]), {**options, **more}
        x = rows_of(rows, n)
        found = _trained(f"{n},{m}", x, device, torch.float64, engine="fused", **options)
        ops = "fused" if noise.startswith("gaussian") else "eager"
        yield Case(name, found.off(_by_autograd(f"{n},{m}", x, engine=ops, **options)), 1e-9)


def precision_cases(precision: str, bound: float, device: torch.device) -> Iterator[Case]:
    """Compare losses and weights at the precisions that users train in with float64 autograd, by plain SGD."""
    need_step(device, precision)
    plain: dict[str, Any] = {"optimizer": "sgd", "momentum": 0.0, "corruption": "masking:0.3", "sparsity": "kl:0.1:0.3"}
    plain["contraction"] = 0.1
    for tied, (rows, n, m) in itertools.product((True, False), ((40, 17, 9), (96, 200, 130))):
        x = rows_of(rows, n).float().double()
        given = {**plain, "tied": tied}
        found = _trained(f"{n},{m}", x, device, torch.float32, engine="fused", precision=precision, **given)
        wanted = _by_autograd(f"{n},{m}", x, engine="eager", **given)
        yield Case(f"{n}-{m}, {'tied' if tied else 'untied'}", found.off(wanted), bound)


def head_cases(device: torch.device) -> Iterator[Case]:
    """Compare fused with eager fine-tuning for every head that the fused step supports."""
    need_step(device)
    for kind, optimizer in itertools.product(HEADS, OPTIMIZERS):
        pair = []
        for engine in ("fused", "eager"):
            one = HEADS[kind](engine)
            config = FinetuneConfig.model_validate(
                {"engine": engine, "optimizer": optimizer, "weight_decay": 1e-3, "device": "cpu"}
            )
            pair.append(_advanced(make_head_step(one, config, step_of(one, config), 1, 1), one.parameters, len(one.x)))
        yield Case(f"{kind}, {optimizer}", pair[0].off(pair[1]), 1e-9)


def together_cases() -> Iterator[Case]:
    """Compare each of several networks that train together with the same network trained alone."""
    need_step(CPU)
    x = rows_of(40, 17)
    each: list[dict[str, Any]] = [
        {"engine": "fused", "seed": seed, "learning_rate": 0.01 * (seed + 1)} for seed in range(3)
    ]
    replicas = [replica_of("17,9", x, **options) for options in each]
    make_step(replicas).advance([Batches(torch.arange(40), [RATE] * 3)] * 3, BATCH, 0)
    for number, replica in enumerate(replicas):
        alone = replica_of("17,9", x, **each[number])
        make_step([alone]).advance([Batches(torch.arange(40), [RATE] * 3)], BATCH, 0)
        yield Case(f"network {number + 1} of 3", furthest(replica.network.trained, alone.network.trained), 1e-12)


def thread_cases() -> Iterator[Case]:
    """Count the losses and weights that differ between one thread and several."""
    need_step(CPU)
    x = rows_of(96, 200).float()
    for optimizer, tied in itertools.product(("sgd", "adam"), (True, False)):
        options = {"optimizer": optimizer, "tied": tied, "corruption": "masking:0.3", "sparsity": "kl:0.1:0.3"}
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(_trained("200,130", x, CPU, torch.float32, engine="fused", **options))
        differ = sum(
            int((a != b).sum())
            for other in found[1:]
            for a, b in zip([other.losses, *other.parameters], [found[0].losses, *found[0].parameters], strict=True)
        )
        yield Case(f"{optimizer}, {'tied' if tied else 'untied'}", differ, 0)


def _trained(layers: str, x: Tensor, device: torch.device, dtype: torch.dtype, **options: Any) -> Trained:
    replica = replica_of(layers, x, device, dtype, **options)
    return _advanced(make_step([replica]), replica.network.trained, len(x))


def _by_autograd(layers: str, x: Tensor, **options: Any) -> Trained:
    """Train by autograd in float64 on the CPU."""
    replica = replica_of(layers, x, **options)
    decay = replica.layer.weight_decay
    optimizer = make_optimizer(replica.network, replica.config, replica.learning_rate, decay)
    return _advanced(OneByOne([EagerStep(replica.objective, optimizer)]), replica.network.trained, len(x))


def _advanced(step: ReplicasStep, parameters: list[Tensor], count: int) -> Trained:
    """Take some steps, one batch per call, so that each batch's loss is reported."""
    losses: list[float] = []
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0)).repeat(STEPS * BATCH)
    for number in range(STEPS):
        rows = order[number * BATCH : (number + 1) * BATCH]
        if number == 2:
            rows = rows[: BATCH // 2]
        (progress,) = step.advance([Batches(rows, [RATE / (1 + number) ** 0.5])], BATCH, number)
        losses.append(progress.total / len(rows) if progress.steps == 1 else float("nan"))
    return Trained(torch.tensor(losses, dtype=torch.float64), [each.detach().clone() for each in parameters])


def _on(measure: Callable[..., Iterator[Case]], *given: Any) -> Callable[[], Iterator[Case]]:
    return lambda: measure(*given)


def _check(name: str, compared: str, measure: Callable[[], Iterator[Case]], threads: bool = False) -> Check:
    return Check("fused", name, compared, "relative error", measure, EAGER_REMEDY, threads)


_OP = "and its gradients to be those of plain torch in float64"
_STEP = f"losses and weights after {STEPS} steps to be those of autograd and torch.optim"

CHECKS = (
    _check("dense_act", f"values {_OP}", _on(dense_cases, CPU), threads=True),
    _check("sparsity_kl", f"the penalty {_OP}", _on(sparsity_cases, CPU), threads=True),
    _check("corrupt", "noise to be that of plain torch", _on(corrupt_cases, CPU), threads=True),
    _check("step, squared error", f"float64: {_STEP}", _on(step_cases, "mse", CPU)),
    _check("step, cross-entropy", f"float64: {_STEP}", _on(step_cases, "bce", CPU)),
    _check("step, heads", f"float64: {_STEP}", _on(head_cases, CPU)),
    _check("step, float32", f"fp32: {_STEP}", _on(precision_cases, "fp32", 1e-4, CPU)),
    _check("step, bfloat16", f"bf16: {_STEP}", _on(precision_cases, "bf16", 3e-2, CPU)),
    _check("step, together", "networks that train together to be those that train alone", together_cases, threads=True),
    Check(
        "fused",
        "step, threads",
        "losses and weights to be the same for 1, 2 and 3 threads",
        "numbers that differ",
        thread_cases,
        EAGER_REMEDY,
        threads=True,
    ),
    _check("dense_act, CUDA", f"values {_OP}", _on(dense_cases, CUDA)),
    _check("sparsity_kl, CUDA", f"the penalty {_OP}", _on(sparsity_cases, CUDA)),
    _check("corrupt, CUDA", "noise to be that of plain torch", _on(corrupt_cases, CUDA)),
    _check("step, CUDA", f"float64: {_STEP}", _on(step_cases, "mse", CUDA)),
    _check("step, fp32, CUDA", f"fp32: {_STEP}", _on(precision_cases, "fp32", 1e-4, CUDA)),
    _check("step, tf32, CUDA", f"tf32: {_STEP}", _on(precision_cases, "tf32", 1e-2, CUDA)),
    _check("step, bf16, CUDA", f"bf16: {_STEP}", _on(precision_cases, "bf16", 3e-2, CUDA)),
)
