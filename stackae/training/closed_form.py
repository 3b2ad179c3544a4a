"""Layers that are solved in closed form, and starts in closed form that training goes on from."""

from __future__ import annotations

from stackae.apart import apart
from stackae.autoencoders.base import LayerAutoencoder
from stackae.autoencoders.dense import Autoencoder
from stackae.autoencoders.linear import initialise_pca
from stackae.autoencoders.marginalized import MarginalizedAutoencoder, initialise_marginalized
from stackae.autoencoders.parameters import fill
from stackae.config import LayerConfig
from stackae.corruption import Corruption
from stackae.data.minibatches import in_order
from stackae.data.rows import Rows
from stackae.moments import Moments
from stackae.stack import ROWS_AT_ONCE


@apart
def put_closed_form(autoencoder: LayerAutoencoder, layer: LayerConfig, x: Rows, corruption: Corruption) -> None:
    """Puts the layer's closed form of rows x (n, n_visible) into the autoencoder; nothing where it has none."""
    form = layer.init if layer.kind == "dense" else layer.kind
    if form not in ("pca", "marginalized") or not isinstance(autoencoder, Autoencoder):
        return
    moments = Moments.of(x, device=autoencoder.device)
    if isinstance(autoencoder, MarginalizedAutoencoder):
        solved = MarginalizedAutoencoder.solved(
            moments,
            autoencoder.n_hidden,
            corruption,
            ridge=layer.ridge,
            activation=layer.activation,
            engine=autoencoder.engine.name,
        )
        fill(autoencoder, solved.to(autoencoder.device).state_dict())
        for part in in_order(len(x), ROWS_AT_ONCE):
            autoencoder.calibrate(x[part].to(autoencoder.device))
    elif form == "pca":
        initialise_pca(autoencoder, moments)
    else:
        initialise_marginalized(autoencoder, moments, corruption, ridge=layer.ridge)
