"""The autoencoder that the settings of a layer describe."""

from __future__ import annotations

from stackae.autoencoders.dense import Autoencoder
from stackae.config import LayerConfig


def build(n_visible: int, layer: LayerConfig, *, seed: int = 0, number: int = 0, engine: str = "auto") -> Autoencoder:
    """Untrained, on the CPU, with weights by (seed, number) alone; ``layer`` has its output activation settled."""
    return Autoencoder(
        n_visible,
        layer.n_hidden,
        activation=layer.activation,
        output_activation=layer.output_activation,
        tied=layer.tied,
        keeps=layer.sparsity.count,
        over_batch=layer.sparsity.kind == "batch-top-k",
        seed=seed,
        layer=number,
        engine=engine,
    )
