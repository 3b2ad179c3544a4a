"""Units of layers: which are dead, how active they are, and in how many directions codes vary."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from stackae.analysis.units import MOST_ROWS, effective_rank, units_of
from stackae.autoencoders.dense import Autoencoder
from stackae.models.stack import StackedAutoencoder


def rotated(variances: list[float], rows: int = 400) -> Tensor:
    """Rows whose covariance has exactly these eigenvalues, up to a factor."""
    basis = torch.linalg.qr(torch.randn(rows, len(variances), generator=torch.Generator().manual_seed(0)))[0]
    centered = torch.linalg.qr(basis - basis.mean(dim=0))[0]
    turn = torch.linalg.qr(torch.randn(len(variances), len(variances), generator=torch.Generator().manual_seed(1)))[0]
    return (centered * torch.tensor(variances).sqrt()) @ turn + 3


@pytest.mark.parametrize("rows", [400, 6])
def test_equal_variances_have_full_rank_and_one_has_rank_one(rows: int) -> None:
    assert effective_rank(rotated([1.0] * 5, rows)) == pytest.approx(5, rel=1e-4)
    assert effective_rank(rotated([1.0, 0, 0, 0, 0], rows)) == pytest.approx(1, rel=1e-3)


def test_shares_of_the_variance_decide_and_no_variance_is_rank_zero() -> None:
    shares = (0.7, 0.2, 0.1)
    assert effective_rank(rotated(list(shares))) == pytest.approx(
        math.exp(-sum(p * math.log(p) for p in shares)), rel=1e-4
    )
    assert effective_rank(torch.ones(5, 3)) == 0


def test_more_units_than_rows_give_what_the_covariance_gives() -> None:
    codes = torch.randn(8, 30, generator=torch.Generator().manual_seed(2)).double()
    variances = torch.linalg.eigvalsh(torch.cov(codes.t())).clamp(min=0)
    shares = variances / variances.sum()
    assert effective_rank(codes) == pytest.approx(float(torch.special.entr(shares).sum().exp()), rel=1e-6)


def test_dead_units_and_activity_are_those_of_the_codes() -> None:
    layer = Autoencoder(4, 3, activation="relu")
    with torch.no_grad():
        layer.encoder.bias[1] = -100  # relu is then 0 for every row
    stack = StackedAutoencoder([layer, Autoencoder(3, 2, activation="sigmoid")])
    x = torch.rand(MOST_ROWS + 500, 4, generator=torch.Generator().manual_seed(0))
    first, second = units_of(stack, x)
    assert first.dead.tolist()[1] and first.active[1] == 0 and first.rows == second.rows == MOST_ROWS
    codes = stack.encode(x[torch.arange(MOST_ROWS) * len(x) // MOST_ROWS])
    assert torch.allclose(second.mean, codes.double().mean(dim=0), atol=1e-6) and second.n_hidden == 2
