"""Principal components of training rows, which layers and their scores are measured beside."""

from __future__ import annotations

import torch
from torch import Tensor

from stackae.autoencoders.pca import PrincipalComponents, principal_components_of
from stackae.autoencoders.statistics import Moments
from stackae.data.minibatches import in_order
from stackae.data.rows import Rows, evenly
from stackae.errors import DataError
from stackae.models.stack import ROWS_AT_ONCE

MOST_DIRECTIONS = 1 << 11  # the smaller of the numbers of rows and columns: the eigenvectors of more take minutes


def principal_of(train: Rows, most: int | None = None) -> PrincipalComponents | None:
    """Fit ``principal_components_of`` training rows (n, d); of more than ``most``, of as many at even distances.

    None if both n and d are above MOST_DIRECTIONS, or if the memory does not suffice. No errors.
    """
    if min(train.shape) > MOST_DIRECTIONS:
        return None
    try:
        return principal_components_of(train if most is None else evenly(train, most))
    except DataError:
        return None


def principal_errors(principal: PrincipalComponents, measured: Rows) -> Tensor:
    """(d + 1,) float64 mean of ‖x − z‖² over the measured rows (n, d), z by m principal components, for m = 0 to d.

    It is Σ_{j>m} E(v_j · (x − μ))², so that all m together cost as much as one; beyond the components that there are,
    the error stays constant up to m = d. In the units of ``squared_error``. Raises DataError if there are no rows, or
    the memory is too small.
    """
    axes = principal.components
    if len(axes) < len(principal.mean):
        return _errors_along(principal, measured)
    found = Moments.of(measured)
    shift = found.mean - principal.mean
    spread = ((axes @ found.covariance) * axes).sum(dim=1) + (axes @ shift).square()
    return principal._replace(variances=spread.clamp(min=0)).errors


def _errors_along(principal: PrincipalComponents, measured: Rows) -> Tensor:
    """Compute ``principal_errors`` by projecting each measured row."""
    axes = principal.components
    spread, rest = axes.new_zeros(len(axes)), axes.new_zeros(())
    for part in in_order(len(measured), ROWS_AT_ONCE):
        centered = measured[part].double() - principal.mean
        along = centered @ axes.t()
        spread += along.square().sum(dim=0)
        rest += (centered - along @ axes).square().sum()
    left = spread.flip(0).cumsum(0).flip(0) + rest
    beyond = rest.expand(len(principal.mean) - len(axes))
    return torch.cat([left, beyond, rest.new_zeros(1)]) / len(measured)
