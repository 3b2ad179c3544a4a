"""The table of kinds of layers: autoencoder class and objective class; ``stackae.config.kinds`` has their settings."""

from __future__ import annotations

from typing import NamedTuple

from stackae.autoencoders.base import LayerAutoencoder
from stackae.autoencoders.conv import ConvolutionalAutoencoder
from stackae.autoencoders.dense import Autoencoder
from stackae.autoencoders.marginalized import MarginalizedAutoencoder
from stackae.autoencoders.variational import VariationalAutoencoder
from stackae.config import LayerConfig
from stackae.objectives.reconstruction import ReconstructionObjective
from stackae.objectives.variational import VariationalObjective

LayerObjective = ReconstructionObjective | VariationalObjective


class KindClasses(NamedTuple):
    """The classes of one kind of layer."""

    autoencoder: type[LayerAutoencoder]
    objective: type[LayerObjective] = ReconstructionObjective


KINDS = {
    "dense": KindClasses(Autoencoder),
    "convolutional": KindClasses(ConvolutionalAutoencoder),
    "variational": KindClasses(VariationalAutoencoder, VariationalObjective),
    "marginalized": KindClasses(MarginalizedAutoencoder),
    "pca": KindClasses(Autoencoder),
}


def build(
    n_visible: int, layer: LayerConfig, *, seed: int = 0, number: int = 0, engine: str = "auto"
) -> LayerAutoencoder:
    """Build a layer's untrained autoencoder on the CPU, with weights drawn by (seed, number) alone.

    The output activation of ``layer`` is already settled.
    """
    return KINDS[layer.kind].autoencoder.of(n_visible, layer, seed=seed, number=number, engine=engine)


def numbers_of(n_visible: int, layer: LayerConfig) -> int:
    """Count the numbers in the file of a layer."""
    return KINDS[layer.kind].autoencoder.numbers_of(n_visible, layer)
