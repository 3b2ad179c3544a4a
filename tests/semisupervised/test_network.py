"""The normalized network: equal to the model at first, and to the folded model in the end."""

from __future__ import annotations

import pytest
import torch

from stackae.autoencoders.dense import Dense
from stackae.semisupervised.network import NormalizedNetwork, normalized


def chain(seed: int = 0) -> list[Dense]:
    activations = ("sigmoid", "relu", "linear")
    sizes = (6, 5, 4, 3)
    return [
        Dense.initialised(n, m, activation, seed=seed, layer=number)
        for number, (n, m, activation) in enumerate(zip(sizes, sizes[1:], activations, strict=False))
    ]


def run(parts: list[Dense], x: torch.Tensor) -> torch.Tensor:
    for part in parts:
        x = part(x)
    return x


def test_it_begins_as_the_model_that_it_copies() -> None:
    x, parts = torch.rand(500, 6), chain()
    network = NormalizedNetwork(parts, x)
    torch.testing.assert_close(network(x), run(parts, x), rtol=1e-4, atol=1e-5)


def test_folded_weights_compute_the_same() -> None:
    x, parts = torch.rand(9000, 6), chain()  # more than one pass of rows
    network = NormalizedNetwork(parts, x)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    network.fold(parts, x)
    torch.testing.assert_close(run(parts, x), network(x), rtol=1e-4, atol=1e-4)


def test_a_unit_that_never_changes_stays_finite() -> None:
    x, parts = torch.rand(50, 6), chain()
    with torch.no_grad():
        parts[0].weight[0] = 0
    network = NormalizedNetwork(parts, x)
    network.fold(parts, x)
    assert all(bool(part.weight.isfinite().all()) for part in parts)


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_normalized_is_by_the_batch(rows: int) -> None:
    z = torch.randn(rows, 3, dtype=torch.float64)
    expected = (z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(normalized(z), expected)
