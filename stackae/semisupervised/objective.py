"""Objectives of fine-tuning on labelled and unlabelled rows together: pseudo-labels, and adversarial smoothness."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from stackae.data.rows import Rows
from stackae.models.heads.base import HEAD_NUMBER
from stackae.objectives.base import Objective
from stackae.ops.engine import Engine
from stackae.random import Purpose, uniform
from stackae.semisupervised.answers import Answers
from stackae.semisupervised.graph import Spread
from stackae.semisupervised.network import NormalizedNetwork

LABELLED_BATCH = 100
DIRECTION = HEAD_NUMBER + 1  # layer number of the stream of directions


class UnlabelledTask(NamedTuple):
    """What a network learns from besides all rows.

    Attributes:
        labelled: (m, n_visible) the rows with labels.
        answers: the losses of the head.
        spread: labels of all rows by spreading; None where every row has a label.
        radius: length of adversarial perturbations.
        steps: number of steps of the whole training.
    """

    labelled: Rows
    answers: Answers
    spread: Spread | None
    radius: float
    steps: int


@dataclass(frozen=True)
class PseudoLabelObjective(Objective):
    """ℓ(labelled rows) + s_t (1/B) Σ_i c_i ℓ(ŷ_i, f(x_i)), for spread labels ŷ_i of confidence c_i on a batch of rows.

    Each step takes the batch of all rows and, beside it, LABELLED_BATCH labelled rows drawn by (seed, step), or all
    where there are fewer; both pass through the network as one batch.

    s_t falls from 1 to ``last_share`` until ``faded`` of the steps are over. x (n, n_visible) are all rows.

    Lee (2013), Pseudo-label; Iscen, Tolias, Avrithis & Chum (2019), Label propagation for deep semi-supervised
    learning.
    """

    last_share: ClassVar[float] = 1.0
    faded: ClassVar[float] = 1.0

    network: NormalizedNetwork
    _: KW_ONLY
    task: UnlabelledTask

    @property
    def parameters(self) -> list[Tensor]:
        return self.network.trained

    @property
    def engine(self) -> Engine:
        return self.network.chain[0].engine

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        device = self.network.device
        index = self._drawn(step)
        known = self.task.labelled[index.to(self.task.labelled.device)].to(device)
        x = self.x[rows].to(device)
        outputs, penalty = self.evaluate(known, x, step)
        loss = self.task.answers.loss(outputs[: len(known)], index)
        share = self.share(step)
        if self.task.spread is not None and share > 0:
            values, confidence = (each[rows].to(device) for each in self.task.spread)
            loss = loss + share * self.task.answers.pseudo_loss(outputs[len(known) :], values, confidence)
        return loss + penalty

    def share(self, step: int) -> float:
        """Return s_t, which falls linearly."""
        return max(self.last_share, 1 - (1 - self.last_share) * step / (self.faded * self.task.steps))

    def evaluate(self, known: Tensor, x: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return the outputs for both batches, the labelled one first, and the loss that needs no labels: here 0."""
        outputs = self.network(torch.cat([known, x]))
        return outputs, outputs.new_zeros(())

    def _drawn(self, step: int) -> Tensor:
        count = len(self.task.labelled)
        if count <= LABELLED_BATCH:
            return torch.arange(count)
        draws = uniform((LABELLED_BATCH,), seed=self.seed, purpose=Purpose.LABELLED_BATCH, counter=step)
        return (draws.double() * count).long()


@dataclass(frozen=True)
class AdversarialObjective(PseudoLabelObjective):
    """Pseudo-labels that fade, and then smoothness where it is least smooth, and decided answers.

    Adds D(f(x), f(x + r)) + indecision(f(x)), with r the direction of length ``radius`` in which the answers change
    most: one power iteration from a random direction.

    Miyato, Maeda, Koyama & Ishii (2018), Virtual adversarial training, TPAMI.
    """

    last_share: ClassVar[float] = 0.0
    faded: ClassVar[float] = 0.5

    def evaluate(self, known: Tensor, x: Tensor, step: int) -> tuple[Tensor, Tensor]:
        outputs = self.network(torch.cat([known, x]))
        free = outputs[len(known) :]
        adversarial = self.network(x + self.perturbation(x, free.detach(), step))
        return outputs, self.task.answers.divergence(free, adversarial) + self.task.answers.indecision(free)

    def perturbation(self, x: Tensor, outputs: Tensor, step: int) -> Tensor:
        """r (batch, n_visible): ‖r_i‖ = radius, along the gradient of the divergence at a tenth of it."""
        zeros = torch.zeros_like(x)
        direction = self.engine.corrupt(zeros, "gaussian", 1.0, 0.0, 1.0, self.seed, DIRECTION, step)
        nearby = (0.1 * self.task.radius * unit_rows(direction)).requires_grad_()
        with torch.enable_grad():
            divergence = self.task.answers.divergence(outputs, self.network(x + nearby))
        (gradient,) = torch.autograd.grad(divergence, nearby)
        return self.task.radius * unit_rows(gradient)


def unit_rows(x: Tensor) -> Tensor:
    """x (n, d) -> x_i / ‖x_i‖; rows of zeros stay zeros."""
    lengths: Tensor = x.norm(dim=1, keepdim=True)
    return x / lengths.clamp(min=torch.finfo(x.dtype).tiny)
