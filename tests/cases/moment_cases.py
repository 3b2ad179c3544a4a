"""Rows whose moments are worth looking at."""

from __future__ import annotations

import torch


def rows(count, width, seed=0):
    """(count, width) float32, correlated, of different means and spreads."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(count, width, generator=generator) @ torch.randn(width, width, generator=generator)
    return mixed + 3 * torch.arange(width)
