"""The rows of benchmarks.step on a GPU: the cases in every precision, populations, and a ladder of widths."""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.cases import (
    COMPILED,
    COMPILED_IN_GRAPH,
    FIRST,
    FLOOR,
    LADDER,
    LATER,
    POPULATED,
    POPULATIONS,
    PRODUCTS,
    REFERENCE,
    PrecisionCase,
    StepCase,
)
from benchmarks.step_contenders import (
    UsualStep,
    fused_step,
    graphed_products,
    half_loss,
    library_precision,
    of_rows,
    usual_loss,
)
from benchmarks.step_rows import Entry, Planned, entry
from benchmarks.timing import Run, compare, working
from stackae import ops

UNROLLED = 20
"""Steps in a CUDA graph of eager PyTorch, and in a call of each contender but the fused step."""
MOST_STEPS, FEWEST_STEPS = 1000, 60
"""Steps in a call of the fused step, which synchronises once a call: as many as keep it near 20 ms."""
MOST_ROWS, MOST_BYTES = 61_440, 2**28
"""Of the data: about MNIST's, far more than a cache holds."""
SAMPLE_MS = 20

Makers = dict[str, Callable[[], Run]]


def planned(device: torch.device, rounds: int, compiled: bool) -> Iterator[Planned]:
    """Every row, those with a target first, what is compiled last.

    Compiling takes far longer than measuring, and may end in an error that no later work on the device survives.
    """
    for each in (*FIRST, *LATER):
        yield Planned("cases", each.name, partial(measure_case, each, device, rounds))
    for case in POPULATED:
        name = f"{case.name}, tf32, {', '.join(map(str, POPULATIONS))} at once"
        yield Planned("population", name, partial(measure_population, name, case, "tf32", device, rounds))
    for each in LADDER:
        yield Planned("ladder", each.name, partial(measure_rung, each, device, rounds))
    for each in (*FIRST, *LATER) if compiled else ():
        yield Planned("compiled", each.name, partial(measure_compiled, each, device, rounds))


def steps_a_call(case: StepCase) -> int:
    """A multiple of UNROLLED, 1,000 for the reference step and fewer for larger ones."""
    share = math.prod(REFERENCE[1:4]) / math.prod(case[1:4])
    return max(FEWEST_STEPS, min(MOST_STEPS, round(MOST_STEPS * share) // UNROLLED * UNROLLED))


def rows_and_order(case: StepCase, device: torch.device) -> tuple[Tensor, Tensor]:
    """x (n, n_visible) on the device, and on the CPU what rows a call of the fused step reads, epochs in random order.

    n is a multiple of the batch, so that no batch is short.
    """
    n = min(MOST_ROWS, MOST_BYTES // (4 * case.n_visible)) // case.batch * case.batch
    wanted = steps_a_call(case) * case.batch
    order = torch.cat([torch.randperm(n) for _ in range(math.ceil(wanted / n))])[:wanted]
    return torch.rand(n, case.n_visible, device=device), order


def measure_case(each: PrecisionCase, device: torch.device, rounds: int) -> Entry:
    """The fused step against all that takes no compiler."""
    case, precision = each
    x, order = rows_and_order(case, device)
    there = order.to(device)
    eager = of_rows(half_loss if precision == "bf16" else usual_loss)
    makers: Makers = {
        "fused": lambda: fused_step(case, x, order, precision),
        "eager, Adam": lambda: UsualStep(case, x, there, eager, fused=False).eager(UNROLLED),
        "eager, fused Adam": lambda: UsualStep(case, x, there, eager, fused=True).eager(UNROLLED),
        "eager in a CUDA graph": lambda: UsualStep(case, x, there, eager, fused=True, capturable=True).graphed(
            UNROLLED
        ),
        FLOOR: lambda: graphed_products(case, UNROLLED, device, precision),
    }
    steps = dict.fromkeys(makers, UNROLLED) | {"fused": steps_a_call(case)}
    return _measured("cases", each.name, case, precision, makers, steps, device, rounds)


def measure_compiled(each: PrecisionCase, device: torch.device, rounds: int) -> Entry:
    """The fused step against torch.compile: a row of its own, so that the one without stays, whatever becomes of it."""
    case, precision = each
    x, order = rows_and_order(case, device)
    there = order.to(device)
    eager = of_rows(half_loss if precision == "bf16" else usual_loss)
    makers: Makers = {"fused": lambda: fused_step(case, x, order, precision)}
    for name, mode in COMPILED.items():
        makers[name] = partial(_compiled, case, x, there, eager, mode)
    makers[COMPILED_IN_GRAPH] = lambda: UsualStep(
        case, x, there, torch.compile(eager), fused=True, capturable=True
    ).graphed(UNROLLED)
    steps = dict.fromkeys(makers, UNROLLED) | {"fused": steps_a_call(case)}
    return _measured("compiled", each.name, case, precision, makers, steps, device, rounds)


def _compiled(case: StepCase, x: Tensor, order: Tensor, loss: Callable[..., Tensor], mode: str) -> Run:
    """The batch's gathering, loss and gradients compiled together; Adam in one kernel beside them."""
    return UsualStep(case, x, order, torch.compile(loss, mode=mode), fused=True).eager(UNROLLED)


def measure_population(name: str, case: StepCase, precision: str, device: torch.device, rounds: int) -> Entry:
    """Several networks in one launch, in time per step of one of them, against one network alone."""
    x, order = rows_and_order(case, device)
    makers: Makers = {
        f"{members} at once": partial(fused_step, case, x, order, precision, members) for members in POPULATIONS
    }
    steps = {f"{members} at once": members * steps_a_call(case) for members in POPULATIONS}
    return _measured("population", name, case, precision, makers, steps, device, rounds)


def measure_rung(each: PrecisionCase, device: torch.device, rounds: int) -> Entry:
    """The step by its own products against the step by the library's."""
    case, precision = each
    x, order = rows_and_order(case, device)
    makers: Makers = {name: partial(_forced, case, x, order, precision, choice) for name, choice in PRODUCTS.items()}
    makers[FLOOR] = lambda: graphed_products(case, UNROLLED, device, precision)
    steps = dict.fromkeys(PRODUCTS, steps_a_call(case)) | {FLOOR: UNROLLED}
    return _measured("ladder", each.name, case, precision, makers, steps, device, rounds)


def _forced(case: StepCase, x: Tensor, order: Tensor, precision: str, choice: str) -> Run:
    with patch.dict(os.environ, STACKAE_CUDA_PRODUCTS=choice):
        return fused_step(case, x, order, precision)


def _measured(
    part: str,
    name: str,
    case: StepCase,
    precision: str,
    makers: Makers,
    steps: Mapping[str, int],
    device: torch.device,
    rounds: int,
) -> Entry:
    """The row of those contenders that run. Where the first one does not, it has no ratios, but the others' times."""
    torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    with library_precision(precision):
        runs, failed = working(makers, device)
        if not runs:
            return {"part": part, "case": name, "precision": precision, "failed": failed}
        results = compare(runs, rounds=rounds, sample_ms=SAMPLE_MS, device=device, steps=steps)
    found = entry(part, name, case, precision, results, floors=(FLOOR,), failed=failed)
    found["products"] = ops.products(device.type, precision)
    return found
