"""The objective of a network: one record, made from the settings of a layer and passed on to the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Self

from torch import Tensor, nn

from stackae.autoencoders.corruption import Corruption, Dropout, Emphasis
from stackae.autoencoders.dense import Dense
from stackae.config import LayerConfig
from stackae.data.paired import Aim, PairedRows
from stackae.data.rows import Rows, aim_of
from stackae.objectives.auxiliary import Auxiliary, auxiliary_of
from stackae.objectives.penalties import KlSparsity, L1Sparsity, clip_norms, penalty_of
from stackae.objectives.share import Share
from stackae.ops.step import DenseLayer


@dataclass(frozen=True)
class Objective:
    """The loss of a network on a batch of its rows, with corruption of the rows and penalties on codes and weights.

    Attributes:
        network: the network to train.
        x: (n, n_visible) its rows; ``PairedRows`` have targets of their own, and weights of their errors.
        loss: mse, bce or cross_entropy.
        corruption: x̃ ~ q(x̃ | x), drawn by (seed, layer, step).
        emphasis: weights of the errors of corrupted inputs and of the others.
        dropout: dropout of x̃ before the encoder, and of the code h before the decoder.
        sparsity: a penalty on the codes of the batch, before dropout.
        contraction: weight of ‖∂h/∂x̃‖²_F, mean over the batch.
        weight_l1: weight of Σ|W| over the encoder's weights, and an untied decoder's.
        max_norm: maximum L2 norm of each unit's incoming weights after a step; 0 is no limit.
        auxiliary: a loss of dead units of a top-k code, and how long each has been silent.
        beta: weight of the KL divergence of a variational code.
        seed, layer: the stream of all random draws.
        batch_share: the rows of a batch that this process computes, where several share it.
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
    auxiliary: Auxiliary | None = None
    beta: float = 1.0
    seed: int = 0
    layer: int = 0
    batch_share: Share = field(default_factory=Share)

    @classmethod
    def of(
        cls, network: nn.Module, x: Rows, layer: LayerConfig, corruption: Corruption, *, seed: int, number: int
    ) -> Self:
        """Build the objective of layer ``number``; its ``corruption`` is already fitted to the range of x."""
        counts, dropped = layer.emphasis, layer.dropout
        return cls(
            network,
            x,
            loss=layer.loss,
            corruption=corruption,
            emphasis=None if counts == type(counts)() else Emphasis(counts.corrupted, counts.others),
            dropout=(Dropout(dropped.encoder, 1), Dropout(dropped.decoder, 2)) if dropped else None,
            sparsity=penalty_of(layer.sparsity),
            contraction=float(layer.contraction) if layer.contracts else 0.0,
            weight_l1=layer.weight_l1,
            max_norm=layer.max_norm,
            auxiliary=auxiliary_of(layer, network),
            beta=layer.beta,
            seed=seed,
            layer=number,
        )

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        """Compute the loss of the batch of these row indices: a scalar, its mean, in the parameters' dtype."""
        raise NotImplementedError

    def aim(self, rows: slice | Tensor, x: Rows | None = None) -> Aim:
        """Rows, targets and weights of these places in its own rows, or in others, on the device of the network."""
        return aim_of(self.x if x is None else x, rows).to(next(self.network.parameters()).device)

    @property
    def parameters(self) -> list[Tensor]:
        """The trained parameters, layer by layer: weight, unless tied, then bias."""
        raise NotImplementedError

    @property
    def weights(self) -> list[Tensor]:
        """The parameters without the biases."""
        return [each for each in self.parameters if each.dim() > 1]

    @property
    def labels(self) -> Tensor | None:
        """Classes (n,) int64 of a classifier, else None."""
        return None

    @property
    def wanted(self) -> Rows:
        """The rows to reconstruct: x itself, unless the network reads their codes."""
        return self.x

    @property
    def targets(self) -> Rows | None:
        """What the outputs should be, (n, n_out), NaN where unknown; None for the rows of x themselves, or labels."""
        if isinstance(self.wanted, PairedRows):
            return self.wanted.targets
        return None if self.wanted is self.x else self.wanted

    @property
    def row_weights(self) -> Tensor | None:
        """The weight of each row's loss, (n,); None where all are 1."""
        if not isinstance(self.wanted, PairedRows) or not self.wanted.missing:
            return None
        return self.wanted.targets.new_full((len(self.wanted),), self.wanted.weight)

    @property
    def kernel_loss(self) -> str:
        """The loss as ``stackae.ops.training`` names it."""
        return self.loss

    @property
    def codes(self) -> int:
        """How many of the chain's layers make codes: those whose units dropout drops."""
        return 1

    @property
    def chain(self) -> list[DenseLayer]:
        """The dense layers for the fused step, bottom first; empty where the network is not a chain of them."""
        return []

    @property
    def memory(self) -> list[Tensor]:
        """What it keeps from step to step, beside the parameters: to resume, the same must be there."""
        return [] if self.auxiliary is None else [self.auxiliary.silent]

    def moved(self, refused: Tensor) -> None:
        """Follow an update: project the parameters back onto their constraints, and count the rows of silent units.

        ``refused`` is a scalar, not 0 where the step changed nothing.
        """
        if self.max_norm:
            clip_norms([each for each in self.weights if each.grad is not None], self.max_norm)
        if self.auxiliary is not None:
            self.auxiliary.count_on(refused)


def links(parts: Sequence[nn.Module], loss: str) -> list[DenseLayer]:
    """Convert the parts to a chain of dense layers, or to [] where some are of other kinds. bce reads logits."""
    if not all(type(part) is Dense for part in parts):
        return []
    dense = [DenseLayer(part.weight, part.bias, part.activation) for part in parts if isinstance(part, Dense)]
    return [*dense[:-1], dense[-1]._replace(activation="linear")] if loss == "bce" else dense
