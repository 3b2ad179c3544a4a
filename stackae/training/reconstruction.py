"""What an autoencoder is trained for: reconstructing clean inputs, from codes that may have to be sparse or smooth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stackae.autoencoders.base import LayerAutoencoder
from stackae.autoencoders.contraction import contraction
from stackae.autoencoders.dense import Autoencoder
from stackae.corruption import Corruption, Dropout, Emphasis
from stackae.data.rows import Rows
from stackae.losses import LOSSES
from stackae.penalties import KlSparsity, L1Sparsity, clip_norms
from stackae.reference import ACTIVATIONS


@dataclass(frozen=True)
class ReconstructionObjective:
    """(1/B) Σ_i L(x_i, decode(h_i)), h_i = encode(x̃_i), and what is asked of codes and weights besides.

    Attributes:
        corruption: x̃ ~ q(x̃ | x).
        emphasis: how much the errors of corrupted inputs count, and those of the others.
        dropout: left out of x̃ before the encoder, and of h before the decoder.
        sparsity: a penalty on the codes of the batch, before dropout.
        contraction: weight of ‖∂h/∂x̃‖²_F, mean over the batch.
        weight_l1: weight of Σ|W| over the encoder's weights, and an untied decoder's.
        max_norm: the longest that the incoming weights of a unit may be; 0 lets them be.
    """

    autoencoder: LayerAutoencoder
    x: Rows
    loss: str
    corruption: Corruption
    sparsity: KlSparsity | L1Sparsity | None
    seed: int
    layer: int
    emphasis: Emphasis | None = None
    dropout: tuple[Dropout, Dropout] | None = None
    contraction: float = 0.0
    weight_l1: float = 0.0
    max_norm: float = 0.0

    @property
    def parameters(self) -> list[Tensor]:
        return self.autoencoder.trained

    @property
    def weights(self) -> list[Tensor]:
        return [each for each in self.parameters if each.dim() > 1]

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        one = self.autoencoder
        stream = {"seed": self.seed, "layer": self.layer, "step": step}
        clean = self.x[rows].to(one.device)
        seen = self.corruption(clean, one.engine, **stream)
        if self.dropout is not None:
            seen = self.dropout[0](seen, one.engine, **stream)
        code, penalty = self._coded(seen)
        code = one.kept(code, training=True)
        weight = self.emphasis(clean, self.corruption, one.engine, **stream) if self.emphasis is not None else None
        kept = code if self.dropout is None else self.dropout[1](code, one.engine, **stream)
        total = LOSSES[self.loss](one, kept, clean, weight)
        if self.sparsity is not None:
            total = total + self.sparsity(code, one.activation, one.engine)
        if penalty is not None:
            total = total + self.contraction * penalty
        if self.weight_l1:
            total = total + self.weight_l1 * torch.stack([each.abs().sum() for each in self.weights]).sum()
        return total

    def constrain(self) -> None:
        if self.max_norm:
            clip_norms(self.weights, self.max_norm)

    def _coded(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The code, and the contraction where that is asked for."""
        one = self.autoencoder
        if not self.contraction:
            return one.code(x), None
        if not isinstance(one, Autoencoder):
            raise TypeError(f"contraction: expected a dense autoencoder, got {type(one).__name__}")
        before = one.engine.dense_act(x, one.encoder.weight, one.encoder.bias, "linear")
        return ACTIVATIONS[one.activation](before), contraction(before, one.encoder.weight, one.activation)
