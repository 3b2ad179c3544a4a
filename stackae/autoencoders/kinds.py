"""The kinds of layers: the class of each, and the autoencoder that the settings of a layer describe."""

from __future__ import annotations

from stackae.autoencoders.base import LayerAutoencoder
from stackae.autoencoders.conv import ConvolutionalAutoencoder
from stackae.autoencoders.dense import Autoencoder
from stackae.autoencoders.marginalized import MarginalizedAutoencoder
from stackae.autoencoders.variational import VariationalAutoencoder
from stackae.config import LayerConfig

KINDS: dict[str, type[LayerAutoencoder]] = {
    "dense": Autoencoder,
    "convolutional": ConvolutionalAutoencoder,
    "variational": VariationalAutoencoder,
    "marginalized": MarginalizedAutoencoder,
    "pca": Autoencoder,
}
"""What settings ask of a kind stands in ``stackae.config.kinds``."""


def build(
    n_visible: int, layer: LayerConfig, *, seed: int = 0, number: int = 0, engine: str = "auto"
) -> LayerAutoencoder:
    """Untrained, on the CPU, with weights by (seed, number) alone; ``layer`` has its output activation settled."""
    return KINDS[layer.kind].of(n_visible, layer, seed=seed, number=number, engine=engine)


def numbers_of(n_visible: int, layer: LayerConfig) -> int:
    """How many numbers the file of a layer holds."""
    return KINDS[layer.kind].numbers_of(n_visible, layer)
