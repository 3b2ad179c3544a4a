"""How much of the data's variance each layer of a stack explains, beside principal components of equal width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stackae.analysis.principal import principal_errors
from stackae.autoencoders.pca import PrincipalComponents
from stackae.data.paired import PairedRows
from stackae.data.rows import Rows
from stackae.errors import DataError
from stackae.models.evaluation import evaluate_reconstruction
from stackae.models.stack import StackedAutoencoder

POINT = 0.01  # of the variance, that a layer may explain less than PCA


class Explained(NamedTuple):
    """The share of the variance that a layer explains, and that of as many principal components.

    ``explained`` is 1 − E‖z − x‖² / E‖x − μ‖², z decoded from the layer's code through the whole stack and μ the mean
    of the training rows; ``pca_explained`` is the same for principal components of training rows, None where the
    rows are too wide for them. Both are measured on the same rows.
    """

    layer: int
    n_hidden: int
    explained: float
    pca_explained: float | None

    @property
    def below(self) -> bool:
        """Whether the layer explains less than PCA, by more than one point of a hundred."""
        return self.pca_explained is not None and self.explained < self.pca_explained - POINT


def principal_errors_of(principal: PrincipalComponents | None, measured: Rows) -> list[float] | None:
    """Return ``principal_errors``; None without components or the memory, and of pairs, whose targets are others."""
    if principal is None or isinstance(measured, PairedRows):
        return None
    try:
        return principal_errors(principal, measured).tolist()
    except DataError:
        return None


def explained_by(stack: StackedAutoencoder, measured: Rows, principal: Sequence[float] | None) -> list[Explained]:
    """Measure each layer of a stack on rows (n, n_visible), n >= 1; ``principal`` is ``principal_errors_of`` them."""
    found = []
    for each in evaluate_reconstruction(stack, measured):
        if principal is None or principal[0] <= 0:
            found.append(Explained(each.layer, each.n_hidden, each.explained, None))
            continue
        components = principal[min(each.n_hidden, len(principal) - 1)]
        shares = (1 - error / principal[0] for error in (each.squared_error, components))
        found.append(Explained(each.layer, each.n_hidden, *shares))
    return found
