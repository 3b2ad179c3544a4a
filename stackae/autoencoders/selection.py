"""Sparse codes: top-k selection per row, per unit, over a batch, and by a threshold; the rest is set to 0."""

from __future__ import annotations

import torch
from torch import Tensor


def top_k(h: Tensor, count: int) -> Tensor:
    """Keep the ``count`` largest units of each row active: h (batch, n_hidden) -> (batch, n_hidden).

    Makhzani & Frey (2014), k-Sparse autoencoders.
    """
    kept = h.topk(count, dim=1, sorted=False).indices
    return torch.zeros_like(h).scatter(1, kept, h.gather(1, kept))


def batch_top_k(h: Tensor, count: int) -> Tensor:
    """Keep the ``count`` · batch largest units of the whole batch active; rows may have more or fewer of them.

    h (batch, n_hidden) -> (batch, n_hidden). Bussmann, Leask & Nanda (2024), BatchTopK sparse autoencoders.
    """
    kept = h.flatten().topk(count * len(h), sorted=False).indices
    return torch.zeros_like(h).flatten().scatter(0, kept, h.flatten()[kept]).view_as(h)


def lifetime(h: Tensor, share: float) -> Tensor:
    """Keep each unit's round(share · batch) largest values over the batch, at least one: h (batch, n_hidden) -> same.

    Makhzani & Frey (2015), Winner-take-all autoencoders.
    """
    kept = h.topk(max(1, round(share * len(h))), dim=0, sorted=False).indices
    return torch.zeros_like(h).scatter(0, kept, h.gather(0, kept))


def threshold_of(h: Tensor, count: int) -> Tensor:
    """Find the value (scalar) above which ``count`` units per row lie in h (batch, n_hidden), on average.

    It replaces ``batch_top_k`` at inference time, so that a row's active units do not depend on other rows.
    """
    values = h.flatten()
    below = len(values) - count * len(h)
    return values.kthvalue(below).values if below > 0 else values.min() - 1


def few_of(h: Tensor, count: int, threshold: Tensor | None) -> Tensor:
    """Keep, per row, the units above ``threshold``, or without one the ``count`` largest; a count of 0 keeps all."""
    if not count:
        return h
    return top_k(h, count) if threshold is None else torch.where(h > threshold, h, 0.0)
