"""Solve layers in closed form, and initialize trained layers with a closed form."""

from __future__ import annotations

from collections.abc import Callable

from stackae.apart import apart
from stackae.autoencoders.base import LayerAutoencoder
from stackae.autoencoders.corruption import Corruption
from stackae.autoencoders.dense import Autoencoder
from stackae.autoencoders.marginalized import MarginalizedAutoencoder, initialise_marginalized
from stackae.autoencoders.parameters import fill
from stackae.autoencoders.pca import initialise_pca
from stackae.autoencoders.statistics import Moments
from stackae.config import LayerConfig
from stackae.data.minibatches import in_order
from stackae.data.rows import Rows
from stackae.models.stack import ROWS_AT_ONCE


@apart
def put_closed_form(autoencoder: LayerAutoencoder, layer: LayerConfig, x: Rows, corruption: Corruption) -> None:
    """Fill the autoencoder with the layer's closed form for rows x (n, n_visible); do nothing where it has none."""
    if layer.closed_form and isinstance(autoencoder, Autoencoder):
        forms = SOLUTIONS if layer.row.solved else STARTS
        forms[layer.closed_form](autoencoder, Moments.of(x, device=autoencoder.device), layer, corruption)
        if layer.row.solved:
            for part in in_order(len(x), ROWS_AT_ONCE):
                autoencoder.calibrate(x[part].to(autoencoder.device))


def _pca(autoencoder: Autoencoder, moments: Moments, layer: LayerConfig, corruption: Corruption) -> None:
    initialise_pca(autoencoder, moments)


def _near_marginalized(autoencoder: Autoencoder, moments: Moments, layer: LayerConfig, corruption: Corruption) -> None:
    initialise_marginalized(autoencoder, moments, corruption, ridge=layer.ridge)


def _marginalized(autoencoder: Autoencoder, moments: Moments, layer: LayerConfig, corruption: Corruption) -> None:
    solved = MarginalizedAutoencoder.solved(
        moments,
        autoencoder.n_hidden,
        corruption,
        ridge=layer.ridge,
        activation=layer.activation,
        engine=autoencoder.engine.name,
    )
    fill(autoencoder, solved.to(autoencoder.device).state_dict())


Form = Callable[[Autoencoder, Moments, LayerConfig, Corruption], None]
SOLUTIONS: dict[str, Form] = {"pca": _pca, "marginalized": _marginalized}
STARTS: dict[str, Form] = {"pca": _pca, "marginalized": _near_marginalized}
"""SOLUTIONS are keyed by the kind of a solved layer, STARTS by the ``init`` of a trained one."""
