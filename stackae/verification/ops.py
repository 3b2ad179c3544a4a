"""The compiled ops: compare each, with its gradients, with its twin in plain torch."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator
from typing import Any

import torch

from stackae.config.activations import ACTIVATIONS
from stackae.config.values import CORRUPTIONS
from stackae.ops import reference
from stackae.verification.check import Case, NotHereError
from stackae.verification.subjects import CPU, CUDA, SHAPES, distance, fused_check, need_extension, normal

ROUNDING = {torch.float64: 1e-13, torch.float32: 4e-6, torch.bfloat16: 2e-2}
"""The relative distance of an op's result to float64 that a type's rounding allows."""


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


_LAW = "and its gradients to be those of plain torch in float64"

CHECKS = tuple(
    check
    for device, where in ((CPU, ""), (CUDA, ", CUDA"))
    for check in (
        fused_check(f"dense_act{where}", f"values {_LAW}", dense_cases, device, threads=not where),
        fused_check(f"sparsity_kl{where}", f"the penalty {_LAW}", sparsity_cases, device, threads=not where),
        fused_check(f"corrupt{where}", "noise to be that of plain torch", corrupt_cases, device, threads=not where),
    )
)
