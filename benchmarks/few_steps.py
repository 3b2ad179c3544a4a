"""A few steps of small networks, for compute-sanitizer: every precision and kind of noise, ragged edges.

    compute-sanitizer --tool memcheck python -m benchmarks.few_steps

Losses must be finite; whether they are right is for the tests.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
from unittest.mock import patch

import torch

from benchmarks.cases import PRECISIONS, PRODUCTS, StepCase
from benchmarks.machine import machine
from benchmarks.step_contenders import RATE, training
from stackae import ops
from stackae.batches import Batches

SHAPES = ((1, 1, 1), (7, 5, 3), (64, 64, 64), (70, 65, 33), (20, 200, 130))
KINDS = ("none", "masking", "gaussian", "salt-and-pepper")
MEMBERS, EPOCHS, BATCHES = 2, 5, 2.5


def losses(case: StepCase, precision: str, device: torch.device) -> list[float]:
    """Of every epoch, over all networks; the last batch of an epoch is a short one where it can be."""
    n = max(case.batch, int(BATCHES * case.batch))
    x = torch.rand(n, case.n_visible, generator=torch.Generator().manual_seed(1)).to(device)
    step = ops.train_together([training(case, x, seed) for seed in range(MEMBERS)], precision)
    a_epoch = math.ceil(n / case.batch)
    return [
        sum(
            each.total
            for each in step.advance([Batches(torch.randperm(n), [RATE] * a_epoch)] * MEMBERS, case.batch, first)
        )
        for first in range(0, EPOCHS * a_epoch, a_epoch)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    asked = parser.parse_args()
    machine(asked.device)
    torch.manual_seed(0)
    precisions = [each for each in PRECISIONS if ops.products(asked.device.type, each) is not None]
    assert precisions, f"{asked.device}: expected products in one of {', '.join(PRECISIONS)}, got none"
    kinds = itertools.cycle(itertools.product(KINDS, (False, True)))
    for precision, choice, shape in itertools.product(precisions, PRODUCTS.values(), SHAPES):
        kind, tied = next(kinds)
        case = StepCase("x".join(map(str, shape)), *shape, corruption=kind, tied=tied, contraction=0.1 * tied)
        with patch.dict(os.environ, STACKAE_CUDA_PRODUCTS=choice):
            found = losses(case, precision, asked.device)
        also = ", tied, contraction" * tied
        print(f"{case.name}, {precision}, {choice}, {kind}{also}: {found[0]:.4f} to {found[-1]:.4f}")
        assert all(map(math.isfinite, found)), found


if __name__ == "__main__":
    main()
