"""What a rank computes of a batch, and what it takes from the other ranks for the objective of the whole batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from stackae.ops.engine import Engine
from stackae.ranks import ALONE, Ranks


class Share:
    """A rank's share of the current batch: b rows of B, the first of them in place ``first``.

    The loss of a whole batch is Σ_r (b_r / B) L_r, L_r that of rank r's rows: means over rows, and terms of the weights
    alone, are such sums. A function of a mean over the batch, as the KL penalty is, has to be given the mean of all:
    L_r then has its value, and the gradient that its own rows have a part in.

    Attributes:
        weight: b / B. A rank without rows of its own (B < ranks) computes the first row with a weight of 0.
        whole: B.
    """

    def __init__(self) -> None:
        self.ranks: Ranks = ALONE
        self.first, self.whole, self.weight = 0, 0, 1.0

    @contextmanager
    def of(self, batch: Tensor, ranks: Ranks) -> Iterator[Tensor]:
        """Compute on a rank's share of a batch (B,) of row indices meanwhile; yield the share (b,), in its order."""
        whole = len(batch)
        first, end = ranks.begin(whole), ranks.end_of(whole)
        self.ranks, self.whole, self.weight = ranks, whole, (end - first) / whole
        self.first, end = (first, end) if end > first else (0, 1)
        try:
            yield batch[self.first : end]
        finally:
            self.ranks, self.first = ALONE, 0

    @property
    def alone(self) -> bool:
        """True where the rows are a whole batch, or of none."""
        return not self.ranks.several

    def size(self, code: Tensor) -> int:
        """B, for the code of its rows."""
        return len(code) if self.alone else self.whole

    def mean(self, own: Tensor) -> Tensor:
        """The mean over the batch, from that over this rank's rows; its gradient is that of ``own``."""
        if self.alone:
            return own
        total = own.detach() * self.weight
        self.ranks.sum(total)
        return own + (total - own.detach())

    def any(self, own: Tensor) -> Tensor:
        """Where it is true for some rank: a bool tensor."""
        if self.alone:
            return own
        counts = own.float()
        self.ranks.sum(counts)
        return counts > 0

    def selected(self, code: Tensor, select: Callable[[Tensor], Tensor]) -> Tensor:
        """Keep the units of the code (b, n_hidden) that ``select`` keeps in the code of the whole batch."""
        if self.alone:
            return select(code)
        codes = code.new_zeros((self.whole, code.shape[1])).detach()
        own = slice(self.first, self.first + len(code))
        if self.weight:
            codes[own] = code.detach()
        self.ranks.sum(codes)
        return torch.where(select(codes)[own] != 0, code, 0.0)

    def placed(self, engine: Engine) -> Engine:
        """Return the engine with noise that is drawn by a row's place in the whole batch."""
        if self.first == 0:
            return engine

        def corrupt(x: Tensor, *settings: object) -> Tensor:
            above = F.pad(x, (0, 0, self.first, 0))
            return engine.corrupt(above, *settings)[self.first :]  # type: ignore[arg-type]  # settings as of corrupt

        return engine._replace(corrupt=corrupt)
