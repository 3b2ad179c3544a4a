"""What closed forms cost: a stack of marginalised autoencoders against one epoch of one layer by gradients.

    python -m benchmarks.closed_form [--data mnist --data-root DIR] [--layers N] [--rounds N] [--threads N]
        [--json FILE]

All layers are as wide as the data, with tanh codes and masking 0.3; each is solved from the moments of the codes below
it, which are encoded once. The other side is an epoch of ``pretrain_stack`` for one layer of that width, untied, batch
64. Each round times both; ratio: time of the epoch / time of the whole stack in the same round, median and extremes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import machine, save
from stackae.autoencoders.corruption import Corruption
from stackae.autoencoders.marginalized import MarginalizedAutoencoder
from stackae.autoencoders.statistics import Moments
from stackae.config import DataConfig, PretrainConfig
from stackae.data import Rows, load_data
from stackae.models.stack import StackedAutoencoder, in_batches
from stackae.pretraining import pretrain_stack

MASKING = 0.3


def solve(x: Rows, layers: int) -> StackedAutoencoder:
    """The stack, each layer on the codes of the one below."""
    solved: list[MarginalizedAutoencoder] = []
    for _ in range(layers):
        if solved:
            x = in_batches(solved[-1].encode, x)
        moments = Moments.of(x)
        solved.append(MarginalizedAutoencoder.solved(moments, moments.width, Corruption("masking", MASKING)))
    return StackedAutoencoder(solved)


def train(x: Rows) -> StackedAutoencoder:
    """One layer, one epoch."""
    config = PretrainConfig.from_options(
        f"{x.shape[1]},{x.shape[1]}", corruption=f"masking:{MASKING}", tied=False, max_epochs=1, batch_size=64
    )
    return pretrain_stack(x, config).stack


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    x = load_data(DataConfig(data=asked.data, data_root=asked.data_root, validation_fraction=0.0)).train.x
    print(f"{asked.data}: {len(x):,} x {x.shape[1]}, {asked.layers} layers, {asked.threads} threads")
    ratios: list[float] = []
    rows: list[dict[str, Any]] = []
    for number in range(asked.rounds):
        closed, epoch = seconds(lambda: solve(x, asked.layers)), seconds(lambda: train(x))
        ratios.append(epoch / closed)
        rows.append({"case": f"{asked.data}, {asked.layers} layers", "closed": closed, "epoch": epoch})
        print(f"round {number}: the stack {closed:.2f} s, the epoch {epoch:.2f} s, ratio {ratios[-1]:.2f}", flush=True)
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    if asked.json:
        save(asked.json, {**machine(torch.device("cpu")), "threads": asked.threads}, rows)


if __name__ == "__main__":
    main()
