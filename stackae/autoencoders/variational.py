"""The variational autoencoder: its code is a distribution, and new codes are drawn from a prior."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor, nn

from stackae.autoencoders.base import Decoder, LayerAutoencoder
from stackae.autoencoders.dense import Dense, check_width
from stackae.config import LayerConfig
from stackae.ops.engine import Engine
from stackae.random import Purpose, normal_rows

LOGVAR_BEND = 20.0
PRIOR_COUNTER = 1 << 63  # beyond every training step, which are counted from 0


class DenseChain(Decoder):
    """Dense layers in sequence: the encoder x -> μ(x), or the decoder h -> z."""

    def __init__(self, layers: Iterable[Dense]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    @property
    def dense(self) -> list[Dense]:
        return [layer for layer in self.layers if isinstance(layer, Dense)]

    @property
    def trained(self) -> list[Tensor]:
        return [parameter for layer in self.dense for parameter in layer.trained]

    @property
    def sizes(self) -> tuple[int, int]:
        return self.dense[0].sizes[0], self.dense[-1].sizes[1]

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, n_in) -> (batch, n_out)."""
        for layer in self.dense:
            x = layer(x)
        return x

    def logits(self, h: Tensor) -> Tensor:
        for layer in self.dense[:-1]:
            h = layer(h)
        return self.dense[-1].logits(h)


class VariationalAutoencoder(LayerAutoencoder):
    """q(h|x) = N(μ(x), diag e^(logvar(x))), p(h) = N(0, I), z = g(W' d(h) + c): the code of x is μ(x).

    μ and logvar are linear in e(x). e and d are each a dense layer of ``hidden`` units, or the identity for the top
    layer of a stack, where the layers below do their work.

    Args:
        n_visible: width of the input x and of the reconstruction z.
        n_hidden: width of the code h.
        hidden: width of e and d; 0 for none. 256 or 400 are usual for a variational autoencoder alone.
        activation: of e and d, by a name of ``stackae.ops.reference.ACTIVATIONS``.
        output_activation: g; sigmoid for data in [0, 1], linear for data of any range.
        seed: the weights are a function of (seed, layer) alone.
        engine: auto, fused or eager.

    Raises:
        ValueError: a width below 1, or ``hidden`` below 0.

    Kingma & Welling (2014), Auto-encoding variational Bayes; Rezende, Mohamed & Wierstra (2014), Stochastic
    backpropagation and approximate inference in deep generative models.
    """

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        *,
        hidden: int = 0,
        activation: str = "tanh",
        output_activation: str = "sigmoid",
        seed: int = 0,
        layer: int = 0,
        engine: str = "auto",
    ) -> None:
        super().__init__()
        if hidden < 0 or min(n_visible, n_hidden) < 1:
            raise ValueError(
                f"widths: expected n_visible and n_hidden of at least 1, and hidden of at least 0, got {n_visible}, "
                f"{n_hidden} and {hidden}; hidden 0 is no hidden layer"
            )

        def dense(n_in: int, n_out: int, activation: str, part: int) -> Dense:
            return Dense.initialised(n_in, n_out, activation, seed=seed, layer=layer, part=part, engine=engine)

        self.encoder_hidden = dense(n_visible, hidden, activation, 0) if hidden else None
        self.mu = dense(hidden or n_visible, n_hidden, "linear", 1)
        self.logvar = dense(hidden or n_visible, n_hidden, "linear", 2)
        self.decoder_hidden = dense(n_hidden, hidden, activation, 3) if hidden else None
        self.output = dense(hidden or n_hidden, n_visible, output_activation, 4)
        self.output_activation = output_activation

    @classmethod
    def of(cls, n_visible: int, layer: LayerConfig, *, seed: int, number: int, engine: str) -> Self:
        return cls(
            n_visible,
            layer.n_hidden,
            hidden=layer.hidden,
            activation=layer.activation,
            output_activation=layer.output_activation,
            engine=engine,
            seed=seed,
            layer=number,
        )

    @classmethod
    def numbers_of(cls, n_visible: int, layer: LayerConfig) -> int:
        n, m, hidden = n_visible, layer.n_hidden, layer.hidden
        below = (n + 1) * hidden + (m + 1) * hidden if hidden else 0
        return below + 2 * ((hidden or n) + 1) * m + ((hidden or m) + 1) * n

    @classmethod
    def unrolled_numbers_of(cls, n_visible: int, layer: LayerConfig) -> int:
        """Count without the logvar layer: an unrolled code is its mean."""
        return cls.numbers_of(n_visible, layer) - ((layer.hidden or n_visible) + 1) * layer.n_hidden

    @classmethod
    def row_numbers_of(cls, n_visible: int, layer: LayerConfig) -> int:
        return n_visible + 3 * layer.n_hidden + 2 * layer.hidden

    @property
    def n_visible(self) -> int:
        return self.output.weight.shape[0]

    @property
    def n_hidden(self) -> int:
        return self.mu.weight.shape[0]

    @property
    def activated(self) -> int:
        return self.mu.weight.shape[1]  # of e, or none at all

    @property
    def activation(self) -> str:
        """The name of the code's activation: linear."""
        return self.mu.activation

    @property
    def engine(self) -> Engine:
        return self.mu.engine

    @property
    def trained(self) -> list[Tensor]:
        """The trained parameters, layer by layer: weight, then bias."""
        layers = (self.encoder_hidden, self.mu, self.logvar, self.decoder_hidden, self.output)
        return [parameter for layer in layers if layer is not None for parameter in (layer.weight, layer.bias)]

    @property
    def filters(self) -> tuple[Tensor, None]:
        return (self.mu if self.encoder_hidden is None else self.encoder_hidden).weight, None

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (batch, n_visible) -> mu and logvar of q(h|x), each (batch, n_hidden)."""
        below = self._below(x)
        return self.mu(below), self.logvar(below)

    def sample(self, mu: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
        """h = μ + e^(logvar/2) ε, all (batch, n_hidden); the caller draws the standard normal ``noise`` ε."""
        return mu + torch.exp(bent(logvar) / 2) * noise

    def code(self, x: Tensor) -> Tensor:
        """μ(x)."""
        code: Tensor = self.mu(self._below(x))
        return code

    def decode(self, h: Tensor) -> Tensor:
        """Code h (batch, n_hidden) -> reconstruction z (batch, n_visible), the mean of p(x|h)."""
        z: Tensor = self.output(self._above(h))
        return z

    def decode_logits(self, h: Tensor) -> Tensor:
        """The reconstruction before its activation, W' d(h) + c."""
        return self.engine.dense_act(self._above(h), self.output.weight, self.output.bias, "linear")

    def encoder_alone(self, engine: str = "auto") -> DenseChain:
        return _copies((self.encoder_hidden, self.mu), engine)

    def decoder_alone(self, engine: str = "auto") -> DenseChain:
        return _copies((self.decoder_hidden, self.output), engine)

    def not_dense(self, decoding: bool) -> str:
        return "kind variational"

    def anew(self, seed: int, layer: int) -> VariationalAutoencoder:
        hidden = self.encoder_hidden
        return VariationalAutoencoder(
            self.n_visible,
            self.n_hidden,
            hidden=0 if hidden is None else hidden.sizes[1],
            activation="tanh" if hidden is None else hidden.activation,
            output_activation=self.output_activation,
            seed=seed,
            layer=layer,
            engine=self.engine.name,
        )

    def prior_samples(self, count: int, seed: int = 0) -> Tensor:
        """Draw (count, n_hidden) codes from the prior N(0, I), by the seed alone; decode them for new data."""
        draw = normal_rows(count, self.n_hidden, seed=seed, purpose=Purpose.LATENT, counter=PRIOR_COUNTER)
        return draw.to(self.mu.weight)

    def _below(self, x: Tensor) -> Tensor:
        check_width("x", x, self.n_visible)
        return x if self.encoder_hidden is None else self.encoder_hidden(x)

    def _above(self, h: Tensor) -> Tensor:
        check_width("h", h, self.n_hidden)
        return h if self.decoder_hidden is None else self.decoder_hidden(h)


def _copies(layers: Iterable[Dense | None], engine: str) -> DenseChain:
    return DenseChain(
        Dense(layer.weight.detach().clone(), layer.bias.detach().clone(), layer.activation, engine)
        for layer in layers
        if layer is not None
    )


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(μ, diag e^logvar) ‖ N(0, I)) = −½ Σ_j 1 + logvar_j − μ_j² − e^(logvar_j), in nats, mean over rows.

    mu, logvar: (batch, n_hidden) -> scalar. The variance is bounded as in ``VariationalAutoencoder.sample``, so that
    the KL is that of the distribution sampled from: see ``bent``.

    Kingma & Welling (2014), appendix B.
    """
    logvar = bent(logvar)
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum() / max(1, len(mu))


def bent(logvar: Tensor) -> Tensor:
    """Bound the growth of logvar: itself up to 20, 20 + ln(1 + logvar − 20) above.

    e^logvar would overflow float32 at 88. Above 20, e^bent(logvar) continues as the tangent of e^logvar at 20: finite
    up to logvar = 1e29, with a nonzero gradient everywhere.
    """
    over = (logvar - LOGVAR_BEND).clamp(min=0)
    return torch.where(logvar > LOGVAR_BEND, LOGVAR_BEND + torch.log1p(over), logvar)


def prior_grid(side: int) -> Tensor:
    """Return (side², 2) codes at the centers of side x side cells of equal probability under N(0, I).

    They run row by row from the top: the first unit increases to the right, the second one upwards. A picture of their
    reconstructions shows each part of the code space in proportion to its probability under the prior. Kingma &
    Welling (2014), appendix A.
    """
    quantiles = torch.special.ndtri((torch.arange(side, dtype=torch.float64) + 0.5) / side).float()
    return torch.cartesian_prod(quantiles.flip(0), quantiles).flip(1)
