"""What fine-tuning trains: the encoders of a stack under a head; and the classifier, whose head is a softmax."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor, nn

from stackae.autoencoders.base import Encoder
from stackae.autoencoders.dense import Dense


class Finetuned(nn.Module):
    """head(encoders(x))."""

    def __init__(self, encoders: Iterable[Encoder], head: Encoder) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.head = head

    def head_alone(self) -> Self:
        """The same head, not a copy, on no encoders: what it reads are codes."""
        return type(self)([], self.head)

    @property
    def device(self) -> torch.device:
        return self.head.trained[0].device

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """(n_visible, n_hidden of layer 1, ..., outputs of the head)"""
        return (self.parts[0].sizes[0], *(part.sizes[1] for part in self.parts))

    @property
    def parts(self) -> list[Encoder]:
        """The encoders and the head."""
        return [part for part in (*self.encoders, self.head) if isinstance(part, Encoder)]

    def encode(self, x: Tensor, layer: int | None = None) -> Tensor:
        """x (batch, n_visible) -> the code of a layer, counted from 1; None is the top (batch, n_hidden)."""
        for encoder in list(self.encoders)[:layer]:
            x = encoder(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, n_visible) -> what the head makes of its code (batch, n_out)."""
        out: Tensor = self.head(self.encode(x))
        return out


class Classifier(Finetuned):
    """p(class | x) = softmax(head(encoders(x))); ``forward`` gives logits (batch, n_classes)."""

    head: Dense

    def predict_proba(self, x: Tensor) -> Tensor:
        """x (batch, n_visible) -> (batch, n_classes), rows sum to 1."""
        return self.forward(x).softmax(dim=1)

    def predict(self, x: Tensor) -> Tensor:
        """(batch,) int64 class indices."""
        return self.forward(x).argmax(dim=1)
