"""What a network is trained for: one record, from the settings of a layer to the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Self

from torch import Tensor, nn

from stackae.autoencoders.corruption import Corruption, Dropout, Emphasis
from stackae.autoencoders.dense import Dense
from stackae.config import LayerConfig
from stackae.data.rows import Rows
from stackae.objectives.penalties import KlSparsity, L1Sparsity, clip_norms, penalty_of
from stackae.ops.step import DenseLayer


@dataclass(frozen=True)
class Objective:
    """The loss of a network on a batch of its rows, with what is done to the rows and asked of codes and weights.

    Attributes:
        network: what is trained.
        x: (n, n_visible) its rows.
        loss: mse, bce or cross_entropy.
        corruption: x̃ ~ q(x̃ | x), drawn by (seed, layer, step).
        emphasis: how much the errors of corrupted inputs count, and those of the others.
        dropout: left out of x̃ before the encoder, and of the code h before the decoder.
        sparsity: a penalty on the codes of the batch, before dropout.
        contraction: weight of ‖∂h/∂x̃‖²_F, mean over the batch.
        weight_l1: weight of Σ|W| over the encoder's weights, and an untied decoder's.
        max_norm: the longest that the incoming weights of a unit may be after a step; 0 lets them be.
        beta: weight of the KL divergence of a variational code.
        seed, layer: the stream of everything that is drawn.
    """

    network: nn.Module
    x: Rows
    _: KW_ONLY
    loss: str = "mse"
    corruption: Corruption = field(default_factory=Corruption)
    emphasis: Emphasis | None = None
    dropout: tuple[Dropout, Dropout] | None = None
    sparsity: KlSparsity | L1Sparsity | None = None
    contraction: float = 0.0
    weight_l1: float = 0.0
    max_norm: float = 0.0
    beta: float = 1.0
    seed: int = 0
    layer: int = 0

    @classmethod
    def of(
        cls, network: nn.Module, x: Rows, layer: LayerConfig, corruption: Corruption, *, seed: int, number: int
    ) -> Self:
        """That of layer ``number``, whose corruption knows the range of x."""
        counts, dropped = layer.emphasis, layer.dropout
        return cls(
            network,
            x,
            loss=layer.loss,
            corruption=corruption,
            emphasis=None if counts == type(counts)() else Emphasis(counts.corrupted, counts.others),
            dropout=(Dropout(dropped.encoder, 1), Dropout(dropped.decoder, 2)) if dropped else None,
            sparsity=penalty_of(layer.sparsity),
            contraction=layer.contraction,
            weight_l1=layer.weight_l1,
            max_norm=layer.max_norm,
            beta=layer.beta,
            seed=seed,
            layer=number,
        )

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        """The loss of a batch of rows, a scalar: mean over the batch, in the parameters' type."""
        raise NotImplementedError

    @property
    def parameters(self) -> list[Tensor]:
        """Layer by layer: its weight, unless tied, and its bias."""
        raise NotImplementedError

    @property
    def weights(self) -> list[Tensor]:
        """The parameters without the biases."""
        return [each for each in self.parameters if each.dim() > 1]

    @property
    def labels(self) -> Tensor | None:
        """(n,) int64, where the loss is of classes."""
        return None

    @property
    def chain(self) -> list[DenseLayer]:
        """The network as the fused step has it, bottom first; empty where it is no chain of dense layers."""
        return []

    def constrain(self) -> None:
        """After every update: puts parameters back to where they may be."""
        if self.max_norm:
            clip_norms([each for each in self.weights if each.grad is not None], self.max_norm)


def links(parts: Sequence[nn.Module], loss: str) -> list[DenseLayer]:
    """The parts as a chain of dense layers; none where some are of other kinds. bce takes the last one's logits."""
    if not all(type(part) is Dense for part in parts):
        return []
    dense = [DenseLayer(part.weight, part.bias, part.activation) for part in parts if isinstance(part, Dense)]
    return [*dense[:-1], dense[-1]._replace(activation="linear")] if loss == "bce" else dense
