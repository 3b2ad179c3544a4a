"""The CPU step's own matmuls against MKL and oneDNN, by shape.

    python -m benchmarks.matmuls [--json FILE] [--threads N] [--rounds N] [--only TEXT ...]

Each row is one of the five products of a training step of batch x visible-hidden, float32. Weights lie as the user's
do, codes and gradients in rows that are padded as the step pads them; who wants a factor transposed copies it within
its time. MKL: torch.mm with out=. oneDNN: its inner product, with the right factor packed beforehand where that is a
weight. ratio: time of the other / time of the own matmul, above 1 where the own one wins; with the 95 % interval.

STACKAE_CPU_LEVEL=v3 measures what a processor without AVX-512 runs; MKL_CBWR=AVX2 and ONEDNN_MAX_CPU_ISA=AVX2 ask the
same of the others.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.cases import STEPS_MEASURED
from benchmarks.machine import machine, save
from benchmarks.timing import AGAIN, Run, compare, noise_cell, working
from stackae import ops

CPU = torch.device("cpu")
VECTOR, PAGE = 16, 256  # numbers; rows a multiple of PAGE apart would share cache sets
LEVELS = ("STACKAE_CPU_LEVEL", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA")


class Product(NamedTuple):
    """c (m, n) = a b; a factor lies transposed or not."""

    name: str
    m: int
    n: int
    k: int
    a_transposed: bool = False
    b_transposed: bool = False


def products(batch: int, visible: int, hidden: int) -> tuple[Product, ...]:
    """The five of a step: two layers forward, one backward, the gradients of two weights."""
    return (
        Product("encoder", batch, hidden, visible, b_transposed=True),
        Product("decoder", batch, visible, hidden, b_transposed=True),
        Product("code gradient", batch, hidden, visible),
        Product("decoder's weight gradient", visible, hidden, batch, a_transposed=True),
        Product("encoder's weight gradient", hidden, visible, batch, a_transposed=True),
    )


def padded(rows: int, columns: int) -> Tensor:
    """A random matrix whose rows are as far apart as the step's are."""
    width = -(-columns // VECTOR) * VECTOR
    return torch.rand(rows, width + VECTOR if width % PAGE == 0 else width)[:, :columns]


def contenders(product: Product) -> dict[str, Callable[[], Run]]:
    """What makes each of them ready, by name."""
    m, n, k = product.m, product.n, product.k
    a = padded(k, m).t() if product.a_transposed else padded(m, k)
    b = padded(k, n) if product.a_transposed else torch.rand(n, k).t() if product.b_transposed else torch.rand(k, n)

    def own() -> Run:
        return partial(ops.bare_product, a, b, padded(m, n))

    def mkl() -> Run:
        return partial(torch.mm, a, b, out=torch.empty(m, n))

    def onednn() -> Run:
        weight = torch.ops.mkldnn._reorder_linear_weight(b.t().contiguous(), m)
        return partial(torch.ops.mkldnn._linear_pointwise, a.contiguous(), weight, None, "none", [], "")

    with_weight = {} if product.a_transposed else {"oneDNN": onednn}
    return {"own": own, "MKL": mkl, **with_weight}


def planned() -> Iterator[tuple[str, Product]]:
    """Every row: its title and its product."""
    shapes = dict.fromkeys((case.batch, case.n_visible, case.n_hidden) for case in STEPS_MEASURED)
    for batch, visible, hidden in shapes:
        for product in products(batch, visible, hidden):
            yield f"{batch}x{visible}-{hidden} {product.name}", product


def measure(title: str, product: Product, rounds: int) -> dict[str, Any]:
    runs, failed = working(contenders(product), CPU)
    by_name = {result.name: result for result in compare(runs, rounds=rounds, sample_ms=2, device=CPU)}
    own = by_name["own"]
    return {
        "case": title,
        "gflops": 2e-3 * product.m * product.n * product.k / own.minimum,
        **{name: {"ratio": by_name[name].ratio, "interval": by_name[name].interval} for name in runs if name != "own"},
        "noise": by_name["own" + AGAIN].interval,
        "failed": failed,
        "detail": {name: result._asdict() for name, result in by_name.items()},
    }


def show(entry: dict[str, Any]) -> None:
    ratios = [f"{name} {entry[name]['ratio']:5.2f}" for name in ("MKL", "oneDNN") if name in entry]
    cells = (f"{entry['case']:40}", f"{entry['gflops']:6.1f} GF/s", *ratios)
    print(" | ".join((*cells, noise_cell(entry["noise"], entry["detail"]))), flush=True)
    for name, error in entry["failed"].items():
        print(f"    {name} failed: {error}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="rows whose title holds one of these")
    asked = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(asked.threads)
    levels = {name: os.environ[name] for name in LEVELS if name in os.environ}
    about = {**machine(CPU), "threads": asked.threads, "rounds": asked.rounds, "levels": levels}
    print({name: value for name, value in about.items() if name != "build"}, ops.products())
    entries = []
    for title, product in planned():
        if any(text in title for text in asked.only):
            entries.append(measure(title, product, asked.rounds))
            show(entries[-1])
            if asked.json:
                save(asked.json, about, entries)


if __name__ == "__main__":
    main()
