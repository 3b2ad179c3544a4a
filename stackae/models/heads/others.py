"""Heads other than a softmax: the decoders of the stack, numbers, and labels of which a row may have several."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor, nn

from stackae.autoencoders.base import Decoder, Encoder
from stackae.autoencoders.dense import Dense
from stackae.models.heads.classifier import Finetuned
from stackae.models.stack import StackedAutoencoder


class Decoders(Decoder):
    """z = g_1(... g_L(h)): the decoders of a stack, top first."""

    def __init__(self, layers: Iterable[Decoder]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    @property
    def each(self) -> list[Decoder]:
        return [layer for layer in self.layers if isinstance(layer, Decoder)]

    @property
    def trained(self) -> list[Tensor]:
        return [parameter for layer in self.each for parameter in layer.trained]

    @property
    def sizes(self) -> tuple[int, int]:
        return self.each[0].sizes[0], self.each[-1].sizes[1]

    def forward(self, h: Tensor) -> Tensor:
        """Code h (batch, n_hidden) -> reconstruction z (batch, n_visible)."""
        for layer in self.each:
            h = layer(h)
        return h

    def logits(self, h: Tensor) -> Tensor:
        """The same before the last activation."""
        for layer in self.each[:-1]:
            h = layer(h)
        return self.each[-1].logits(h)


class DeepAutoencoder(Finetuned):
    """z = decode(encode(x)): a stack, unrolled; what was tied is so no more.

    Hinton & Salakhutdinov (2006), Reducing the dimensionality of data with neural networks.
    """

    head: Decoders

    @classmethod
    def unrolled(cls, stack: StackedAutoencoder, engine: str = "auto") -> Self:
        """Copies of the stack's encoders and decoders: untrained, it reconstructs as the stack does."""
        below = stack.autoencoders
        decoders = Decoders(each.decoder_alone(engine) for each in reversed(below))
        return cls([each.encoder_alone(engine) for each in below], decoders)

    def decode(self, h: Tensor) -> Tensor:
        """Code of the top (batch, n_hidden) -> reconstruction (batch, n_visible)."""
        z: Tensor = self.head(h)
        return z

    def decode_logits(self, h: Tensor) -> Tensor:
        """The reconstruction before its activation."""
        return self.head.logits(h)

    def reconstruct(self, x: Tensor) -> Tensor:
        """x (batch, n_visible) -> z (batch, n_visible)."""
        return self.forward(x)


class Regressor(Finetuned):
    """ŷ = offset + scale · head(encoders(x)): ``forward`` gives the targets standardised, ``predict`` as they are.

    offset and scale (n_targets,) are the mean and the deviation of each target, 0 and 1 unless they are given; where
    they are float64, so is what is predicted.
    """

    head: Dense
    offset: Tensor
    scale: Tensor

    def __init__(
        self, encoders: Iterable[Encoder], head: Encoder, offset: Tensor | None = None, scale: Tensor | None = None
    ) -> None:
        super().__init__(encoders, head)
        count = head.sizes[1]
        self.register_buffer("offset", torch.zeros(count) if offset is None else offset.clone())
        self.register_buffer("scale", torch.ones(count) if scale is None else scale.clone())

    def head_alone(self) -> Self:
        return type(self)([], self.head, self.offset, self.scale)

    def standardised(self, y: Tensor) -> Tensor:
        """y (n, n_targets) as ``forward`` is to give it; what is NaN stays so."""
        return (y - self.offset.to(y)) / self.scale.to(y)

    def predict(self, x: Tensor) -> Tensor:
        """x (batch, n_visible) -> (batch, n_targets), in the units of the targets."""
        return self.forward(x) * self.scale + self.offset


class MultilabelClassifier(Finetuned):
    """p(label j | x) = sigmoid(head(encoders(x)))_j; ``forward`` gives logits (batch, n_labels)."""

    head: Dense

    def predict_proba(self, x: Tensor) -> Tensor:
        """x (batch, n_visible) -> (batch, n_labels), each between 0 and 1."""
        return self.forward(x).sigmoid()

    def predict(self, x: Tensor) -> Tensor:
        """(batch, n_labels) int64, 1 where a label is more likely than not."""
        return (self.forward(x) > 0).to(torch.int64)
