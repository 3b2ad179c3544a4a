"""What every kind of autoencoder is to the layers above it, to its training and to its file."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from stackae.config import LayerConfig
from stackae.ops.engine import Engine


class Encoder(nn.Module):
    """x (batch, n_in) -> code (batch, n_out): a layer of a classifier."""

    @property
    def trained(self) -> list[Tensor]:
        """Parameters layer by layer: its weight and its bias."""
        raise NotImplementedError

    @property
    def sizes(self) -> tuple[int, int]:
        """(n_in, n_out)"""
        raise NotImplementedError


class Decoder(Encoder):
    """code (batch, n_in) -> reconstruction (batch, n_out)."""

    def logits(self, h: Tensor) -> Tensor:
        """The same before its last activation."""
        raise NotImplementedError


class LayerAutoencoder(nn.Module):
    """h = encode(x), z = decode(h), for flat rows x (batch, n_visible) and codes h (batch, n_hidden)."""

    output_activation: str

    @classmethod
    def of(cls, n_visible: int, layer: LayerConfig, *, seed: int, number: int, engine: str) -> Self:
        """Untrained, as the settings of a layer describe it."""
        raise NotImplementedError

    @classmethod
    def numbers_of(cls, n_visible: int, layer: LayerConfig) -> int:
        """How many numbers the file of such a layer holds."""
        raise NotImplementedError

    @classmethod
    def unrolled_numbers_of(cls, n_visible: int, layer: LayerConfig) -> int:
        """How many numbers its encoder and its decoder hold when nothing is tied."""
        return cls.numbers_of(n_visible, layer.model_copy(update={"tied": False}))

    @classmethod
    def row_numbers_of(cls, n_visible: int, layer: LayerConfig) -> int:
        """How many numbers a row becomes on its way through the layer and back."""
        return n_visible + layer.n_hidden

    def not_dense(self, decoding: bool) -> str:
        """What the encoder (with ``decoding``, or the decoder) is instead of one dense layer; "" where it is one."""
        raise NotImplementedError

    @property
    def n_visible(self) -> int:
        raise NotImplementedError

    @property
    def n_hidden(self) -> int:
        raise NotImplementedError

    @property
    def activation(self) -> str:
        """Of the code."""
        raise NotImplementedError

    @property
    def engine(self) -> Engine:
        raise NotImplementedError

    @property
    def trained(self) -> list[Tensor]:
        """Parameters layer by layer: its weight, unless tied, and its bias."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        return self.trained[0].device

    @property
    def filters(self) -> tuple[Tensor, tuple[int, int, int] | None]:
        """A row of weights for each unit that reads the input, and the image that it is, if not that of the input."""
        raise NotImplementedError

    def code(self, x: Tensor) -> Tensor:
        """The code before any of its units are set to 0."""
        raise NotImplementedError

    def kept(self, h: Tensor, training: bool = False) -> Tensor:
        """The code with those units alone that are kept: here, all of them."""
        return h

    def calibrate(self, x: Tensor) -> None:
        """Settles by rows like x (batch, n_visible) what ``kept`` keeps where there is no batch: here, nothing."""

    def encode(self, x: Tensor) -> Tensor:
        """x (batch, n_visible) -> code h (batch, n_hidden)."""
        return self.kept(self.code(x))

    def decode(self, h: Tensor) -> Tensor:
        """Code h (batch, n_hidden) -> reconstruction z (batch, n_visible)."""
        raise NotImplementedError

    def decode_logits(self, h: Tensor) -> Tensor:
        """The reconstruction before its activation."""
        raise NotImplementedError

    def reconstruct(self, x: Tensor) -> Tensor:
        """z = decode(encode(x))."""
        return self.decode(self.encode(x))

    forward = reconstruct

    def encoder_alone(self, engine: str = "auto") -> Encoder:
        """A copy of what makes the code, for a classifier to train further."""
        raise NotImplementedError

    def decoder_alone(self, engine: str = "auto") -> Decoder:
        """A copy of what makes the reconstruction of a code, with weights of its own."""
        raise NotImplementedError

    def anew(self, seed: int, layer: int) -> Self:
        """The same autoencoder untrained, with weights by (seed, layer)."""
        raise NotImplementedError
