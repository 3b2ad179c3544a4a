"""The rows of benchmarks.step on a CPU: the cases, and several networks at once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from benchmarks.cases import POPULATED, STEPS_MEASURED, StepCase
from benchmarks.step_contenders import (
    UsualStep,
    fused_step,
    of_rows,
    own_products,
    products,
    usual_loss,
)
from benchmarks.step_rows import Entry, Planned, entry
from benchmarks.timing import Run, compare
from stackae import ops

STEPS = 4  # a call
OWN = "own matmuls"
AT_ONCE = (1, 8)
CPU = torch.device("cpu")


def planned(rounds: int, compiled: bool) -> Iterator[Planned]:
    """One row a case, without those whose products this processor has not; then several networks at once."""
    for case in STEPS_MEASURED:
        if not case.bfloat16 or ops.products("cpu", "bf16") is not None:
            yield Planned("cases", case.name, partial(measure, case, rounds, compiled))
    for case in POPULATED:
        name = f"{case.name}, at once"
        yield Planned("population", name, partial(measure_population, name, case, rounds))


def measure(case: StepCase, rounds: int, compiled: bool) -> Entry:
    results = compare(contenders(case, compiled), rounds=rounds, sample_ms=2, device=CPU)
    precision = "bf16" if case.bfloat16 else "fp32"
    return entry("cases", case.name, case, precision, results, floors=("MKL", OWN), steps=STEPS)


def measure_population(name: str, case: StepCase, rounds: int) -> Entry:
    """Several networks in one call, in time per step of one of them, against one network alone."""
    x, order = rows_and_order(case)
    names = {f"{members} at once": members for members in AT_ONCE}
    runs = {each: fused_step(case, x, order, "fp32", members) for each, members in names.items()}
    steps = {each: members * STEPS for each, members in names.items()}
    results = compare(runs, rounds=rounds, sample_ms=2, device=CPU, steps=steps)
    return entry("population", name, case, "fp32", results)


def rows_and_order(case: StepCase) -> tuple[Tensor, Tensor]:
    x = torch.rand(STEPS * case.batch, case.n_visible, generator=torch.Generator().manual_seed(1))
    return x, torch.randperm(len(x), generator=torch.Generator().manual_seed(2))


def contenders(case: StepCase, compiled: bool) -> dict[str, Run]:
    x, order = rows_and_order(case)
    precision = "bf16" if case.bfloat16 else "fp32"
    found = {
        "fused": fused_step(case, x, order, precision),
        "eager, Adam": UsualStep(case, x, order, of_rows(usual_loss), fused=False).eager(STEPS),
        "eager, fused Adam": UsualStep(case, x, order, of_rows(usual_loss), fused=True).eager(STEPS),
    }
    if compiled:
        torch.compiler.reset()
        for fused in (False, True):
            name = f"torch.compile, {'fused ' * fused}Adam"
            found[name] = UsualStep(case, x, order, of_rows(torch.compile(usual_loss)), fused=fused).eager(STEPS)
    found["MKL"] = products(case, STEPS, CPU)
    found[OWN] = own_products(case, STEPS)
    return found
