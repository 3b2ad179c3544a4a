"""The marginalized denoising autoencoder: solved in closed form for infinitely many corruptions of every row."""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor

from stackae.autoencoders.corruption import Corruption
from stackae.autoencoders.dense import Autoencoder, Dense, check_width
from stackae.autoencoders.pca import with_signs
from stackae.autoencoders.start import check_n_hidden, deviations, start, unit_scales
from stackae.autoencoders.statistics import CorruptedMoments, Moments
from stackae.config import LayerConfig
from stackae.errors import ConfigError

RIDGE = 1e-5
WIDEST = 1 - 2.0**-24
ACTIVATIONS = ("linear", "tanh")
ROUNDINGS = 100  # times d ε: an eigenvalue that is smaller, relative to the largest, may be rounding error


class Inverting(Dense):
    """z = W' artanh(h) + c, h clamped to ±bound: the decoder of a marginalized autoencoder with a tanh code."""

    def __init__(self, weight: Tensor, bias: Tensor, activation: str, engine: str, bound: Tensor) -> None:
        super().__init__(weight, bias, activation, engine)
        self.bound: Tensor
        self.register_buffer("bound", bound.detach().clone())

    def forward(self, h: Tensor) -> Tensor:
        """h: (batch, n_in) -> (batch, n_out)."""
        return super().forward(inverted(h, self.bound))

    def logits(self, h: Tensor) -> Tensor:
        return super().logits(inverted(h, self.bound))


class MarginalizedAutoencoder(Autoencoder):
    """h = f(W x + b), z = W' f⁻¹(h) + c: the reconstruction is affine in x, whatever f is.

    Args:
        n_visible: width of the input x and of the reconstruction z.
        n_hidden: width of the code h, at most n_visible.
        activation: f; linear or tanh.
        engine: auto, fused or eager.

    The constructor draws random weights; ``solved`` computes them, and a file replaces them. For tanh, f⁻¹ clamps codes
    to ±``bound``, which is just below 1 until ``calibrate`` sets it to the largest code of its rows. Without it, a code
    that a layer above reconstructs a little too large would be read as a pre-activation many times too large.

    Raises:
        ConfigError: more units than inputs, or an f that is neither linear nor tanh.

    Chen, Xu, Weinberger & Sha (2012), Marginalized denoising autoencoders for domain adaptation.
    """

    def __init__(self, n_visible: int, n_hidden: int, *, activation: str = "tanh", engine: str = "auto") -> None:
        check_n_hidden(n_hidden, n_visible)
        if activation not in ACTIVATIONS:
            raise ConfigError(
                f"activation: expected linear or tanh, which a marginalized autoencoder can invert, got {activation}; "
                "use one of them"
            )
        super().__init__(
            n_visible, n_hidden, activation=activation, output_activation="linear", tied=False, engine=engine
        )
        self.bound: Tensor
        self.register_buffer("bound", torch.tensor(WIDEST))

    @classmethod
    def of(cls, n_visible: int, layer: LayerConfig, *, seed: int, number: int, engine: str) -> Self:
        return cls(n_visible, layer.n_hidden, activation=layer.activation, engine=engine)

    @classmethod
    def numbers_of(cls, n_visible: int, layer: LayerConfig) -> int:
        return super().numbers_of(n_visible, layer) + 1

    @classmethod
    @torch.no_grad()
    def solved(
        cls,
        moments: Moments,
        n_hidden: int,
        corruption: Corruption,
        *,
        ridge: float = RIDGE,
        activation: str = "tanh",
        engine: str = "auto",
    ) -> MarginalizedAutoencoder:
        """min E‖x − A x̃ − b‖² + λ‖A‖², A of rank at most n_hidden, over rows with these moments and their corruptions.

        Let P = Cov(x, x̃) and Q = Cov(x̃). For n_hidden = n_visible, A = P (Q + λ)⁻¹ and b = μ − A μ̃, with W = A (as in
        Chen et al.), W' = 1 and c = 0. For fewer units, A = U Uᵀ P (Q + λ)⁻¹, with U the first eigenvectors of
        P (Q + λ)⁻¹ P: W = R Uᵀ P (Q + λ)⁻¹, W' = U R⁻¹ and c = μ. R = 1 for linear f; for tanh it scales each unit's
        pre-activation on clean rows to a standard deviation of 1, or less where that is below the inputs' mean one.
        Without noise and ridge the solution is PCA.

        Args:
            ridge: λ relative to the mean variance of the corrupted inputs, tr(Q)/d; the bias is neither regularized
                nor corrupted. Where Q + λ is singular, as with ridge 0 and constant features, its pseudo-inverse is
                used.

        Returns:
            The autoencoder in float32, on the device of the moments.

        Raises:
            ConfigError: as for the class; a ridge that is not a finite number of at least 0; or unknown noise.

        Izenman (1975), Reduced-rank regression for the multivariate linear model; Mukherjee & Zhu (2011).
        """
        autoencoder = cls(moments.width, n_hidden, activation=activation, engine=engine).to(moments.mean.device)
        noise = CorruptedMoments.of(moments, corruption)
        weight = denoising_map(noise, ridge)
        if n_hidden == moments.width:
            bias, decoder, rest = noise.mean - weight @ noise.noisy_mean, torch.eye(n_hidden), torch.zeros(n_hidden)
        else:
            directions = _directions(noise, weight, n_hidden)
            weight, decoder, rest = directions.t() @ weight, directions, noise.mean
            if activation == "tanh":
                scale = unit_scales(deviations(weight, noise.covariance), noise.covariance)
                weight, decoder = scale.unsqueeze(1) * weight, decoder / scale
            bias = -weight @ noise.noisy_mean
        autoencoder.encoder.weight.copy_(weight)
        autoencoder.encoder.bias.copy_(bias)
        autoencoder.decoder_weight.copy_(decoder)
        autoencoder.decoder_bias.copy_(rest)
        return autoencoder

    def _decode(self, h: Tensor, activation: str) -> Tensor:
        check_width("h", h, self.n_hidden)
        return super()._decode(h if self.activation == "linear" else inverted(h, self.bound), activation)

    def not_dense(self, decoding: bool) -> str:
        return "kind marginalized" if decoding and self.activation != "linear" else ""

    def decoder_alone(self, engine: str = "auto") -> Dense:
        copies = self._decoder_copies()
        if self.activation == "linear":
            return Dense(*copies, self.output_activation, engine)
        return Inverting(*copies, self.output_activation, engine, self.bound)

    def anew(self, seed: int, layer: int) -> MarginalizedAutoencoder:
        one = MarginalizedAutoencoder(
            self.n_visible, self.n_hidden, activation=self.activation, engine=self.engine.name
        )
        one.load_state_dict({**super().anew(seed, layer).state_dict(), "bound": one.bound})
        return one

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Raise the bound to the largest code of rows x (batch, n_visible); the first call sets it."""
        if self.activation == "tanh":
            seen = torch.zeros_like(self.bound) if self.bound >= WIDEST else self.bound
            self.bound.copy_(torch.maximum(seen, self.encoder(x).abs().max()).clamp(max=WIDEST))


def inverted(h: Tensor, bound: Tensor) -> Tensor:
    """artanh of h clamped to ±bound, so that the result is finite."""
    own = bound.to(h)
    widest = torch.where(bound < WIDEST, own, 1 - torch.finfo(h.dtype).eps / 2)
    return h.clamp(-widest, widest).atanh()


def initialise_marginalized(
    autoencoder: Autoencoder, moments: Moments, corruption: Corruption, *, ridge: float = RIDGE
) -> None:
    """W = Uᵀ P (Q + λ)⁻¹, b = −W μ̃, W' = U, c = μ: the optimum of training with that corruption for linear f and g.

    With f and g linear and W' untied, no other weights have a smaller expected squared error plus ridge. Where tied,
    row j of W is s_j u_j with the best s_j: optimal among tied weights for gaussian noise, not always for other noise.
    For other f and g, see ``stackae.autoencoders.start.start``.

    Args:
        corruption, ridge: as for ``MarginalizedAutoencoder.solved``.

    Raises:
        ConfigError: as for ``initialise_pca``; a ridge that is not a finite number of at least 0; or unknown noise.
    """
    check_n_hidden(autoencoder.n_hidden, autoencoder.n_visible)
    noise = CorruptedMoments.of(moments, corruption)
    weight = denoising_map(noise, ridge)
    directions = _directions(noise, weight, autoencoder.n_hidden)
    start(autoencoder, directions.t() @ weight, directions, noise)


def denoising_map(noise: CorruptedMoments, ridge: float = RIDGE) -> Tensor:
    """P (Q + λ)⁻¹ (d, d) float64, λ = ridge · tr(Q)/d: the ridge regression of x on x̃, both centered.

    Raises:
        ConfigError: a ridge that is not a finite number of at least 0.
    """
    if not math.isfinite(ridge) or ridge < 0:
        raise ConfigError(f"ridge: expected a finite number of at least 0, got {ridge:g}; use 0 for none")
    q = noise.noisy_covariance
    padding = ridge * q.trace() / len(q)
    return _solved(q + padding * torch.eye(len(q)).to(q), noise.cross.t()).t()


def _solved(q: Tensor, right: Tensor) -> Tensor:
    """Q⁻¹ B by Cholesky, or Q⁺ B where Q is singular to working precision; Q is symmetric, positive semidefinite."""
    rounding = ROUNDINGS * len(q) * torch.finfo(q.dtype).eps
    factor, failed = torch.linalg.cholesky_ex(q)
    if not int(failed):
        condition = torch.linalg.matrix_norm(q, 1) * torch.linalg.matrix_norm(torch.cholesky_inverse(factor), 1)
        if bool(condition < 1 / rounding):
            return torch.cholesky_solve(right, factor)
    values, vectors = torch.linalg.eigh(q)
    large = values > rounding * values[-1].clamp(min=0)
    inverse = torch.where(large, 1 / torch.where(large, values, 1.0), 0.0)
    solution: Tensor = vectors @ (inverse.unsqueeze(1) * (vectors.t() @ right))
    return solution


def _directions(noise: CorruptedMoments, weight: Tensor, count: int) -> Tensor:
    """U (d, count): the first eigenvectors of A Pᵀ = P (Q + λ)⁻¹ Pᵀ, by decreasing eigenvalue."""
    explained = weight @ noise.cross.t()
    _, vectors = torch.linalg.eigh((explained + explained.t()) / 2)
    return with_signs(vectors.flip(1).t()[:count]).t()
