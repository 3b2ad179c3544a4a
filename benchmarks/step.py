"""The fused training step against its bare products, eager PyTorch and torch.compile.

    python -m benchmarks.step [--json FILE] [--threads N] [--rounds N] [--only TEXT] [--no-compile]

Every contender trains the same network on the same rows, which lie in memory, STEPS batches a call. ratio: its time /
the fused step's, above 1 where the fused step wins, with the 95 % interval. floor: time of the products alone, by
whichever of MKL (torch.mm with out=) and oneDNN brgemm (operands already in the layout that it wants) is faster /
time of the fused step. All in float32, but for rows that say bf16: there fused and floor have bfloat16 products, the
others stay in float32, and the ratio is one of precision too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.cases import STEPS_MEASURED, StepCase
from benchmarks.machine import machine, save
from benchmarks.timing import AGAIN, Comparison, compare, noise_cell
from benchmarks.usual import RHO, kl, noise
from stackae import ops

RATE, BETA = 1e-3, 0.1
STEPS = 4  # a call
OTHERS = ("eager, Adam", "eager, fused Adam", "torch.compile, Adam", "torch.compile, fused Adam")

Network = list[Tensor]  # weight, bias, decoder weight (if untied), decoder bias


def network(case: StepCase) -> Network:
    generator = torch.Generator().manual_seed(0)
    scale = (6 / (case.n_visible + case.n_hidden)) ** 0.5
    weights = [
        (2 * torch.rand(*shape, generator=generator) - 1) * scale
        for shape in ((case.n_hidden, case.n_visible), (case.n_visible, case.n_hidden))
    ]
    decoder = [] if case.tied else [weights[1]]
    return [weights[0], torch.zeros(case.n_hidden), *decoder, torch.zeros(case.n_visible)]


def fused_step(case: StepCase, x: Tensor, order: Tensor) -> Callable[[], object]:
    weight, bias, *decoder, decoder_bias = network(case)
    training = ops.Training(
        layers=[
            ops.DenseLayer(weight, bias, "sigmoid"),
            ops.DenseLayer(decoder[0] if decoder else None, decoder_bias, "sigmoid", 0 if case.tied else -1),
        ],
        x=x,
        loss="mse",
        corruption=(case.corruption, 0.3, 0.0, 1.0),
        sparsity=(RHO, BETA),
    )
    step = ops.train_step(training, "bf16" if case.bfloat16 else "fp32")
    rates, done = [RATE] * STEPS, iter(range(0, 1 << 60, STEPS))
    return lambda: step.advance(order, case.batch, next(done), rates)


def usual_loss(parameters: Sequence[Tensor], x: Tensor, kind: str) -> Tensor:
    """Denoising, squared error and the KL penalty as they are usually written."""
    weight, bias, *decoder, decoder_bias = parameters
    h = torch.sigmoid(F.linear(noise(x, kind), weight, bias))
    z = torch.sigmoid(F.linear(h, decoder[0] if decoder else weight.t(), decoder_bias))
    return F.mse_loss(z, x, reduction="sum") / len(x) + BETA * kl(h, RHO)


def eager_step(
    case: StepCase, x: Tensor, order: Tensor, *, fused: bool, loss: Callable[..., Tensor]
) -> Callable[[], object]:
    parameters = [parameter.requires_grad_() for parameter in network(case)]
    optimizer = torch.optim.Adam(parameters, lr=RATE, fused=fused)

    def run() -> None:
        for start in range(0, len(order), case.batch):
            rows = order[start : start + case.batch]
            optimizer.zero_grad(set_to_none=True)
            loss(parameters, x.index_select(0, rows), case.corruption).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return run


def bare_products(case: StepCase) -> dict[str, Callable[[], object]]:
    """The five products of a step, STEPS times, by each library that has them."""
    b, n, m = case.batch, case.n_visible, case.n_hidden
    shapes = [(b, n, m), (b, m, n), (b, n, m), (m, b, n), (m, b, n)]
    wide = [(torch.rand(rows, depth), torch.rand(depth, columns)) for rows, depth, columns in shapes]
    outs = [torch.empty(rows, columns) for rows, _, columns in shapes]
    weight, x, h = torch.rand(m, n), torch.rand(b, n), torch.rand(b, m)
    factors = [(x, weight.t()), (h, weight), (x, weight.t()), (h.t(), x), (h.t(), x)]

    def mkl() -> None:
        for _ in range(STEPS):
            for (left, right), out in zip(factors, outs, strict=True):
                torch.mm(left, right, out=out)

    if ops.products("cpu", "bf16" if case.bfloat16 else "fp32") != "oneDNN brgemm":
        return {"MKL": mkl}
    if case.bfloat16:
        wide = [(left.bfloat16(), right.bfloat16().view(len(right) // 2, -1, 2)) for left, right in wide]

    def brgemm() -> None:
        for _ in range(STEPS):
            for (left, right), out in zip(wide, outs, strict=True):
                ops.bare_product(left, right, out)

    return {"MKL": mkl, "brgemm": brgemm}


def contenders(case: StepCase, compiled: bool) -> dict[str, Callable[[], object]]:
    x = torch.rand(STEPS * case.batch, case.n_visible, generator=torch.Generator().manual_seed(1))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(2))
    found = {
        "fused": fused_step(case, x, order),
        "eager, Adam": eager_step(case, x, order, fused=False, loss=usual_loss),
        "eager, fused Adam": eager_step(case, x, order, fused=True, loss=usual_loss),
    }
    if compiled:
        torch.compiler.reset()
        for fused in (False, True):
            name = f"torch.compile, {'fused ' * fused}Adam"
            found[name] = eager_step(case, x, order, fused=fused, loss=torch.compile(usual_loss))
    return found | bare_products(case)


def entry(case: StepCase, results: list[Comparison]) -> dict[str, Any]:
    by_name = {result.name: result for result in results}
    libraries = [name for name in ("MKL", "brgemm") if name in by_name]
    best = min(libraries, key=lambda name: by_name[name].ratio)
    return {
        "case": case.name,
        **case._asdict(),
        "fused_us_per_step": by_name["fused"].microseconds / STEPS,
        "floor": {"library": best, "share": by_name[best].ratio, "interval": by_name[best].interval},
        "noise": by_name["fused" + AGAIN].interval,
        "ratios": {name: by_name[name].ratio for name in (*OTHERS, *libraries) if name in by_name},
        "detail": {name: result._asdict() for name, result in by_name.items()},
    }


def show(found: dict[str, Any]) -> None:
    cells = [f"{found['case']:32}", f"{found['fused_us_per_step']:9.0f}"]
    for name in OTHERS:
        if name not in found["detail"]:
            cells.append("-" * 20)
            continue
        low, high = found["detail"][name]["interval"]
        cells.append(f"{found['ratios'][name]:5.2f} [{low:5.2f}, {high:5.2f}]")
    floor = found["floor"]
    cells.append(f"{100 * floor['share']:3.0f} % {floor['library']:6}")
    cells.append(noise_cell(found["noise"], found["detail"]))
    print(" | ".join(cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name holds this")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    asked = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(asked.threads)
    about = {**machine(torch.device("cpu")), "threads": asked.threads, "rounds": asked.rounds, "steps_a_call": STEPS}
    print({name: value for name, value in about.items() if name != "build"})
    print(f"{'case':32} | fused, us | " + " | ".join(f"{name:20}" for name in OTHERS) + " | floor     | noise")
    entries = []
    for case in STEPS_MEASURED:
        if asked.only not in case.name or (case.bfloat16 and ops.products("cpu", "bf16") is None):
            continue
        results = compare(
            contenders(case, not asked.no_compile), rounds=asked.rounds, sample_ms=2, device=torch.device("cpu")
        )
        entries.append(entry(case, results))
        show(entries[-1])
    if asked.json:
        save(asked.json, about, entries)


if __name__ == "__main__":
    main()
