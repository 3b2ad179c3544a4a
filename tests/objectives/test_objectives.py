"""What a layer may be asked to do: corruption, loss and penalty, against the laws that define them."""

from __future__ import annotations

import pytest
import torch

from stackae.autoencoders.corruption import Corruption
from stackae.autoencoders.dense import Autoencoder
from stackae.objectives.losses import binary_cross_entropy, squared_error
from stackae.objectives.penalties import KlSparsity, L1Sparsity
from stackae.objectives.share import Share
from stackae.ops.engine import choose_engine

X = torch.rand(400, 250, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
ENGINE = choose_engine()
WHERE = {"seed": 1, "layer": 1}
KINDS = ["gaussian", "masking", "salt-and-pepper"]


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_drawn_anew_each_step_and_again_the_same_for_the_same_step(kind):
    noise = Corruption(kind, 0.3)
    first = noise(X, ENGINE, step=0, **WHERE)
    assert torch.equal(first, noise(X, ENGINE, step=0, **WHERE))
    for where in ({"step": 1, **WHERE}, {"step": 0, "seed": 2, "layer": 1}, {"step": 0, "seed": 1, "layer": 2}):
        assert not torch.equal(first, noise(X, ENGINE, **where))
    assert not torch.equal(first[0] - X[0], first[1] - X[1])


@pytest.mark.parametrize("kind", ["none", *KINDS])
def test_corruption_leaves_its_input_alone_and_level_0_changes_nothing(kind):
    before = X.clone()
    assert torch.equal(Corruption(kind, 0.0)(X, ENGINE, step=0, **WHERE), X)
    Corruption(kind, 0.5)(X, ENGINE, step=0, **WHERE)
    assert torch.equal(X, before)


def autoencoder(**options):
    return Autoencoder(6, 4, seed=3, **options).double()


@pytest.mark.parametrize("batch", [1, 5])
def test_squared_error_is_summed_over_features_and_averaged_over_rows(batch):
    network, x = autoencoder(), torch.rand(batch, 6, dtype=torch.float64)
    z = network.reconstruct(x)
    wanted = sum(((z[i] - x[i]) ** 2).sum() for i in range(batch)) / batch
    assert squared_error(network, network.encode(x), x).item() == pytest.approx(wanted.item(), rel=1e-12)


def test_binary_cross_entropy_equals_its_formula_and_its_gradient_survives_saturation():
    network, x = autoencoder(), torch.rand(5, 6, dtype=torch.float64)
    z = network.reconstruct(x)
    wanted = -(x * z.log() + (1 - x) * (1 - z).log()).sum() / 5
    assert binary_cross_entropy(network, network.encode(x), x).item() == pytest.approx(wanted.item(), rel=1e-12)
    with torch.no_grad():
        network.decoder_bias.fill_(800.0)  # the output is exactly 1
    loss = binary_cross_entropy(network, network.encode(x), torch.zeros_like(x))
    (gradient,) = torch.autograd.grad(loss, network.decoder_bias)
    assert gradient.tolist() == pytest.approx([1.0] * 6)  # z - x


@pytest.mark.parametrize("engine", ["fused", "eager"])
def test_the_penalty_of_a_tanh_code_is_that_of_the_code_mapped_into_the_unit_interval(engine):
    h = torch.tanh(torch.randn(20, 3, dtype=torch.float64))
    chosen = choose_engine(engine)
    mapped = KlSparsity(0.1, 2.0)((h + 1) / 2, "sigmoid", chosen, Share())
    assert KlSparsity(0.1, 2.0)(h, "tanh", chosen, Share()).item() == pytest.approx(mapped.item(), rel=1e-12)


def test_the_l1_penalty_is_the_mean_over_rows_of_the_sum_of_magnitudes():
    h = torch.tensor([[1.0, -2.0], [0.0, 3.0], [0.5, 0.5]])
    assert L1Sparsity(0.2)(h, "linear", ENGINE, Share()).item() == pytest.approx(0.2 * (3 + 3 + 1) / 3)
