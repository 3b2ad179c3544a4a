"""The autoencoder that the settings of a layer describe."""

from __future__ import annotations

from stackae.autoencoders.base import LayerAutoencoder
from stackae.autoencoders.conv import ConvolutionalAutoencoder
from stackae.autoencoders.dense import Autoencoder
from stackae.autoencoders.marginalized import MarginalizedAutoencoder
from stackae.autoencoders.variational import VariationalAutoencoder
from stackae.config import LayerConfig


def build(
    n_visible: int, layer: LayerConfig, *, seed: int = 0, number: int = 0, engine: str = "auto"
) -> LayerAutoencoder:
    """Untrained, on the CPU, with weights by (seed, number) alone; ``layer`` has its output activation settled."""
    output, where = layer.output_activation, {"seed": seed, "layer": number}
    if layer.shape is not None:
        return ConvolutionalAutoencoder(
            layer.shape,
            layer.channels,
            kernel=layer.kernel,
            pool=layer.pool,
            activation=layer.activation,
            output_activation=output,
            engine=engine,
            **where,
        )
    if layer.kind == "variational":
        return VariationalAutoencoder(
            n_visible,
            layer.n_hidden,
            hidden=layer.hidden,
            activation=layer.activation,
            output_activation=output,
            engine=engine,
            **where,
        )
    if layer.kind == "marginalized":
        return MarginalizedAutoencoder(n_visible, layer.n_hidden, activation=layer.activation, engine=engine)
    return Autoencoder(
        n_visible,
        layer.n_hidden,
        activation=layer.activation,
        output_activation=output,
        tied=layer.tied,
        keeps=layer.sparsity.count,
        over_batch=layer.sparsity.kind == "batch-top-k",
        engine=engine,
        **where,
    )


def numbers_of(n_visible: int, layer: LayerConfig) -> int:
    """How many numbers the file of a layer holds."""
    n, m, hidden = n_visible, layer.n_hidden, layer.hidden
    if layer.shape is not None:
        there, back = layer.channels, layer.shape[2]
        return 2 * there * back * layer.kernel**2 + there + back
    if layer.kind == "variational":
        below = (n + 1) * hidden + (m + 1) * hidden if hidden else 0
        return below + 2 * ((hidden or n) + 1) * m + ((hidden or m) + 1) * n
    buffers = int(layer.sparsity.kind == "batch-top-k" or layer.kind == "marginalized")
    return n * m * (1 if layer.tied else 2) + n + m + buffers


def unrolled_numbers_of(n_visible: int, layer: LayerConfig) -> int:
    """How many numbers its encoder and its decoder hold when nothing is tied, and a code is its mean."""
    numbers = numbers_of(n_visible, layer.model_copy(update={"tied": False}))
    return numbers - (((layer.hidden or n_visible) + 1) * layer.n_hidden if layer.kind == "variational" else 0)
