"""Initialize a dense autoencoder with a closed-form solution, from which gradient training starts."""

from __future__ import annotations

import torch
from torch import Tensor

from stackae.autoencoders.dense import Autoencoder
from stackae.autoencoders.statistics import CorruptedMoments
from stackae.config.activations import ACTIVATIONS as ROWS
from stackae.errors import ConfigError
from stackae.ops.reference import ACTIVATIONS

OUTPUTS = ("linear", "sigmoid", "tanh")
FURTHEST, POINTS = 8.0, 401  # range, in standard deviations, and number of points of the Gaussian quadrature
SCALES = torch.logspace(-1, 3, 161, dtype=torch.float64)
GENTLE = 0.2  # standard deviation of the largest pre-activation of units that are near linear around 0
LEAST = 1e-3  # standard deviation of a pre-activation below which f is as good as linear
EDGE = 0.01  # smallest distance of an initial output from the bounds of g


def check_n_hidden(n_hidden: int, n_visible: int) -> None:
    """Raise ConfigError unless 1 <= n_hidden <= n_visible."""
    if not 1 <= n_hidden <= n_visible:
        raise ConfigError(
            f"n_hidden: expected 1 to {n_visible} units, as a closed form has no more directions than inputs, "
            f"got {n_hidden}; use at most {n_visible}, or train the layer by gradients from random weights"
        )


@torch.no_grad()
def start(autoencoder: Autoencoder, encoder: Tensor, directions: Tensor, noise: CorruptedMoments) -> None:
    """z = g(γ U G (f(R E (x̃ − μ̃)) − f̄) + g⁻¹(μ)): the affine map μ + U E (x̃ − μ̃), through f and g.

    Args:
        autoencoder: n_visible -> m, linear or not, tied or not; its weights are overwritten.
        encoder: E (m, n_visible) float64.
        directions: U (n_visible, m) float64, orthonormal columns.
        noise: the moments of the training rows and their corruption; x̃ is treated as Gaussian.

    Linear f, untied: R = G = 1, and with linear g too, this is the affine map itself. tanh, untied: R is one number,
    which scales the largest pre-activation to a standard deviation of 0.2, where tanh loses 0.1 % of the variance, and
    leaves codes in proportion, so that the layer above finds the same principal components. Other f: R scales each
    pre-activation to a standard deviation of 1, or less where its variance is below the inputs' mean one. For all,
    a ≈ G (f(a) − f̄) is the best linear estimate of a from f(a).
    Tied: E is not used; row j of W is s_j u_j. For linear f, s_j² = γ u_jᵀPu_j / u_jᵀQu_j has the smallest expected
    error of all scales along these directions; for other f, s_j is the best of a fine grid.
    γ = 1 for linear g and tanh; γ = 4 for sigmoid, the inverse of its slope at 0. For sigmoid and tanh, μ is first
    clamped to 0.01 within the bounds of g.

    Raises:
        ConfigError: g is none of linear, sigmoid and tanh, or the moments are of rows of another width.
    """
    _check(autoencoder, noise)
    activation = autoencoder.encoder.activation
    gain, base = _output(autoencoder.output_activation, noise.mean)
    if autoencoder.tied:
        scale, rest = _tied_scales(activation, directions, noise, gain)
        weight = scale.unsqueeze(1) * directions.t()
        decoder = weight.t()
    else:
        scale, readout, rest = _untied_scales(activation, encoder, noise)
        weight = scale.unsqueeze(1) * encoder
        decoder = gain * directions * readout
        autoencoder.decoder_weight.copy_(decoder)
    autoencoder.encoder.weight.copy_(weight)
    autoencoder.encoder.bias.copy_(-weight @ noise.noisy_mean)
    autoencoder.decoder_bias.copy_(base - decoder @ rest)


def deviations(rows: Tensor, covariance: Tensor) -> Tensor:
    """Standard deviations (m,) of rows (m, d) times inputs of that covariance (d, d)."""
    return ((rows @ covariance) * rows).sum(dim=1).clamp(min=0).sqrt()


def unit_scales(deviation: Tensor, covariance: Tensor) -> Tensor:
    """Factors (m,) that scale deviations (m,) to 1, or to less where they are below that of the mean input."""
    least = (covariance.trace() / len(covariance)).clamp(min=0).sqrt()
    largest = torch.maximum(deviation, least)
    return torch.where(largest > 0, 1 / largest, 1.0)


def _check(autoencoder: Autoencoder, noise: CorruptedMoments) -> None:
    if autoencoder.output_activation not in OUTPUTS:
        raise ConfigError(
            f"output_activation: expected one of {', '.join(OUTPUTS)} for a start in closed form, got "
            f"{autoencoder.output_activation}; use one of them, or start from random weights"
        )
    if len(noise.mean) != autoencoder.n_visible:
        raise ConfigError(
            f"moments: expected those of rows of {autoencoder.n_visible} numbers, the inputs of the autoencoder, got "
            f"{len(noise.mean)}; take the moments of the layer's own inputs"
        )


def _output(activation: str, mean: Tensor) -> tuple[float, Tensor]:
    if activation == "sigmoid":
        return 4.0, mean.clamp(EDGE, 1 - EDGE).logit()
    return 1.0, mean.clamp(EDGE - 1, 1 - EDGE).atanh() if activation == "tanh" else mean


def _untied_scales(activation: str, encoder: Tensor, noise: CorruptedMoments) -> tuple[Tensor, Tensor, Tensor]:
    """R, G R⁻¹ and f̄, each (m,)."""
    if activation == "linear":
        one = torch.ones(len(encoder)).to(encoder)
        return one, one, torch.zeros_like(one)
    deviation = deviations(encoder, noise.noisy_covariance)
    scale = unit_scales(deviation, noise.noisy_covariance)
    if ROWS[activation].near_linear:
        largest = deviation.max()
        scale = torch.full_like(deviation, GENTLE / float(largest) if largest > 0 else 1.0)
    places, chances = _gaussian(encoder)
    a = (scale * deviation).clamp(min=LEAST).unsqueeze(1) * places
    h = ACTIVATIONS[activation](a)
    rest = h @ chances
    apart = h - rest.unsqueeze(1)
    return scale, ((a * apart) @ chances) / (apart.square() @ chances) / scale, rest


def _tied_scales(activation: str, directions: Tensor, noise: CorruptedMoments, gain: float) -> tuple[Tensor, Tensor]:
    """s and f̄, each (m,)."""
    rows = directions.t()
    variance = ((rows @ noise.noisy_covariance) * rows).sum(dim=1)
    shared = ((rows @ noise.cross) * rows).sum(dim=1)
    wanted = gain * torch.where(variance == 0, 1.0, shared / variance).clamp(min=0)
    if activation == "linear":
        return wanted.sqrt(), torch.zeros_like(wanted)
    places, chances = _gaussian(directions)
    y = variance.clamp(min=0).sqrt().unsqueeze(1) * places
    best = torch.full_like(wanted, torch.inf)
    scale, rest = torch.zeros_like(wanted), torch.zeros_like(wanted)
    for factor in SCALES.tolist():
        s = factor * wanted.sqrt()
        h = ACTIVATIONS[activation](s.unsqueeze(1) * y)
        mean = h @ chances
        error = (wanted.unsqueeze(1) * y - s.unsqueeze(1) * (h - mean.unsqueeze(1))).square() @ chances
        better = error < best
        best = torch.where(better, error, best)
        scale, rest = torch.where(better, s, scale), torch.where(better, mean, rest)
    return scale, rest


def _gaussian(like: Tensor) -> tuple[Tensor, Tensor]:
    """Quadrature points (k,) of the standard normal distribution and their weights (k,), which sum to 1."""
    places = torch.linspace(-FURTHEST, FURTHEST, POINTS).to(like)
    chances = torch.exp(-0.5 * places.square())
    return places, chances / chances.sum()
