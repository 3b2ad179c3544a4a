"""The classifier that fine-tuning trains: the encoders of a stack under a softmax head."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from stackae.autoencoders.base import Encoder
from stackae.autoencoders.dense import Dense


class Classifier(nn.Module):
    """p(class | x) = softmax(head(encoders(x)))."""

    def __init__(self, encoders: Iterable[Encoder], head: Dense) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.head = head

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """(n_visible, n_hidden of layer 1, ..., number of classes)"""
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
        """x (batch, n_visible) -> logits (batch, n_classes)."""
        logits: Tensor = self.head(self.encode(x))
        return logits

    def predict_proba(self, x: Tensor) -> Tensor:
        """(batch, n_classes), rows sum to 1."""
        return self.forward(x).softmax(dim=1)

    def predict(self, x: Tensor) -> Tensor:
        """(batch,) int64 class indices."""
        return self.forward(x).argmax(dim=1)
