"""Codes of which a given number of units is kept, and the others are set to 0."""

from __future__ import annotations

import torch
from torch import Tensor


def top_k(h: Tensor, count: int) -> Tensor:
    """The ``count`` largest units of each row. h (batch, n_hidden) -> (batch, n_hidden).

    Makhzani & Frey (2014), k-Sparse autoencoders.
    """
    kept = h.topk(count, dim=1, sorted=False).indices
    return torch.zeros_like(h).scatter(1, kept, h.gather(1, kept))


def batch_top_k(h: Tensor, count: int) -> Tensor:
    """The ``count`` · batch largest units of the whole batch, so that rows may have more or fewer of them.

    h (batch, n_hidden) -> (batch, n_hidden). Bussmann, Leask & Nanda (2024), BatchTopK sparse autoencoders.
    """
    kept = h.flatten().topk(count * len(h), sorted=False).indices
    return torch.zeros_like(h).flatten().scatter(0, kept, h.flatten()[kept]).view_as(h)


def threshold_of(h: Tensor, count: int) -> Tensor:
    """The value above which ``count`` units a row are found, on average over the rows, in h (batch, n_hidden); scalar.

    With it, what is kept of a row depends on no other row: ``batch_top_k`` where there is no batch.
    """
    values = h.flatten()
    below = len(values) - count * len(h)
    return values.kthvalue(below).values if below > 0 else values.min() - 1


def few_of(h: Tensor, count: int, threshold: Tensor | None) -> Tensor:
    """Row by row: the ``count`` largest units, or those above a threshold where there is one; 0 keeps all."""
    if not count:
        return h
    return top_k(h, count) if threshold is None else torch.where(h > threshold, h, 0.0)
