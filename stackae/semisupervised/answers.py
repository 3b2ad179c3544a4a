"""What a head answers, for losses on rows with and without labels: classes or numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from stackae.semisupervised.graph import Neighbours, Spread, agreement, spread_classes, spread_numbers


class Answers(Protocol):
    """The losses of one kind of head; outputs are (batch, n_out), before the softmax of classes."""

    def loss(self, outputs: Tensor, index: Tensor) -> Tensor:
        """Compute the mean loss of the labelled rows with these indices (batch,) int64."""
        ...

    def spread(self, neighbours: Neighbours, known: Tensor) -> Spread:
        """Spread the labels over a graph; ``known`` (m,) are its rows with labels, in their order."""
        ...

    def agreement(self, neighbours: Neighbours, known: Tensor, seed: int) -> float | None:
        """Return the share of withheld labels that spreading finds; None of numbers."""
        ...

    def pseudo_loss(self, outputs: Tensor, values: Tensor, confidence: Tensor) -> Tensor:
        """Compute the loss of spread values (batch, k), weighted by their confidence (batch,)."""
        ...

    def divergence(self, before: Tensor, after: Tensor) -> Tensor:
        """Compute how far the answers move from ``before``, which is held constant, to ``after``: the mean per row."""
        ...

    def indecision(self, outputs: Tensor) -> Tensor:
        """Compute the penalty of answers that are not decided, or that are all the same."""
        ...


@dataclass(frozen=True)
class Classes:
    """Classes by cross-entropy, in nats.

    Attributes:
        y: (m,) int64 the classes of the labelled rows.
        weight: (n_classes,) weights of the classes in the loss; None means 1.
        prior: (n_classes,) the expected shares of the classes over all rows.
    """

    y: Tensor
    weight: Tensor | None
    prior: Tensor

    def loss(self, outputs: Tensor, index: Tensor) -> Tensor:
        y = self.y[index].to(outputs.device)
        losses = F.cross_entropy(outputs, y, reduction="none")
        return losses.mean() if self.weight is None else (self.weight.to(outputs)[y] * losses).mean()

    def spread(self, neighbours: Neighbours, known: Tensor) -> Spread:
        return spread_classes(neighbours, self._on_graph(known), len(self.prior))

    def agreement(self, neighbours: Neighbours, known: Tensor, seed: int) -> float | None:
        return agreement(neighbours, self._on_graph(known), len(self.prior), seed)

    def _on_graph(self, known: Tensor) -> Tensor:
        y = torch.full((len(known),), -1)
        y[known] = self.y.cpu()
        return y

    def pseudo_loss(self, outputs: Tensor, values: Tensor, confidence: Tensor) -> Tensor:
        return -(confidence * (values * outputs.log_softmax(dim=1)).sum(dim=1)).mean()

    def divergence(self, before: Tensor, after: Tensor) -> Tensor:
        """KL(p ‖ q), of the softmax p before and q after."""
        p, q = before.detach().log_softmax(dim=1), after.log_softmax(dim=1)
        return (p.exp() * (p - q)).sum(dim=1).mean()

    def indecision(self, outputs: Tensor) -> Tensor:
        """E[H(p)] − Σ_c π_c ln E[p_c]: the entropy of each answer, and the cross-entropy of the prior to their mean.

        Grandvalet & Bengio (2004), Semi-supervised learning by entropy minimization; Bridle, Heading & MacKay (1991),
        Unsupervised classifiers, mutual information and phantom targets.
        """
        p = outputs.log_softmax(dim=1)
        entropy = -(p.exp() * p).sum(dim=1).mean()
        return entropy - (self.prior.to(outputs) * p.exp().mean(dim=0).clamp(min=1e-30).log()).sum()


@dataclass(frozen=True)
class Numbers:
    """Standardized numbers y (m, k) by squared error, NaN where one is missing."""

    y: Tensor

    def loss(self, outputs: Tensor, index: Tensor) -> Tensor:
        y = self.y[index].to(outputs)
        error = torch.where(y.isnan(), 0.0, outputs - y.nan_to_num())
        return error.square().sum(dim=1).mean()

    def spread(self, neighbours: Neighbours, known: Tensor) -> Spread:
        y = self.y.new_full((len(neighbours.indices), self.y.shape[1]), torch.nan).cpu()
        y[known] = self.y.cpu()
        return spread_numbers(neighbours, y)

    def agreement(self, neighbours: Neighbours, known: Tensor, seed: int) -> float | None:
        return None

    def pseudo_loss(self, outputs: Tensor, values: Tensor, confidence: Tensor) -> Tensor:
        return (confidence * (outputs - values).square().sum(dim=1)).mean()

    def divergence(self, before: Tensor, after: Tensor) -> Tensor:
        """Σ_j (q_j − p_j)²."""
        return (after - before.detach()).square().sum(dim=1).mean()

    def indecision(self, outputs: Tensor) -> Tensor:
        return outputs.new_zeros(())
