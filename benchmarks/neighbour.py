"""The training step on all threads and on one, on free cores and beside a process that takes one of them.

    python -m benchmarks.neighbour [--json FILE] [--threads N] [--rounds N] [--seconds S] [--only TEXT]

The neighbour counts for ever, pinned to the first core that this process may use. Each round steps for S seconds on one
thread, then for as long on N, and a ratio is the median over rounds of the time per step on N threads / on one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import REFERENCE, StepCase
from benchmarks.machine import machine, save
from benchmarks.step_contenders import fused_step
from benchmarks.timing import Run

STEPS = 16
CASES = (REFERENCE, StepCase("256x300-150", 256, 300, 150), StepCase("64x784-64", 64, 784, 64))
COUNTING = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"


@contextlib.contextmanager
def neighbour() -> Iterator[None]:
    """A process that keeps a core busy."""
    core = min(os.sched_getaffinity(0))
    process = subprocess.Popen([sys.executable, "-c", COUNTING, str(core)])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def per_step(run: Run, threads: int, seconds: float) -> float:
    """Milliseconds per step, over calls of STEPS steps that take so many seconds together."""
    torch.set_num_threads(threads)
    run()
    calls, begun = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() < begun + seconds:
        run()
        calls += 1
    return 1e3 * (time.perf_counter() - begun) / (calls * STEPS)


def measured(case: StepCase, asked: argparse.Namespace) -> dict[str, float]:
    """The medians on one thread and on all, and that of their ratios."""
    torch.set_num_threads(asked.threads)
    run = fused_step(case, torch.rand(STEPS * case.batch, case.n_visible), torch.arange(STEPS * case.batch), "fp32")
    pairs = [[per_step(run, threads, asked.seconds) for threads in (1, asked.threads)] for _ in range(asked.rounds)]
    one, several = (statistics.median(each) for each in zip(*pairs, strict=True))
    return {"one_ms": one, "several_ms": several, "ratio": statistics.median(b / a for a, b in pairs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="written after every row")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name holds it")
    asked = parser.parse_args()
    about = {**machine(torch.device("cpu")), "threads": asked.threads, "rounds": asked.rounds}
    entries: list[dict[str, Any]] = []
    for name, beside in (("free", contextlib.nullcontext), ("beside a neighbour", neighbour)):
        with beside():
            for case in CASES:
                if asked.only not in case.name:
                    continue
                found = measured(case, asked)
                entries.append({"case": case.name, "cores": name, **found})
                print(
                    f"{case.name:16} {name:20} {found['one_ms']:8.3f} ms per step on one thread, "
                    f"on {asked.threads} {found['ratio']:.2f} times that",
                    flush=True,
                )
                if asked.json:
                    save(asked.json, about, entries)


if __name__ == "__main__":
    main()
