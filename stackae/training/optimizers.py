"""Make optimizers, and compute learning-rate schedules, by name."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stackae.config import TrainingConfig

BETA_2 = 0.999


def make_optimizer(
    module: nn.Module,
    config: TrainingConfig,
    learning_rate: float,
    weight_decay: float,
    layers: Sequence[Sequence[Tensor]] | None = None,
    decaying: str = "all",
) -> torch.optim.Optimizer:
    """Make Adam, AdamW or SGD over the trained parameters; weights decay, biases do not.

    ``config.momentum`` is the momentum of SGD, and β₁ of Adam and AdamW, whose β₂ is 0.999. ``layers`` lists the
    parameters layer by layer, head first, where layers have learning rates of their own: each layer then has its own
    groups, whose ``depth`` is its index. ``decaying`` head lets the first of them decay alone.
    """
    parts = [list(module.parameters())] if layers is None else layers
    groups = [
        {
            "params": [p for p in part if p.requires_grad and (p.dim() > 1) == matrices],
            "weight_decay": decay if d == 0 or decaying == "all" else 0.0,
            "depth": d,
        }
        for d, part in enumerate(parts)
        for matrices, decay in ((True, weight_decay), (False, 0.0))
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=config.momentum, fused=True)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=learning_rate, betas=(config.momentum, BETA_2), fused=True)


def scheduled(schedule: str, learning_rate: float, step: int, steps: int) -> float:
    """Compute the learning rate of step ``step`` (from 0) of ``steps``: by the step alone, so that it resumes exactly.

    ``constant``: η. ``linear``: η (1 − t). ``cosine``: η (1 + cos πt) / 2, with t = step / steps.
    """
    t = step / max(1, steps)
    if schedule == "linear":
        return learning_rate * (1 - t)
    if schedule == "cosine":
        return learning_rate * 0.5 * (1 + math.cos(math.pi * t))
    return learning_rate
