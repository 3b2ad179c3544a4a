"""dense_act, corrupt and sparsity_kl against eager PyTorch and torch.compile.

    python -m benchmarks.ops [--json FILE] [--threads N] [--rounds N] [--device cuda] [--activation NAME]
        [--only TEXT] [--no-compile]

ratio: time of the other / time of the fused op, above 1 where the fused op wins; with the 95 % interval.
floor: time of the bare matrix products (torch.mm with out=) / time of the fused op.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.cases import BATCHES, CODE_WIDTHS, DENSE, DenseCase
from benchmarks.machine import machine, save
from benchmarks.timing import AGAIN, Comparison, Run, compare, noise_cell, working
from benchmarks.usual import RHO, kl, noise
from stackae import ops
from stackae.ops import reference


def dense_contenders(
    case: DenseCase, batch: int, activation: str, backward: bool, device: torch.device
) -> dict[str, Run]:
    x = torch.rand(batch, case.n_in, device=device)
    weight = (torch.rand(case.n_out, case.n_in, device=device) - 0.5) / 10
    bias = torch.rand(case.n_out, device=device)
    wanted = [weight.requires_grad_(), bias.requires_grad_(), *([x.requires_grad_()] if case.input_gradient else [])]
    grad_y = torch.rand(batch, case.n_out, device=device)

    def training(op: Callable[..., Tensor]) -> Run:
        return lambda: torch.autograd.grad(op(x, weight, bias, activation), wanted, grad_y)

    def inference(op: Callable[..., Tensor]) -> Run:
        def run() -> object:
            with torch.no_grad():
                return op(x, weight, bias, activation)

        return run

    wrap = training if backward else inference
    return {
        "fused": wrap(ops.dense_act),
        "eager": wrap(reference.dense_act),
        "torch.compile": wrap(torch.compile(reference.dense_act)),
        "products": bare_products(x.detach(), weight.detach(), backward, case.input_gradient),
    }


def bare_products(x: Tensor, weight: Tensor, backward: bool, input_gradient: bool) -> Run:
    y, grad_x, grad_weight = x @ weight.t(), torch.empty_like(x), torch.empty_like(weight)

    def run() -> None:
        torch.mm(x, weight.t(), out=y)
        if backward:
            torch.mm(y.t(), x, out=grad_weight)
        if backward and input_gradient:
            torch.mm(y, weight, out=grad_x)

    return run


def kl_contenders(width: int, batch: int, backward: bool, device: torch.device) -> dict[str, Run]:
    h = (torch.rand(batch, width, device=device) * 0.2).requires_grad_()

    def wrap(op: Callable[[Tensor, float], Tensor]) -> Run:
        if backward:
            return lambda: torch.autograd.grad(op(h, RHO), h)
        code = h.detach()
        return lambda: op(code, RHO)

    return {"fused": wrap(ops.sparsity_kl), "eager": wrap(kl), "torch.compile": wrap(torch.compile(kl))}


def noise_contenders(width: int, batch: int, kind: str, device: torch.device) -> dict[str, Run]:
    x = torch.rand(batch, width, device=device)
    steps = itertools.count()

    return {
        "fused": lambda: ops.corrupt(x, kind, 0.3, 0.0, 1.0, 0, 1, next(steps)),
        "eager": lambda: noise(x, kind),
        "torch.compile": functools.partial(torch.compile(noise), x, kind),
    }


def planned(activation: str, device: torch.device) -> Iterator[tuple[str, dict[str, Run]]]:
    """Every row: its title and its contenders."""
    for backward in (False, True):
        way = "forward+backward" if backward else "forward"
        for batch in BATCHES:
            for case in DENSE:
                title = f"dense_act {batch}x{case.n_in}->{case.n_out} {way}"
                yield title, dense_contenders(case, batch, activation, backward, device)
            for width in CODE_WIDTHS:
                yield f"sparsity_kl {batch}x{width} {way}", kl_contenders(width, batch, backward, device)
    for batch, kind in itertools.product(BATCHES, ("masking", "salt-and-pepper", "gaussian")):
        width = DENSE[0].n_in
        yield f"corrupt {batch}x{width} {kind}", noise_contenders(width, batch, kind, device)


def row(title: str, results: list[Comparison], failed: dict[str, str]) -> dict[str, Any]:
    by_name = {result.name: result for result in results}
    fused = by_name["fused"]
    entry: dict[str, Any] = {"case": title, "fused_us": fused.microseconds, "samples": fused.samples}
    for other in (name for name in ("eager", "torch.compile") if name in by_name):
        entry[other] = {"ratio": by_name[other].ratio, "interval": by_name[other].interval}
    entry["noise"] = by_name["fused" + AGAIN].interval
    entry["floor"] = by_name["products"].ratio if "products" in by_name else None
    entry["failed"] = failed
    entry["detail"] = {name: result._asdict() for name, result in by_name.items()}
    return entry


def show(entry: dict[str, Any]) -> None:
    cells = [f"{entry['case']:44}", f"{entry['fused_us']:9.1f}"]
    for other in ("eager", "torch.compile"):
        if other not in entry:
            cells.append(f"{'failed' if other in entry['failed'] else '-':25}")
            continue
        low, high = entry[other]["interval"]
        verdict = "wins" if low > 1 else "loses" if high < 1 else "even"
        cells.append(f"{entry[other]['ratio']:6.2f} [{low:4.2f}, {high:4.2f}] {verdict:5}")
    cells.append("   -  " if entry["floor"] is None else f"{100 * entry['floor']:4.0f} %")
    cells.append(noise_cell(entry["noise"], entry["detail"]))
    print(" | ".join(cells), flush=True)
    for name, error in entry["failed"].items():
        print(f"    {name} failed: {error}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--activation", default="sigmoid", choices=list(reference.ACTIVATIONS))
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="rows whose title holds one of these")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    asked = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(asked.threads)
    about = {**machine(asked.device), "threads": asked.threads, "activation": asked.activation, "rounds": asked.rounds}
    print({name: value for name, value in about.items() if name != "build"})
    print(f"{'case':44} | fused, us | eager / fused             | torch.compile / fused     | floor | noise")
    entries, broken = [], []
    for title, contenders in planned(asked.activation, asked.device):
        if not any(text in title for text in asked.only):
            continue
        makers = {name: functools.partial(_given, run) for name, run in contenders.items()}
        if asked.no_compile:
            del makers["torch.compile"]
        runs, failed = working(makers, asked.device)
        if "fused" in failed:
            broken.append(f"{title}: {failed['fused']}")
            continue
        results = compare(runs, rounds=asked.rounds, sample_ms=2, device=asked.device)
        entries.append(row(title, results, failed))
        show(entries[-1])
        if asked.json:
            save(asked.json, about, entries)
    if broken:
        sys.exit("\n".join(broken))


def _given(run: Run) -> Run:
    return run


if __name__ == "__main__":
    main()
