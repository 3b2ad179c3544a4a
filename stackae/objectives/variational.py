"""What a variational autoencoder is trained for, and how much of the data it explains."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stackae.autoencoders.variational import VariationalAutoencoder, bent, gaussian_kl
from stackae.data.minibatches import in_order
from stackae.data.rows import Rows
from stackae.errors import DataError
from stackae.models.stack import ROWS_AT_ONCE
from stackae.objectives.base import Objective
from stackae.objectives.losses import LOSSES
from stackae.random import EVALUATION_COUNTER, Purpose, normal_rows


@dataclass(frozen=True)
class VariationalObjective(Objective):
    """loss(x, decode(h)) + β KL(q(h|x̃) ‖ N(0, I)), h ~ q(h|x̃) drawn once a row: the mean over rows.

    loss ``bce``: of binary x, with β = 1 the negative ELBO in nats; another β weighs the KL (β-VAE). loss ``mse``: the
    squared error ‖z − x‖², so β/2 is the variance σ² of each feature around z: 1/β of the whole is the negative ELBO
    of a Gaussian decoder N(z, σ² I), up to the constant (n_visible/2) ln(πβ). At β = 1, σ² is ½; where features err
    less than that, take β = 2σ².

    h is drawn by (seed, layer, step) and the row's place in the batch alone; x̃ is x where nothing is corrupted.

    Kingma & Welling (2014); Higgins et al. (2017), β-VAE; Im, Ahn, Memisevic & Bengio (2017), Denoising criterion for
    variational auto-encoding framework.
    """

    network: VariationalAutoencoder

    @property
    def parameters(self) -> list[Tensor]:
        return self.network.trained

    @property
    def noisy(self) -> bool:
        """Whether what is read is corrupted. The draw of h is not meant: the loss on clean rows has it too."""
        return bool(self.corruption)

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        return self._loss(self.x[rows].to(self.network.device), step)

    def parts(self, clean: Tensor, step: int) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Of rows x (batch, n_visible): x̃, the loss of reconstruction, and β KL."""
        one = self.network
        noisy = self.corruption(clean, one.engine, seed=self.seed, layer=self.layer, step=step)
        mu, logvar = one.posterior(noisy)
        noise = normal_rows(*mu.shape, seed=self.seed, purpose=Purpose.LATENT, layer=self.layer, counter=step)
        h = one.sample(mu, logvar, noise.to(mu))
        return noisy, LOSSES[self.loss](one, h, clean), {"beta": self.beta * gaussian_kl(mu, logvar)}

    def clean_loss(self, x: Rows) -> float:
        """The objective per row of uncorrupted rows x (n, n_visible), by one draw per row."""
        found = elbo(self.network, x, self.loss, draws=1)
        constant = 0.0 if self.loss == "bce" else x.shape[1] / 2 * math.log(math.pi)
        return self.beta * found.kl - found.log_likelihood - constant

    @torch.no_grad()
    def corrupted_loss(self, x: Rows) -> float:
        """The objective per row of rows x (n, n_visible), as ``ReconstructionObjective.corrupted_loss`` corrupts them.

        The whole of it, the KL term too: that is part of the bound, and ``clean_loss`` has it.
        """
        total = 0.0
        for part in in_order(len(x), ROWS_AT_ONCE):
            clean = x[part].to(self.network.device)
            total += self._loss(clean, EVALUATION_COUNTER + part.start).item() * len(clean)
        return total / len(x)

    def _loss(self, clean: Tensor, step: int) -> Tensor:
        _, reconstruction, penalties = self.parts(clean, step)
        return reconstruction + penalties["beta"]


class ElboReport(NamedTuple):
    """In nats a row, averaged over rows.

    elbo: E_q ln p(x|h) − KL, at most ln p(x). log_likelihood: E_q ln p(x|h). kl: KL(q(h|x) ‖ p(h)).
    importance: ln (1/K) Σ_k p(x|h_k) p(h_k) / q(h_k|x) over the K draws; in the mean between elbo and ln p(x), the
    nearer to the latter the more draws (Burda, Grosse & Salakhutdinov 2016).
    """

    elbo: float
    log_likelihood: float
    kl: float
    importance: float


@torch.no_grad()
def elbo(
    autoencoder: VariationalAutoencoder, x: Rows, loss: str, *, variance: float = 0.5, draws: int = 8, seed: int = 0
) -> ElboReport:
    """The evidence lower bound of x (n, n_visible), n >= 1, by ``draws`` codes a row that are a function of the seed.

    loss ``bce``: p(x|h) is Bernoulli. loss ``mse``: p(x|h) is N(z, variance · I); trained with β, it is β/2.

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
    """ln p(x|h) of each row, (batch,) float64."""
    if loss == "bce":
        return -F.binary_cross_entropy_with_logits(one.decode_logits(h), x, reduction="none").double().sum(1)
    constant = x.shape[1] / 2 * math.log(2 * math.pi * variance)
    return -(one.decode(h) - x).double().square().sum(1) / (2 * variance) - constant


def _log_ratio(h: Tensor, noise: Tensor, logvar: Tensor) -> Tensor:
    """ln p(h) − ln q(h|x) of each row, (batch,) float64; h = μ + e^(logvar/2) · noise."""
    return 0.5 * (noise.double().square() - h.double().square() + bent(logvar).double()).sum(1)
