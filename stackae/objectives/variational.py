"""The objective of a variational autoencoder, and the ELBO of data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stackae.autoencoders.variational import VariationalAutoencoder, bent, gaussian_kl
from stackae.data.minibatches import in_order
from stackae.data.paired import Aim
from stackae.data.rows import Rows
from stackae.errors import DataError
from stackae.models.stack import ROWS_AT_ONCE
from stackae.objectives.base import Objective
from stackae.objectives.losses import LOSSES
from stackae.random import EVALUATION_COUNTER, Purpose, normal_rows


@dataclass(frozen=True)
class VariationalObjective(Objective):
    """loss(x, decode(h)) + β KL(q(h|x̃) ‖ N(0, I)), h ~ q(h|x̃) drawn once per row: the mean over rows.

    With loss ``bce``, binary x and β = 1, this is the negative ELBO in nats; another β weighs the KL (β-VAE). With loss
    ``mse``, the squared error ‖z − x‖², β/2 is the variance σ² of each feature around z: 1/β of the objective is the
    negative ELBO of a Gaussian decoder N(z, σ² I), up to the constant (n_visible/2) ln(πβ). β = 1 means σ² = ½; where
    the error of features is smaller, choose β = 2σ².

    h is drawn by (seed, layer, step) and the row's index in the batch alone; x̃ is x where nothing is corrupted.

    Kingma & Welling (2014); Higgins et al. (2017), β-VAE; Im, Ahn, Memisevic & Bengio (2017), Denoising criterion for
    variational auto-encoding framework.
    """

    network: VariationalAutoencoder

    @property
    def parameters(self) -> list[Tensor]:
        return self.network.trained

    @property
    def noisy(self) -> bool:
        """True where x is corrupted. The draw of h does not count: the loss of clean rows has it too."""
        return bool(self.corruption)

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        return self._loss(self.aim(rows), step)

    def parts(self, aim: Aim, step: int) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return x̃, the reconstruction loss, and β KL, for rows x (batch, n_visible)."""
        one = self.network
        engine, first = self.batch_share.placed(one.engine), self.batch_share.first
        noisy = self.corruption(aim.x, engine, seed=self.seed, layer=self.layer, step=step)
        mu, logvar = one.posterior(noisy)
        draws, width = first + len(mu), mu.shape[1]
        noise = normal_rows(draws, width, seed=self.seed, purpose=Purpose.LATENT, layer=self.layer, counter=step)
        h = one.sample(mu, logvar, noise[first:].to(mu))
        return noisy, LOSSES[self.loss](one, h, aim.target, aim.weight), {"beta": self.beta * gaussian_kl(mu, logvar)}

    def clean_loss(self, x: Rows) -> float:
        """Compute the objective per row of x (n, n_visible), uncorrupted, with one draw of h per row."""
        found = elbo(self.network, x, self.loss, draws=1)
        constant = 0.0 if self.loss == "bce" else x.shape[1] / 2 * math.log(math.pi)
        return self.beta * found.kl - found.log_likelihood - constant

    @torch.no_grad()
    def corrupted_loss(self, x: Rows) -> float:
        """Compute the objective per row of x (n, n_visible), corrupted as in training.

        Noise is drawn as in ``ReconstructionObjective.corrupted_loss``. The KL term is included: it is part of the
        bound, and ``clean_loss`` has it too.
        """
        total = 0.0
        for part in in_order(len(x), ROWS_AT_ONCE):
            aim = self.aim(part, x)
            total += self._loss(aim, EVALUATION_COUNTER + part.start).item() * len(aim.x)
        return total / len(x)

    def _loss(self, aim: Aim, step: int) -> Tensor:
        _, reconstruction, penalties = self.parts(aim, step)
        return reconstruction + penalties["beta"]


class ElboReport(NamedTuple):
    """Bounds on ln p(x) in nats per row, averaged over rows.

    elbo: E_q ln p(x|h) − KL, at most ln p(x). log_likelihood: E_q ln p(x|h). kl: KL(q(h|x) ‖ p(h)). importance:
    ln (1/K) Σ_k p(x|h_k) p(h_k) / q(h_k|x) over K draws; its expectation lies between elbo and ln p(x), and approaches
    ln p(x) with more draws (Burda, Grosse & Salakhutdinov 2016).
    """

    elbo: float
    log_likelihood: float
    kl: float
    importance: float


@torch.no_grad()
def elbo(
    autoencoder: VariationalAutoencoder, x: Rows, loss: str, *, variance: float = 0.5, draws: int = 8, seed: int = 0
) -> ElboReport:
    """Estimate the evidence lower bound of x (n, n_visible), n >= 1, by ``draws`` codes per row, drawn by the seed.

    p(x|h) is Bernoulli for loss ``bce``, and N(z, variance · I) for ``mse``; training with β means a variance of β/2.

    Raises:
        DataError: no rows.
        ValueError: an unknown loss, draws below 1, or a variance that is not above 0.
    """
    if len(x) == 0:
        raise DataError("data: expected rows to evaluate, got none")
    if loss not in LOSSES:
        raise ValueError(f"loss: expected one of {', '.join(LOSSES)}, got '{loss}'")
    if draws < 1 or variance <= 0:
        raise ValueError(f"elbo: expected draws of at least 1 and a variance above 0, got {draws} and {variance:g}")
    sums = torch.zeros(3, dtype=torch.float64)
    for part in in_order(len(x), ROWS_AT_ONCE):
        rows = x[part].to(autoencoder.device)
        mu, logvar = autoencoder.posterior(rows)
        each = []
        for draw in range(draws):
            counter = EVALUATION_COUNTER + (draw << 40) + part.start
            noise = normal_rows(*mu.shape, seed=seed, purpose=Purpose.LATENT, counter=counter).to(mu)
            h = autoencoder.sample(mu, logvar, noise)
            likelihood = _log_likelihood(autoencoder, h, rows, loss, variance)
            each.append(torch.stack((likelihood, likelihood + _log_ratio(h, noise, logvar))))
        likelihood, weight = torch.stack(each, dim=1)
        importance = torch.logsumexp(weight, dim=0) - math.log(draws)
        kl = gaussian_kl(mu, logvar).double() * len(rows)
        sums += torch.stack((likelihood.mean(0).sum(), kl, importance.sum())).cpu()
    log_likelihood, divergence, importance_bound = (sums / len(x)).tolist()
    return ElboReport(log_likelihood - divergence, log_likelihood, divergence, importance_bound)


def _log_likelihood(one: VariationalAutoencoder, h: Tensor, x: Tensor, loss: str, variance: float) -> Tensor:
    """ln p(x|h) per row, (batch,) float64."""
    if loss == "bce":
        return -F.binary_cross_entropy_with_logits(one.decode_logits(h), x, reduction="none").double().sum(1)
    constant = x.shape[1] / 2 * math.log(2 * math.pi * variance)
    return -(one.decode(h) - x).double().square().sum(1) / (2 * variance) - constant


def _log_ratio(h: Tensor, noise: Tensor, logvar: Tensor) -> Tensor:
    """ln p(h) − ln q(h|x) per row, (batch,) float64; h = μ + e^(logvar/2) · noise."""
    return 0.5 * (noise.double().square() - h.double().square() + bent(logvar).double()).sum(1)
