"""Codes as rows of the next layer, made of the rows below whenever they are read; the same bits in every order."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from stackae.data.minibatches import in_order
from stackae.data.stored.rows import extremes

if TYPE_CHECKING:
    from stackae.data.rows import Rows

FEWEST, ON_DEVICE = 256, 1024  # rows that are encoded together, on a CPU and on a GPU
GRAIN = 1 << 15  # numbers from which on torch shares the work on a tensor among its threads
VECTOR = 32  # numbers that torch computes together; the last few of a thread's share it computes one by one


class Encoder(Protocol):
    """What is asked of a layer: h = encode(x), (batch, n_visible) -> (batch, n_hidden), on a device.

    It gives ``activated`` numbers of a row to an activation.
    """

    @property
    def n_hidden(self) -> int: ...

    @property
    def activated(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    def encode(self, x: Tensor) -> Tensor: ...


def rows_per_piece(activated: int, threads: int) -> int:
    """How many rows are encoded together, so that no bit of a row depends on which others, or in which place it lies.

    A matmul's bits depend on how many rows it has; so every piece has the same number, and the last one is filled up.
    A function of numbers has other bits for the last few of each thread's share than for those that are computed in
    vectors; so the share of each of so many ``threads`` is a whole number of vectors, for ``activated`` numbers per
    row. At least 256. No errors.
    """
    rows = FEWEST
    while rows * activated % (VECTOR * max(1, min(threads, math.ceil(rows * activated / GRAIN)))):
        rows += VECTOR
    return rows


@dataclass(frozen=True, eq=False)
class EncodedRows:
    """x[index] = encode(below[index]), float32, for rows below (n, n_visible): nothing of it is kept.

    Each row has the same bits in every read, whatever is read with it, from any thread: pieces of one size are encoded,
    by as many threads of torch as there were when this was made. Kernels cannot read the rows in place (``fed``):
    ``stackae.training.feed`` hands them over batch by batch. The encoder must not be trained meanwhile.
    """

    below: Rows
    encoder: Encoder
    place: torch.device | None = None
    threads: int = field(default_factory=torch.get_num_threads)

    fed = True

    def __len__(self) -> int:
        return len(self.below)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """(rows, n_hidden), a new tensor: the codes of a slice, of int64 indices, or of a mask (n,)."""
        rows = range(len(self))[index] if isinstance(index, slice) else self._numbers(index)
        found = torch.empty(len(rows), self.encoder.n_hidden, device=self.device)
        for part in in_order(len(rows), self.piece):
            some = rows[part]
            below = self.below[slice(some.start, some.stop, some.step) if isinstance(some, range) else some]
            found[part] = self._encoded(below)
        return found

    def _numbers(self, index: Tensor) -> Tensor:
        """The int64 indices of rows, or those that a mask (n,) has, where the rows below are."""
        return (index.nonzero()[:, 0] if index.dtype == torch.bool else index).to(self.below.device)

    @cached_property
    def piece(self) -> int:
        """How many rows are encoded together."""
        on_cpu = self.encoder.device.type == "cpu"
        return rows_per_piece(self.encoder.activated, self.threads) if on_cpu else ON_DEVICE

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), self.encoder.n_hidden))

    @property
    def device(self) -> torch.device:
        return self.place or self.encoder.device

    @property
    def nbytes(self) -> int:
        """What is held of them: the rows below."""
        return self.below.nbytes

    def to(self, device: torch.device | str) -> EncodedRows:
        """The same codes on a device; the encoder stays where it is."""
        return replace(self, below=self.below.to(device), place=torch.device(device))

    def subset(self, index: Tensor | np.ndarray) -> EncodedRows:
        """The codes of the rows of int64 indices or of a mask (n,)."""
        chosen = torch.as_tensor(index).to(self.below.device)
        below = self.below[chosen] if isinstance(self.below, Tensor) else self.below.subset(chosen)
        return replace(self, below=below)

    def min(self) -> Tensor:
        """0-dim: the smallest number of n >= 1 codes."""
        return self._extremes[0]

    def max(self) -> Tensor:
        """0-dim: the largest number of n >= 1 codes."""
        return self._extremes[1]

    @cached_property
    def _extremes(self) -> tuple[Tensor, Tensor]:
        """In one pass, that holds a piece at a time."""
        return extremes(self[part] for part in in_order(len(self), self.piece))

    @torch.no_grad()
    def _encoded(self, x: Tensor) -> Tensor:
        """x (k, n_visible), 1 <= k <= piece -> codes (k, n_hidden): of a whole piece, filled up with its first row."""
        if self.encoder.device.type == "cpu" and torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)  # a new thread of Python begins with another number
        x = x.to(self.encoder.device)
        lacking = self.piece - len(x)
        whole = torch.cat((x, x[:1].expand(lacking, -1))) if lacking else x
        return self.encoder.encode(whole)[: len(x)]


def encoded(rows: EncodedRows, keep: torch.device) -> Tensor:
    """All codes (n, n_hidden) on a device. Only one copy of them exists: each piece is written into its place."""
    found = torch.empty(rows.shape, device=keep)
    for part in in_order(len(rows), rows.piece):
        found[part] = rows[part]
    return found
