"""Where the time of a fused step on CUDA goes: its kernels in their order, what each takes, and the gaps between them.

    python -m benchmarks.profile_step [--precision tf32] [--steps N] [--out FILE]

The reference step, under torch.profiler, as one call of ``advance`` that replays its graph; the same call ran before.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.cases import REFERENCE
from benchmarks.machine import machine
from benchmarks.step_contenders import fused_step
from benchmarks.step_cuda import rows_and_order

LONGEST_NAME = 90


class Kernel(NamedTuple):
    """One launch, or a copy: microseconds since the profile began."""

    name: str
    start: float
    end: float


class Summary(NamedTuple):
    """All launches of a name: how many a step, their median duration, and the median gap before one."""

    name: str
    a_step: float
    microseconds: float
    gap: float


def recorded(steps: int, precision: str, device: torch.device) -> list[Kernel]:
    """What the device did in a call of ``advance`` over so many steps, in order."""
    x, order = rows_and_order(REFERENCE, device)
    advance = fused_step(REFERENCE, x, order[: steps * REFERENCE.batch], precision)
    for _ in range(2):
        advance()
    torch.cuda.synchronize(device)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=True) as profiler:
        advance()
        torch.cuda.synchronize(device)
    found = [
        Kernel(event.name, event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type.name == "CUDA"
    ]
    return sorted(found, key=lambda kernel: kernel.start)


def gaps(kernels: Sequence[Kernel]) -> list[float]:
    """Before each kernel, how long nothing ran: 0 before the first one, and where it began before another had ended."""
    idle, busy_until = [], kernels[0].start
    for kernel in kernels:
        idle.append(max(0.0, kernel.start - busy_until))
        busy_until = max(busy_until, kernel.end)
    return idle


def summaries(kernels: Sequence[Kernel], steps: int) -> list[Summary]:
    """A line a name, the one that takes most of a step first."""
    before = gaps(kernels)
    found = []
    for name in dict.fromkeys(kernel.name for kernel in kernels):
        which = [i for i, kernel in enumerate(kernels) if kernel.name == name]
        spent = statistics.median(kernels[i].end - kernels[i].start for i in which)
        found.append(Summary(name, len(which) / steps, spent, statistics.median(before[i] for i in which)))
    return sorted(found, key=lambda line: -line.a_step * line.microseconds)


def middle_step(kernels: Sequence[Kernel], steps: int) -> list[tuple[Kernel, float]]:
    """The kernels of a step half-way, each with the gap before it; what runs once a call is left out."""
    often = {line.name for line in summaries(kernels, steps) if line.a_step >= 1}
    repeated = [pair for pair in zip(kernels, gaps(kernels), strict=True) if pair[0].name in often]
    each = len(repeated) // steps
    return repeated[steps // 2 * each :][:each]


def report(kernels: Sequence[Kernel], steps: int) -> str:
    """Both tables as text."""
    whole = (max(kernel.end for kernel in kernels) - kernels[0].start) / steps
    idle = sum(gaps(kernels)) / steps
    lines = [
        f"{steps} steps, {len(kernels) / steps:.2f} kernels and copies a step",
        f"{whole:.2f} us a step from the first start to the last end, {idle:.2f} us of them with nothing running",
        "",
        f"{'a step':>7} {'us each':>8} {'us a step':>10} {'share':>6} {'gap before':>10}  kernel",
    ]
    for line in summaries(kernels, steps):
        spent = line.a_step * line.microseconds
        lines.append(
            f"{line.a_step:7.2f} {line.microseconds:8.2f} {spent:10.2f} {100 * spent / whole:4.0f} % {line.gap:10.2f}"
            f"  {line.name[:LONGEST_NAME]}"
        )
    lines += ["", "one step, half-way:", f"{'starts at':>10} {'us':>8} {'gap before':>10}  kernel"]
    order = middle_step(kernels, steps)
    for kernel, gap in order:
        lines.append(
            f"{kernel.start - order[0][0].start:10.2f} {kernel.end - kernel.start:8.2f} {gap:10.2f}"
            f"  {kernel.name[:LONGEST_NAME]}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", default="tf32", choices=("tf32", "bf16", "fp32"))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--out", type=Path, metavar="FILE")
    asked = parser.parse_args()
    device = torch.device("cuda")
    about = machine(device)
    kernels = recorded(asked.steps, asked.precision, device)
    if not kernels:
        sys.exit("expected the profiler to record kernels, got none; the driver may deny it to this user")
    names = ("gpu", "driver", "torch", "cuda", "date")
    title = f"{REFERENCE.name}, {asked.precision}; {', '.join(f'{name} {about[name]}' for name in names)}"
    text = f"{title}\n{report(kernels, asked.steps)}\n"
    print(text)
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(text)


if __name__ == "__main__":
    main()
