"""A rank that trains by sums of gloo: python rank_steps.py FOLDER; writes what it made, by engine and repeat."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from step_cases import objective, orders, rows_of

from stackae.autoencoders.corruption import Corruption
from stackae.config import TrainingConfig
from stackae.objectives.penalties import KlSparsity
from stackae.ops.compiled import train_step
from stackae.ranks import ALONE, Ranks
from stackae.ranks.launch import joined, launched
from stackae.training.fused import kernel_training
from stackae.training.optimizers import make_optimizer
from stackae.training.step import EagerStep

ROWS, WIDTH, UNITS, BATCH, STEPS = 150, 20, 12, 60, 200  # the last batch of an epoch has 30 rows


def trained(engine: str, ranks: Ranks = ALONE) -> list[torch.Tensor]:
    """Parameters and the losses of epochs, after STEPS steps with a KL penalty and masking noise."""
    x = rows_of(ROWS, WIDTH, torch.float32)
    made = objective(x, UNITS, torch.float32, corruption=Corruption("masking", 0.3), sparsity=KlSparsity(0.1, 0.5))
    config, losses, done = TrainingConfig(), [], 0
    if engine == "fused":
        step = train_step(kernel_training(made, config, 0.0), "fp32", ranks)
    else:
        step = EagerStep(made, make_optimizer(made.network, config, 0.0, 0.0), ranks=ranks)
    per_epoch = -(-ROWS // BATCH)
    for order in orders(ROWS, -(-STEPS // per_epoch)):
        count = min(per_epoch, STEPS - done)
        losses.append(step.advance(order[: count * BATCH], BATCH, done, [0.01] * count).total)
        done += count
    return [each.detach() for each in made.network.parameters()] + [torch.tensor(losses, dtype=torch.float64)]


if __name__ == "__main__":
    with joined(launched()) as own:
        found = {
            f"{engine} {repeat}": trained(engine, own)
            for engine in ("fused", "eager")
            for repeat in range(2 if own.count == 2 else 1)
        }
    torch.save(found, Path(sys.argv[1]) / f"rank{own.rank}.pt")
