"""Two processes against two threads: python -m benchmarks.ranks --json FILE.

The fused step of a tied autoencoder with a KL penalty and masking noise, on two processes of one thread each that add
up by gloo, and on one process of two threads. Rounds alternate between the two, and a row has the median of their
ratios: above 1, processes are faster. Bytes are what a rank gives to the sums of a step.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import machine, save
from stackae.autoencoders.corruption import Corruption
from stackae.autoencoders.dense import Autoencoder
from stackae.config import TrainingConfig
from stackae.objectives.penalties import KlSparsity
from stackae.objectives.reconstruction import ReconstructionObjective
from stackae.ops.compiled import FusedStep, train_step
from stackae.random import Purpose, uniform
from stackae.ranks import ALONE, Ranks
from stackae.ranks.launch import joined
from stackae.training.fused import kernel_training

CASES = {f"{batch}x{n}-{m}": (batch, n, m) for batch in (256, 1024, 4096) for n, m in ((784, 300), (784, 1000))}
SECONDS = 0.2  # of a round, about


def step_of(case: str, ranks: Ranks) -> FusedStep:
    batch, n, m = CASES[case]
    x = uniform((batch, n), seed=1, purpose=Purpose.SPLIT)
    network = Autoencoder(n, m, activation="sigmoid", output_activation="sigmoid", tied=True, seed=1)
    noise, penalty = Corruption("masking", 0.3), KlSparsity(0.1, 0.1)
    objective = ReconstructionObjective(network, x, corruption=noise, sparsity=penalty)
    return train_step(kernel_training(objective, TrainingConfig(), 0.0), "fp32", ranks)


def timed(step: FusedStep, batch: int, steps: int) -> float:
    """Microseconds per step."""
    rows = torch.arange(batch).repeat(steps)
    started = time.perf_counter()
    step.advance(rows, batch, 0, [1e-4] * steps)
    return (time.perf_counter() - started) / steps * 1e6


def measured(case: str, rounds: int, own: Ranks) -> dict[str, Any]:
    """A row; of rank 0 alone, as only it trains on two threads."""
    batch, n, m = CASES[case]
    shared, alone = step_of(case, own), step_of(case, ALONE)
    torch.set_num_threads(1)
    steps = own.agreed(max(1, int(SECONDS * 1e6 / timed(shared, batch, 3))))
    found: list[tuple[float, float]] = []
    for _ in range(rounds):
        torch.set_num_threads(1)
        own.agreed()
        processes = timed(shared, batch, steps)
        torch.set_num_threads(2)
        found.append((processes, timed(alone, batch, steps) if own.leads else processes))
        own.agreed()  # the other process sleeps until two threads are done
    processes, threads = (statistics.median(each) for each in zip(*found, strict=True))
    ratio = statistics.median(two / one for one, two in found)
    gradients = 4 * (n * m + n + m) + 8 * (1 + 2 * m)
    names = ("case", "processes_us", "threads_us", "ratio", "bytes")
    return dict(zip(names, (case, processes, threads, ratio, gradients), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--rank", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.rank == 0:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(one.getsockname()[1])}
        line = [sys.executable, "-m", "benchmarks.ranks", "--rank", "1", "--rounds", str(given.rounds)]
        other = subprocess.Popen([*line, "--only", *given.only])
    rows, load = [], os.getloadavg()[0]  # of other processes: the two of this one and its two threads need both cores
    with joined(Ranks(given.rank, 2, given.rank, 2)) as own:
        for case in given.only:
            rows.append(measured(case, given.rounds, own))
            if own.leads:
                print(
                    "{case}: {processes_us:.0f} us by processes, {threads_us:.0f} by threads, {ratio:.2f}".format(
                        **rows[-1]
                    )
                )
        about = machine(torch.device("cpu")) | {"load_before": round(load, 2)}
    if given.rank == 0:
        other.wait()
        if given.json is not None:
            save(given.json, about, rows)


if __name__ == "__main__":
    main()
