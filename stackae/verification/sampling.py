"""Closed forms against draws: the marginalized layer's moments and error, and the variational layer's KL divergence.

Distances are in standard errors of the mean, estimated from the same draws.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from stackae.autoencoders.corruption import Corruption
from stackae.autoencoders.dense import Autoencoder
from stackae.autoencoders.statistics import CorruptedMoments, Moments
from stackae.autoencoders.variational import VariationalAutoencoder, gaussian_kl
from stackae.objectives.variational import VariationalObjective, elbo
from stackae.ops.engine import choose_engine
from stackae.training.layer import LayerReplica
from stackae.verification.check import Case, Check
from stackae.verification.subjects import CPU, against_draws, normal, replica_of

ROWS, WIDTH, COPIES = 24, 16, 2500
NOISES = (
    Corruption("masking", 0.3),
    Corruption("gaussian", 0.5),
    Corruption("salt-and-pepper", 0.2, low=-1.0, high=2.0),
)
DRAWS = 200_000
SIZES = (3e-3, 0.03, 0.3)
VARIANCE = 0.3
NEARBY = 20 * len(SIZES) * 2 * len(NOISES)


# ---- the marginalized layer


def clean_rows() -> Tensor:
    """Draw (24, 16) float64 rows with correlated features of different means."""
    return normal(ROWS, WIDTH, seed=1) @ normal(WIDTH, WIDTH, seed=2) / 4 + torch.linspace(-1, 1, WIDTH)


def corrupted(x: Tensor, noise: Corruption) -> Tensor:
    """Corrupt every row COPIES times, by the draws that training uses -> (rows, copies, width)."""
    drawn = noise(x.repeat(COPIES, 1), choose_engine(), seed=3, layer=1, step=0)
    return drawn.view(COPIES, *x.shape).transpose(0, 1)


def moment_cases(noises: Iterable[Corruption] = NOISES) -> Iterator[Case]:
    """Compare mean, P and Q entry by entry. Errors come from the spread among a row's copies: rows are not random."""
    x = clean_rows()
    for noise in noises:
        exact, drawn = CorruptedMoments.of(Moments.of(x), noise), corrupted(x, noise)
        centred, clean = drawn - exact.noisy_mean, (x - exact.mean).unsqueeze(1).expand_as(drawn)
        ones = torch.ones_like(drawn[:, :, :1])
        for what, wanted, left, right in (
            ("mean", torch.zeros(1, WIDTH), ones, centred),
            ("covariance with the clean rows", exact.cross, clean, centred),
            ("covariance", exact.noisy_covariance, centred, centred),
        ):
            yield against_draws(f"{what}, {_text(noise)}", *_mean_product(left, right, wanted.to(x)))


def _mean_product(left: Tensor, right: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean of a bᵀ over rows and copies, the expected one, and its standard error."""
    mean = left.mT @ right / COPIES
    variance = left.square().mT @ right.square() / COPIES - mean.square()
    return mean.mean(dim=0), wanted, (variance.clamp(min=0).mean(dim=0) / (len(left) * COPIES)).sqrt()


def _text(noise: Corruption) -> str:
    return noise.kind if noise.kind == "none" else f"{noise.kind}:{noise.level:g}"


def solved(noise: Corruption, width: int) -> tuple[LayerReplica, Tensor, Tensor]:
    """Solve the layer as training does; return it with A and b of its affine map A x̃ + b, in float64."""
    options: dict[str, Any] = {"kind": "marginalized", "activation": "linear", "ridge": 0.0, "corruption": _text(noise)}
    replica = replica_of(f"{WIDTH},{width}", clean_rows(), CPU, torch.float32, **options)
    replica = replace(replica, reads=replica.reads._replace(low=noise.low, high=noise.high))
    replica.prepare()
    one = replica.network.double()
    assert isinstance(one, Autoencoder)
    decoder = one.decoder_weight.detach()
    return (
        replica,
        decoder @ one.encoder.weight.detach(),
        decoder @ one.encoder.bias.detach() + one.decoder_bias.detach(),
    )


def error_cases(noises: Iterable[Corruption] = NOISES) -> Iterator[Case]:
    """Compare the closed-form expected error with the mean over the copies, for the solution and for any map."""
    x = clean_rows()
    for noise in noises:
        exact, noisy = CorruptedMoments.of(Moments.of(x), noise), corrupted(x, noise)
        wide, narrow = (solved(noise, width) for width in (WIDTH, 5))
        some = normal(WIDTH, WIDTH, seed=4), normal(WIDTH, seed=5)
        for name, (weight, bias), z in (
            (f"{WIDTH} units", wide[1:], wide[0].network.reconstruct(noisy.flatten(0, 1))),
            ("5 units", narrow[1:], narrow[0].network.reconstruct(noisy.flatten(0, 1))),
            ("any map", some, noisy @ some[0].t() + some[1]),
        ):
            each = (z.detach().view(ROWS, COPIES, WIDTH) - x.unsqueeze(1)).square().sum(dim=2)
            error = (each.var(dim=1).mean() / each.numel()).sqrt()
            yield against_draws(f"{name}, {_text(noise)}", each.mean(), exact.error(weight, bias), error)


def best_cases() -> Iterator[Case]:
    """Count nearby weights, in random directions and along the error's gradient, with a lower expected error."""
    x = clean_rows()
    for noise in NOISES:
        exact = CorruptedMoments.of(Moments.of(x), noise)
        for width in (WIDTH, 5):
            replica, _, _ = solved(noise, width)
            one = replica.network
            assert isinstance(one, Autoencoder)
            there, back = (each.detach().requires_grad_() for each in (one.encoder.weight, one.decoder_weight))
            least = _best_error(exact, there, back)
            down, up = torch.autograd.grad(-least, (there, back))
            length = torch.cat([down.flatten(), up.flatten()]).norm()
            ways = [(down / length, up / length)]
            ways += [(normal(width, WIDTH, seed=seed), normal(WIDTH, width, seed=99 + seed)) for seed in range(19)]
            better = sum(
                int(_best_error(exact, there + size * first, back + size * second) < least)
                for (first, second), size in itertools.product(ways, SIZES)
            )
            yield Case(f"{width} units, {_text(noise)}", better, 0)


def _best_error(exact: CorruptedMoments, encoder: Tensor, decoder: Tensor) -> Tensor:
    """The expected error of a linear layer with the optimal bias."""
    weight = decoder @ encoder
    return exact.error(weight, exact.mean - weight @ exact.noisy_mean)


# ---- the variational layer


def posterior_of(scale: float) -> tuple[VariationalObjective, Tensor, Tensor]:
    """Build the objective of a layer as training does; return it with μ and logvar of its eight rows."""
    x = normal(8, 6, seed=4)
    options: dict[str, Any] = {"kind": "variational", "output_activation": "linear"}
    replica = replica_of("6,4", x, **options)
    objective, one = replica.objective, replica.network
    assert isinstance(objective, VariationalObjective) and isinstance(one, VariationalAutoencoder)
    with torch.no_grad():
        one.logvar.bias.copy_(scale * normal(4, seed=5))
        return objective, *one.posterior(x)


def divergence_cases() -> Iterator[Case]:
    """Compare the term that β = 1 adds to the loss with the mean of ln q(h|x) − ln p(h) over draws of h."""
    for scale in (0.0, 1.0, 3.0):
        objective, mu, logvar = posterior_of(scale)
        rows = torch.arange(len(mu))
        without = type(objective)(**{**vars(objective), "beta": 0.0})
        added = (objective(rows, 0) - without(rows, 0)).detach()
        noise = normal(DRAWS // len(mu), *mu.shape, seed=6)
        h = objective.network.sample(mu, logvar, noise).detach()
        each = 0.5 * (h.square() - (h - mu).square() / logvar.exp() - logvar).sum(dim=2)
        error = (each.var(dim=0).mean() / each.numel()).sqrt()
        yield against_draws(f"logvar of spread {scale:g}", each.mean(), added, error)


def drawn_cases() -> Iterator[Case]:
    """Check that sampled codes have the mean μ and the variance e^logvar that the KL divergence assumes."""
    objective, mu, logvar = posterior_of(1.0)
    count = DRAWS // len(mu)
    h = objective.network.sample(mu, logvar, normal(count, *mu.shape, seed=7)).detach()
    variance = logvar.exp()
    yield against_draws("mean", h.mean(dim=0), mu, (variance / count).sqrt())
    yield against_draws("variance", h.var(dim=0), variance, variance * math.sqrt(2 / count))


def known_cases() -> Iterator[Case]:
    """Compare KL(N(μ, s²) ‖ N(0, 1)) with 0 at the prior, and with quadrature elsewhere."""
    none = torch.zeros(1, 1, dtype=torch.float64)
    yield Case("at the prior", float(gaussian_kl(none, none).abs()), 1e-15)
    places = torch.linspace(-30, 30, 60_001, dtype=torch.float64)
    for mean, logvar in ((1.5, 0.0), (0.3, -2.0), (-1.0, 1.2)):
        log_q = -0.5 * (logvar + math.log(2 * math.pi) + (places - mean).square() / math.exp(logvar))
        log_p = -0.5 * (math.log(2 * math.pi) + places.square())
        wanted = float(torch.trapezoid(log_q.exp() * (log_q - log_p), places))
        found = float(gaussian_kl(none + mean, none + logvar))
        yield Case(f"μ {mean:g}, logvar {logvar:g}", abs(found - wanted), 1e-9)


def bound_cases(shifts: Iterable[float] = (0.5,)) -> Iterator[Case]:
    """Compare the ELBO with the known likelihood of x = W h + c + noise, where W has orthogonal columns.

    p(x) and p(h|x) are known there. With that posterior every draw gives p(x); with a shifted one the ELBO is lower by
    a known divergence, and the importance bound approaches p(x) with many draws.
    """
    one = VariationalAutoencoder(6, 3, output_activation="linear").double()
    columns = torch.linalg.qr(normal(6, 3, seed=4)).Q * torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    spread, centre = columns @ columns.t() + VARIANCE * torch.eye(6, dtype=torch.float64), normal(6, seed=5)
    x = centre + normal(50, 6, seed=8) @ torch.linalg.cholesky(spread).t()
    distance = ((x - centre) @ torch.linalg.inv(spread) * (x - centre)).sum(dim=1).mean()
    wanted = -0.5 * float(distance + torch.logdet(2 * math.pi * spread))
    precision = columns.square().sum(dim=0) + VARIANCE
    weight = columns.t() / precision[:, None]
    with torch.no_grad():
        for own, value in zip(
            one.trained, (weight, -weight @ centre, 0, (VARIANCE / precision).log(), columns, centre), strict=True
        ):
            own.copy_(torch.as_tensor(value))
        found = elbo(one, x, "mse", variance=VARIANCE, draws=1)
        yield Case("the posterior", abs(found.importance - wanted), 1e-9)
        true = one.mu.bias.clone()
        for shift in shifts:
            one.mu.bias.copy_(true + shift)
            gap = float((shift**2 / (2 * one.logvar.bias.exp())).sum())
            report = elbo(one, x, "mse", variance=VARIANCE, draws=400)
            yield Case(f"one that is shifted by {shift:g}", abs(wanted - report.elbo - gap), 0.05 * gap)
            low, high = max(report.elbo, wanted - gap / 2), wanted + 0.05
            off = max(low - report.importance, report.importance - high, 0.0)
            yield Case(f"many draws, shifted by {shift:g}", off, 0)


CHECKS = (
    Check(
        "marginalized",
        "moments",
        f"closed-form means and covariances to be those of {ROWS * COPIES:,} corrupted rows",
        "standard errors",
        moment_cases,
    ),
    Check(
        "marginalized",
        "expected error",
        f"the solution's error to be the mean over {ROWS * COPIES:,} corrupted rows",
        "standard errors",
        error_cases,
    ),
    Check(
        "marginalized",
        "no better weights",
        f"none of {NEARBY} weights nearby to have a lower expected error",
        "how many",
        best_cases,
    ),
    Check(
        "variational",
        "KL",
        f"what β adds to the loss to be the mean of ln q − ln p over {DRAWS:,} draws",
        "standard errors",
        divergence_cases,
    ),
    Check("variational", "bound", "the ELBO to be a known likelihood, less a known divergence", "nats", bound_cases),
    Check("variational", "KL, quadrature", "closed form to be the integral by quadrature", "nats", known_cases),
    Check(
        "variational",
        "draws",
        f"codes to have mean μ and variance e^logvar, {DRAWS:,} draws",
        "standard errors",
        drawn_cases,
    ),
)
