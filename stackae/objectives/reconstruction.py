"""The objective of an autoencoder: reconstruct clean inputs, with penalties on codes and weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stackae.autoencoders.base import LayerAutoencoder
from stackae.autoencoders.dense import Autoencoder
from stackae.data.minibatches import in_order
from stackae.data.paired import Aim
from stackae.data.rows import Rows
from stackae.models.stack import ROWS_AT_ONCE
from stackae.objectives.base import Objective
from stackae.objectives.contraction import contraction
from stackae.objectives.losses import CURVATURES, LOSSES, residual
from stackae.ops.reference import ACTIVATIONS
from stackae.ops.step import DenseLayer
from stackae.random import EVALUATION_COUNTER


@dataclass(frozen=True)
class ReconstructionObjective(Objective):
    """(1/B) Σ_i L(t_i, decode(h_i)) with h_i = encode(x̃_i), plus penalties on codes and weights.

    t_i is x_i itself, or the target that ``PairedRows`` have for it, whose weights L has too.
    """

    network: LayerAutoencoder

    @property
    def parameters(self) -> list[Tensor]:
        return self.network.trained

    @property
    def chain(self) -> list[DenseLayer]:
        one = self.network
        if not isinstance(one, Autoencoder):
            return []
        output = "linear" if self.loss == "bce" else one.output_activation
        decoder = DenseLayer(one.decoder_weight, one.decoder_bias, output, tied_to=0 if one.tied else -1)
        return [DenseLayer(one.encoder.weight, one.encoder.bias, one.activation), decoder]

    @property
    def noisy(self) -> bool:
        """True where the network reads random inputs or codes at every step: with corruption or dropout."""
        return bool(self.corruption) or self.dropout is not None

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        _, total, penalties = self.parts(self.aim(rows), step)
        for penalty in penalties.values():
            total = total + penalty
        return total

    def parts(self, aim: Aim, step: int) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return x̃, the reconstruction loss, and the penalties by setting name, for rows x (batch, n_visible)."""
        one, penalties = self.network, {}
        seen = self._seen(aim.x, step)
        before, code = self._coded(seen)
        code = self._kept(code)
        if self.auxiliary is not None:
            self.auxiliary.watch(self.batch_share.any((code != 0).any(dim=0)), self.batch_share.size(code))
        if self.sparsity is not None:
            penalties["sparsity"] = self.sparsity(code, one.activation, one.engine, self.batch_share)
        if self.contraction and before is not None:
            steepness = contraction(before, self._dense.encoder.weight, self._dense.activation)
            penalties["contraction"] = self.contraction * steepness
        if self.weight_l1:
            penalties["weight_l1"] = self.weight_l1 * torch.stack([each.abs().sum() for each in self.weights]).sum()
        code, weight = self._dropped(code, step), self._weight(aim, step)
        if self.auxiliary is not None and before is not None:
            lacking = residual(one, code, aim.target, weight, self.loss, one.output_activation)
            penalties["revive"] = self.auxiliary(before, self._dense.decoder_matrix, lacking, CURVATURES[self.loss])
        return seen, LOSSES[self.loss](one, code, aim.target, weight), penalties

    @torch.no_grad()
    def clean_loss(self, x: Rows) -> float:
        """Compute the reconstruction loss per row of x (n, n_visible), uncorrupted."""
        total, one = 0.0, self.network
        for part in in_order(len(x), ROWS_AT_ONCE):
            aim = self.aim(part, x)
            total += LOSSES[self.loss](one, one.encode(aim.x), aim.target, aim.weight).item() * len(aim.x)
        return total / len(x)

    @torch.no_grad()
    def corrupted_loss(self, x: Rows) -> float:
        """(1/n) Σ_i L(t_i, decode(h_i)) over rows x (n, n_visible), corrupted as in training.

        This is the first term of the objective, with corruption, emphasis and dropout: input dropout is masking noise
        by another name, and the best epoch must not depend on the name. Penalties are left out: they are not errors of
        rows, and the clean loss, which is reported beside this one, has none either. Sparse codes are selected as at
        inference time, without a batch.

        Noise is drawn by (seed, layer, row) from a stream that no training step uses. It is the same in every epoch,
        so that epochs differ by their weights alone, and the same after a resume.
        """
        total = 0.0
        for part in in_order(len(x), ROWS_AT_ONCE):
            aim, step = self.aim(part, x), EVALUATION_COUNTER + part.start
            code = self._dropped(self.network.encode(self._seen(aim.x, step)), step)
            loss = LOSSES[self.loss](self.network, code, aim.target, self._weight(aim, step))
            total += loss.item() * len(code)
        return total / len(x)

    def _seen(self, clean: Tensor, step: int) -> Tensor:
        """Corrupt and drop out rows: the input of the encoder."""
        engine, stream = self.batch_share.placed(self.network.engine), self._stream(step)
        seen = self.corruption(clean, engine, **stream)
        return seen if self.dropout is None else self.dropout[0](seen, engine, **stream)

    def _dropped(self, code: Tensor, step: int) -> Tensor:
        """Drop out units of the code: the input of the decoder."""
        engine = self.batch_share.placed(self.network.engine)
        return code if self.dropout is None else self.dropout[1](code, engine, **self._stream(step))

    def _weight(self, aim: Aim, step: int) -> Tensor | None:
        """The weight of each entry's error, (batch, n_visible); None where all are 1."""
        if self.emphasis is None:
            return aim.weight
        engine = self.batch_share.placed(self.network.engine)
        emphasized = self.emphasis(aim.x, self.corruption, engine, **self._stream(step))
        return emphasized if aim.weight is None else aim.weight * emphasized

    def _stream(self, step: int) -> dict[str, int]:
        return {"seed": self.seed, "layer": self.layer, "step": step}

    def _kept(self, code: Tensor) -> Tensor:
        """Keep the active units of a sparse code; those that are selected over the batch, over all of it."""
        one = self.network
        _, over_batch, share = one.kept_units if isinstance(one, Autoencoder) else (0, False, 0.0)
        if over_batch or share:
            return self.batch_share.selected(code, lambda codes: one.kept(codes, training=True))
        return one.kept(code, training=True)

    def _coded(self, x: Tensor) -> tuple[Tensor | None, Tensor]:
        """Compute the pre-activations of the code, where a penalty needs them, and the code."""
        if not self.contraction and self.auxiliary is None:
            return None, self.network.code(x)
        one = self._dense
        before = one.engine.dense_act(x, one.encoder.weight, one.encoder.bias, "linear")
        return before, ACTIVATIONS[one.activation](before)

    @property
    def _dense(self) -> Autoencoder:
        if not isinstance(self.network, Autoencoder):
            raise TypeError(f"objective: expected a dense autoencoder, got {type(self.network).__name__}")
        return self.network
