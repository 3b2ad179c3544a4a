"""Fused against eager: compare the whole training step with autograd and torch.optim."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stackae.config import FinetuneConfig
from stackae.config.activations import ACTIVATIONS
from stackae.ops.step import Batches
from stackae.training.head import make_step as make_head_step
from stackae.training.layer import make_step
from stackae.training.optimizers import make_optimizer
from stackae.training.step import EagerStep, OneByOne, ReplicasStep
from stackae.verification.check import Case, Check
from stackae.verification.heads import HEADS, step_of
from stackae.verification.subjects import (
    CPU,
    CUDA,
    EAGER_REMEDY,
    SHAPES,
    distance,
    furthest,
    fused_check,
    need_step,
    replica_of,
    rows_of,
)

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
KEPT = ("top-k:3", "batch-top-k:3", "lifetime:0.2")
BESIDE_KEPT: tuple[dict[str, Any], ...] = (
    {"revive": "auxiliary:2:24"},
    {"weight_l1": 0.01},
    {"dropout": "0.2:0.3"},
    {"max_norm": 0.5},
    {"emphasis": "1:0.5"},
)
KEEPS_ALL: dict[str, Any] = {}
FEW: dict[str, Any] = {"sparsity": "top-k:5", "activation": "relu", "contraction": 0.0}


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


def kept_settings() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield settings of codes that keep few units: every activation that they have, and all else rotated through."""
    outputs, able = tuple(ACTIVATIONS), [f for f in ACTIVATIONS if not ACTIVATIONS[f].saturates]
    for number, (f, tied, optimizer) in enumerate(itertools.product(able, (True, False), OPTIMIZERS)):
        kept, noise, loss = KEPT[number // 2 % 3], NOISES[number % 4], ("mse", "bce")[number // 3 % 2]
        output = "sigmoid" if loss == "bce" else outputs[number % len(outputs)]
        more = BESIDE_KEPT[number % len(BESIDE_KEPT)]
        if "emphasis" in more:
            noise = "salt-and-pepper:0.3"
        if "revive" in more and kept.startswith("lifetime"):
            more = {}
        yield (
            ", ".join([f, "tied" if tied else "untied", optimizer, kept, noise, f"output {output}", *more]),
            {
                "activation": f,
                "output_activation": output,
                "tied": tied,
                "loss": loss,
                "optimizer": optimizer,
                "sparsity": kept,
                "corruption": noise,
                "weight_decay": 0.01 * (number % 2),
                **more,
            },
        )


def step_cases(loss: str, device: torch.device) -> Iterator[Case]:
    """Compare losses and weights after some float64 steps, one of them with a smaller batch."""
    need_step(device)
    for number, (name, options) in enumerate(settings(loss)):
        noise = options["corruption"]
        if noise.startswith("gaussian") and device.type == "cuda":
            continue  # on CUDA it agrees only up to rounding, which Adam amplifies
        more = OF_CPU[number % len(OF_CPU)] if device.type == "cpu" else {}
        if not ("dropout" in more and options["contraction"]) and not ("emphasis" in more and noise[0] not in "ms"):
            name, options = ", ".join([name, *more]), {**options, **more}
        yield _compared(name, number, device, options)


def kept_cases() -> Iterator[Case]:
    """Compare the step of codes that keep few units in the same way; it is the CPU's alone."""
    need_step(CPU)
    for number, (name, options) in enumerate(kept_settings()):
        yield _compared(name, number, CPU, options)


def precision_cases(precision: str, bound: float, device: torch.device) -> Iterator[Case]:
    """Compare losses and weights at the precisions that users train in with float64 autograd, by plain SGD."""
    need_step(device, precision)
    plain: dict[str, Any] = {"optimizer": "sgd", "momentum": 0.0, "corruption": "masking:0.3", "sparsity": "kl:0.1:0.3"}
    plain["contraction"] = 0.1
    kept = [FEW] if precision == "fp32" and device.type == "cpu" else []
    for more, tied, (rows, n, m) in itertools.product((KEEPS_ALL, *kept), (True, False), ((40, 17, 9), (96, 200, 130))):
        x = rows_of(rows, n).float().double()
        given = {**plain, "tied": tied, **more}
        found = _trained(f"{n},{m}", x, device, torch.float32, engine="fused", precision=precision, **given)
        wanted = _by_autograd(f"{n},{m}", x, engine="eager", **given)
        yield Case(_named(f"{n}-{m}", tied, more), found.off(wanted), bound)


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
    for more in (KEEPS_ALL, FEW):
        each: list[dict[str, Any]] = [
            {"engine": "fused", "seed": seed, "learning_rate": 0.01 * (seed + 1), **more} for seed in range(3)
        ]
        replicas = [replica_of("17,9", x, **options) for options in each]
        make_step(replicas).advance([Batches(torch.arange(40), [RATE] * 3)] * 3, BATCH, 0)
        for number, replica in enumerate(replicas):
            alone = replica_of("17,9", x, **each[number])
            make_step([alone]).advance([Batches(torch.arange(40), [RATE] * 3)], BATCH, 0)
            name = ", ".join([f"network {number + 1} of 3", *([more["sparsity"]] if more else [])])
            yield Case(name, furthest(replica.network.trained, alone.network.trained), 1e-12)


def thread_cases() -> Iterator[Case]:
    """Count the losses and weights that differ between one thread and several."""
    need_step(CPU)
    x = rows_of(96, 200).float()
    plain = {"corruption": "masking:0.3", "sparsity": "kl:0.1:0.3"}
    for more, optimizer, tied in itertools.product((KEEPS_ALL, FEW), ("sgd", "adam"), (True, False)):
        options = {**plain, "optimizer": optimizer, "tied": tied, **more}
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(_trained("200,130", x, CPU, torch.float32, engine="fused", **options))
        differ = sum(
            int((a != b).sum())
            for other in found[1:]
            for a, b in zip([other.losses, *other.parameters], [found[0].losses, *found[0].parameters], strict=True)
        )
        yield Case(_named(optimizer, tied, more), differ, 0)


def _named(first: str, tied: bool, more: dict[str, Any]) -> str:
    return ", ".join([first, "tied" if tied else "untied", *([more["sparsity"]] if more else [])])


def _compared(name: str, number: int, device: torch.device, options: dict[str, Any]) -> Case:
    """Train both ways. The compiled op draws Gaussian noise for both: the twin's agrees up to float32 rounding."""
    rows, n, m = SHAPES[number % len(SHAPES)]
    x, ops = rows_of(rows, n), "fused" if options["corruption"].startswith("gaussian") else "eager"
    found = _trained(f"{n},{m}", x, device, torch.float64, engine="fused", **options)
    return Case(name, found.off(_by_autograd(f"{n},{m}", x, engine=ops, **options)), 1e-9)


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


_TOGETHER = "networks that train together to be those that train alone"
_STEP = f"losses and weights after {STEPS} steps to be those of autograd and torch.optim"

CHECKS = (
    fused_check("step, squared error", f"float64: {_STEP}", step_cases, "mse", CPU),
    fused_check("step, cross-entropy", f"float64: {_STEP}", step_cases, "bce", CPU),
    fused_check("step, kept units", f"float64: {_STEP}", kept_cases),
    fused_check("step, heads", f"float64: {_STEP}", head_cases, CPU),
    fused_check("step, float32", f"fp32: {_STEP}", precision_cases, "fp32", 1e-4, CPU),
    fused_check("step, bfloat16", f"bf16: {_STEP}", precision_cases, "bf16", 3e-2, CPU),
    fused_check("step, together", _TOGETHER, together_cases, threads=True),
    Check(
        "fused",
        "step, threads",
        "losses and weights to be the same for 1, 2 and 3 threads",
        "numbers that differ",
        thread_cases,
        EAGER_REMEDY,
        threads=True,
    ),
    fused_check("step, CUDA", f"float64: {_STEP}", step_cases, "mse", CUDA),
    fused_check("step, fp32, CUDA", f"fp32: {_STEP}", precision_cases, "fp32", 1e-4, CUDA),
    fused_check("step, tf32, CUDA", f"tf32: {_STEP}", precision_cases, "tf32", 1e-2, CUDA),
    fused_check("step, bf16, CUDA", f"bf16: {_STEP}", precision_cases, "bf16", 3e-2, CUDA),
)
