"""The fused training step against its bare products, eager PyTorch and torch.compile.

    python -m benchmarks.step [--json FILE] [--threads N] [--rounds N] [--only TEXT] [--no-compile]
    python -m benchmarks.step --device cuda [--part cases|compiled|population|ladder] [--append] [--patience S] ...

Every contender trains the same network on the same rows, which lie in memory, on the device. ratio: its time / the
fused step's, above 1 where the fused step wins, with the 95 % interval. floor: time of the products alone / time of the
fused step.

On the CPU a call takes four steps. The floor is the faster of MKL (torch.mm with out=) and the step's own matmuls
(operands already in the layout that they want; oneDNN's brgemm in bfloat16). All is float32, but for rows that say
bf16: there fused and floor have bfloat16 products, the others stay in float32, and the ratio is one of precision too.
STACKAE_CPU_LEVEL=v3 measures what a processor without AVX-512 would run; ATEN_CPU_CAPABILITY=avx2,
ONEDNN_MAX_CPU_ISA=AVX2 and MKL_ENABLE_INSTRUCTIONS=AVX2 ask the same of the others.

On CUDA the fused step takes up to 1,000 steps a call, with one synchronisation; the others run 20 steps at a time, as
often as fill a sample, which is synchronised at its ends alone. In a row all sides have one precision: tf32 is torch's
own for them, bf16 is autocast, and the floor has bfloat16 operands. The floor is torch.mm(out=), captured in a graph.
part compiled: the cases against torch.compile, in rows of their own; what is compiled is gathering, loss and gradients,
beside fused Adam; "in a CUDA graph" is the whole step, Adam too. On the CPU they are among the cases.
part population: several networks at once, in time per step of one. part ladder: square layers, the step's own products
against the library's, by STACKAE_CUDA_PRODUCTS.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks import step_cpu, step_cuda
from benchmarks.cases import PRODUCTS
from benchmarks.machine import machine, save
from benchmarks.step_rows import Entry, Planned, show, without_measure
from benchmarks.timing import sentence


def planned(asked: argparse.Namespace) -> Iterator[Planned]:
    compiled = not asked.no_compile
    if asked.device.type == "cuda":
        found = step_cuda.planned(asked.device, asked.rounds, compiled)
    else:
        found = step_cpu.planned(asked.rounds, compiled)
    for row in found:
        if asked.part in (None, row.part) and any(text in row.name for text in asked.only):
            yield row


def measured(row: Planned) -> Entry:
    try:
        return row.measure()
    except Exception as error:
        return without_measure(row, sentence(error))


def ours_failed(found: Entry) -> bool:
    """Whether a step of this library is among what failed, or everything is."""
    return any(name in ("fused", "the row", *PRODUCTS) or "at once" in name for name in found["failed"])


def measure_all(asked: argparse.Namespace, about: dict[str, Any]) -> dict[tuple[str, str], Entry]:
    """Every row by part and name, those too that are kept; FILE has them after each."""
    entries: dict[tuple[str, str], Entry] = {}
    if asked.append and asked.json.exists():
        entries = {(found["part"], found["case"]): found for found in json.loads(asked.json.read_text())["rows"]}
    ends = time.monotonic() + asked.patience
    known = {key for key, found in entries.items() if not ours_failed(found)}
    for row in planned(asked):
        key = (row.part, row.name)
        if key in known:
            continue
        if time.monotonic() > ends:
            break
        found = measured(row)
        show(found)
        if "detail" in found or key not in entries:  # what broke off takes the place of nothing that was measured
            entries[key] = found
        if asked.json:
            save(asked.json, about, list(entries.values()))
    return entries


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="written after every row")
    parser.add_argument("--append", action="store_true", help="keep what FILE has, and measure the rest")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, help="31 on the CPU, 15 on CUDA")
    parser.add_argument("--part", choices=("cases", "compiled", "population", "ladder"))
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="rows whose name holds one of these")
    parser.add_argument("--patience", type=float, default=math.inf, help="seconds after which no row is begun")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    asked = parser.parse_args()
    asked.rounds = asked.rounds or (15 if asked.device.type == "cuda" else 31)
    return asked


def main() -> None:
    asked = arguments()
    torch.manual_seed(0)
    torch.set_num_threads(asked.threads)
    about = {**machine(asked.device), "threads": asked.threads, "rounds": asked.rounds}
    if asked.device.type == "cpu":
        about["steps_a_call"] = step_cpu.STEPS
    print({name: value for name, value in about.items() if name != "build"}, flush=True)
    entries = measure_all(asked, about)
    if not entries:
        sys.exit(f"expected a row to measure, got none of {asked.part or 'any part'} that {asked.only} names")
    if broken := [name for (_, name), found in entries.items() if ours_failed(found)]:
        sys.exit(f"expected every row measured, got failures in {len(broken)}: {'; '.join(broken)}")
    print(f"{len(entries)} rows measured")


if __name__ == "__main__":
    main()
