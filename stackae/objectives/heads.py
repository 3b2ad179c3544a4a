"""What heads on encoders are trained for; a target that is missing has no influence."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from stackae.data.rows import Rows
from stackae.models.heads.classifier import Finetuned
from stackae.models.heads.others import DeepAutoencoder
from stackae.objectives.base import Objective, links
from stackae.objectives.losses import LOSSES
from stackae.ops.step import DenseLayer


@dataclass(frozen=True)
class FinetuneObjective(Objective):
    """What a head on encoders is trained for, of whatever kind it is."""

    network: Finetuned

    @property
    def parameters(self) -> list[Tensor]:
        return [parameter for part in self.network.parts for parameter in part.trained]


@dataclass(frozen=True)
class ClassificationObjective(FinetuneObjective):
    """(1/B) Σ_i w(y_i) ℓ_i, ℓ the softmax cross-entropy in nats; weight w (n_classes,) is 1 without one."""

    y: Tensor
    weight: Tensor | None = field(default=None, kw_only=True)
    loss: str = field(default="cross_entropy", kw_only=True)

    @property
    def labels(self) -> Tensor:
        return self.y.contiguous()

    @property
    def chain(self) -> list[DenseLayer]:
        return links(self.network.parts, self.loss) if self.weight is None else []

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        logits, y = self.network(self.x[rows].to(self.network.device)), self.y[rows].to(self.network.device)
        if self.weight is None:
            return F.cross_entropy(logits, y)
        weight = self.weight.to(logits)[y]
        return (weight * F.cross_entropy(logits, y, reduction="none")).sum() / max(1, len(rows))


@dataclass(frozen=True)
class UnrolledObjective(FinetuneObjective):
    """(1/B) Σ_i L(t_i, decode(encode(x_i))), where t_i is x_i, or the row of which x_i is the code.

    Hinton & Salakhutdinov (2006), Reducing the dimensionality of data with neural networks.
    """

    network: DeepAutoencoder
    target: Rows

    @property
    def chain(self) -> list[DenseLayer]:
        parts = [*self.network.encoders, *self.network.head.each]
        return links(parts, self.loss) if self.x is self.target else []

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        one = self.network
        code = one.encode(self.x[rows].to(one.device))
        return LOSSES[self.loss](one, code, self.target[rows].to(one.device))


@dataclass(frozen=True)
class RegressionObjective(FinetuneObjective):
    """(1/B) Σ_i Σ_j (z_ij − y_ij)² over the targets that are known; y (n, n_targets) standardised, NaN for unknown."""

    y: Tensor

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        z = self.network(self.x[rows].to(self.network.device))
        return squared_error(z, self.y[rows].to(z)) / max(1, len(rows))


@dataclass(frozen=True)
class MultilabelObjective(FinetuneObjective):
    """−(1/B) Σ_i Σ_j y_ij ln p_ij + (1−y_ij) ln(1−p_ij) over the labels that are known, in nats.

    y (n, n_labels) 0, 1, or NaN for unknown.
    """

    y: Tensor
    loss: str = field(default="bce", kw_only=True)

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        z = self.network(self.x[rows].to(self.network.device))
        return cross_entropy(z, self.y[rows].to(z)) / max(1, len(rows))


def squared_error(z: Tensor, y: Tensor) -> Tensor:
    """Σ (z − y)² over what is no NaN in y; both (batch, n) -> scalar."""
    return torch.where(y.isnan(), 0.0, z - y.nan_to_num()).square().sum()


def cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    """Σ −y ln σ(z) − (1−y) ln(1−σ(z)) over what is no NaN in y; both (batch, n) -> scalar."""
    each = F.binary_cross_entropy_with_logits(z, y.nan_to_num(), reduction="none")
    return torch.where(y.isnan(), 0.0, each).sum()
