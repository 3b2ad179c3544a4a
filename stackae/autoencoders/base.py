"""Base classes: the interface of every autoencoder to the layers above it, to training and to files."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from stackae.config import LayerConfig
from stackae.ops.engine import Engine


class Encoder(nn.Module):
    """x (batch, n_in) -> code (batch, n_out): one layer below a head."""

    @property
    def trained(self) -> list[Tensor]:
        """The trained parameters, layer by layer: weight, then bias."""
        raise NotImplementedError

    @property
    def sizes(self) -> tuple[int, int]:
        """(n_in, n_out)"""
        raise NotImplementedError


class Decoder(Encoder):
    """code (batch, n_in) -> reconstruction (batch, n_out)."""

    def logits(self, h: Tensor) -> Tensor:
        """The reconstruction before the last activation, (batch, n_out)."""
        raise NotImplementedError


class LayerAutoencoder(nn.Module):
    """h = encode(x), z = decode(h), for flat rows x (batch, n_visible) and codes h (batch, n_hidden)."""

    output_activation: str

    @classmethod
    def of(cls, n_visible: int, layer: LayerConfig, *, seed: int, number: int, engine: str) -> Self:
        """Build the untrained autoencoder that the settings of layer ``number`` describe."""
        raise NotImplementedError

    @classmethod
    def numbers_of(cls, n_visible: int, layer: LayerConfig) -> int:
        """Count the numbers in the file of such a layer."""
        raise NotImplementedError

    @classmethod
    def unrolled_numbers_of(cls, n_visible: int, layer: LayerConfig) -> int:
        """Count the numbers that its encoder and its decoder hold when nothing is tied."""
        return cls.numbers_of(n_visible, layer.model_copy(update={"tied": False}))

    @classmethod
    def row_numbers_of(cls, n_visible: int, layer: LayerConfig) -> int:
        """Count the numbers computed per row on its way through the layer and back."""
        return n_visible + layer.n_hidden

    def not_dense(self, decoding: bool) -> str:
        """Say what the encoder (with ``decoding``, or the decoder) is if not one dense layer; "" where it is one."""
        raise NotImplementedError

    @property
    def n_visible(self) -> int:
        raise NotImplementedError

    @property
    def n_hidden(self) -> int:
        raise NotImplementedError

    @property
    def activated(self) -> int:
        """How many numbers of a row its encoder gives to an activation."""
        return self.n_hidden

    @property
    def activation(self) -> str:
        """The name of the code's activation."""
        raise NotImplementedError

    @property
    def engine(self) -> Engine:
        raise NotImplementedError

    @property
    def trained(self) -> list[Tensor]:
        """The trained parameters, layer by layer: weight, unless tied, then bias."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        return self.trained[0].device

    @property
    def filters(self) -> tuple[Tensor, tuple[int, int, int] | None]:
        """One row of weights per unit that reads the input, and its image shape if that differs from the input's."""
        raise NotImplementedError

    def code(self, x: Tensor) -> Tensor:
        """The code of x before top-k selection, (batch, n_hidden)."""
        raise NotImplementedError

    def kept(self, h: Tensor, training: bool = False) -> Tensor:
        """The sparse code: h with the inactive units set to 0. Here, all units are active."""
        return h

    def calibrate(self, x: Tensor) -> None:
        """Fit what ``kept`` needs at inference time, without a batch, on rows x (batch, n_visible). Here, nothing."""

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
        """Copy the encoder, for a head to train further."""
        raise NotImplementedError

    def decoder_alone(self, engine: str = "auto") -> Decoder:
        """Copy the decoder, with weights of its own where they were tied."""
        raise NotImplementedError

    def anew(self, seed: int, layer: int) -> Self:
        """Build the same autoencoder untrained, with weights drawn by (seed, layer)."""
        raise NotImplementedError
